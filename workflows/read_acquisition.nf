include { listingOf ; tileEntries } from '../functions/raw_folder'
include { rememberResources       } from '../functions/resources'
include { sliceIdOf               } from '../functions/slices'
include { SIMULATE                } from '../modules/simulate'
include { INSPECT_ACQUISITION     } from '../modules/inspect_acquisition'
include { PREDICT_RESOURCES       } from '../modules/predict_resources'
include { DETECT_REHOMING         } from '../modules/detect_rehoming'

// A raw folder -> the tiles of each slice, and tables about all of them.
workflow READ_ACQUISITION {
    take:
    input           // folder, or tile table in it; its address as text; null: one is made up
    preset          // of the acquisition that is made up
    known           // map: tables that somebody gave, or []: positions, tile_table, slice_config
    settings        // map: stage -> its settings
    has_rehoming    // whether jumps of the stage are looked for
    decisive        // JSON: the settings that decide what tasks take

    main:
    own = settings.inspect_acquisition
    is_here = input && !own.address
    table = is_here && !input.isDirectory() ? input.name : ''
    if( own.address ) {
        // Looked at in every run; what comes out the same repeats nothing.
        root = channel.value([])
        listing = java.time.Instant.now().toString()
    }
    else {
        root = is_here ? channel.value(table ? input.parent : input) : SIMULATE(preset, own.version).raw
        listing = root.map { folder -> listingOf(folder, own.verify_content) }
    }
    inspected = INSPECT_ACQUISITION(root, listing, table, known.positions, known.tile_table, known.slice_config, own)
    predicted = PREDICT_RESOURCES(inspected.tiles, decisive)
    // No task of a slice starts before its resources are known.
    lists_ch = inspected.tiles.combine(predicted.resources.map { file -> rememberResources(file) })
        .flatMap { row -> row[0..-2] }
    tiles_ch = lists_ch.combine(root.map { folder -> [folder] })
        .map { list, folder -> tuple(sliceIdOf(list), list, folder ? tileEntries(folder, list) : []) }
    files_ch = lists_ch.mix(inspected.shifts, inspected.slice_config, inspected.files)
    shifts = inspected.shifts
    fragments = []
    if( has_rehoming ) {
        cleaned = DETECT_REHOMING(inspected.shifts, settings.detect_rehoming)
        shifts = cleaned.clean_shifts
        fragments = cleaned.rehoming_ledger
        files_ch = files_ch.mix(cleaned.clean_shifts, cleaned.rehoming_ledger, cleaned.files)
    }

    emit:
    tiles        = tiles_ch     // [ id, tile list, raw tiles ]
    shifts       = shifts
    fragments    = fragments
    slice_config = inspected.slice_config
    resources    = predicted.resources
    files        = files_ch.flatten()
}
