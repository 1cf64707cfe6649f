include { filesOf ; firstRecord ; slicesOf ; storesOf } from '../functions/slices'
include { BUILD_GRIDS        } from './build_grids'
include { RECONSTRUCT_SLICES } from './reconstruct_slices'
include { CHAIN_SLICES       } from './chain_slices'
include { REFUSE             } from './refuse'

// Raw tiles of each slice -> a slice or a record of each.
workflow PROCESS_SLICES {
    take:
    tiles_ch    // [ id, tile list, raw tiles ]
    known       // map: tables that somebody gave, or []: overrides, distortion; run: files of another run, or [:]
    settings    // map: stage -> its settings
    use         // map: which steps run: light, curvature, psf; and whether stages are chained

    main:
    lists_ch = tiles_ch.map { id, list, _entries -> tuple(id, list) }
    if( use.chains ) {
        processed = CHAIN_SLICES(tiles_ch, known, settings, use)
        made_ch = processed.made
        failed_ch = processed.failures
        files_ch = processed.files
        curvature_ch = processed.curvature
    }
    else {
        built = BUILD_GRIDS(tiles_ch, known, settings, use.light, use.curvature)
        processed = RECONSTRUCT_SLICES(built.grids, built.unlit, lists_ch, known, settings, use.psf)
        made_ch = built.made.mix(processed.made)
        failed_ch = built.failures.mix(processed.failures)
        files_ch = built.files.mix(processed.files)
        curvature_ch = built.curvature
    }
    failures_ch = failed_ch.groupTuple()
        .map { id, records -> tuple(id, firstRecord(records, settings.keySet().toList())) }
    outcomes = lists_ch.join(processed.slices.mix(failures_ch), remainder: true)
        .toList()
        .map { rows -> slicesOf(rows.collect { row -> [row[0], row[-1]] }) }
    REFUSE(outcomes.filter { found -> found.wrong }.map { found -> tuple(found.wrong, false) })

    emit:
    slices   = processed.slices
    whole    = outcomes.filter { found -> found.slices && !found.wrong }    // map: slices and failure records, in order
    faces    = processed.faces          // [ id, cropped slice ]
    tables   = processed.tables         // [ id, places of its tiles ]
    distortion = processed.distortion
    alignment = processed.alignment     // of the run that places come from
    curvature = curvature_ch            // of the field, where there is one
    places   = processed.places
    stages   = processed.stages
    stores   = storesOf(made_ch)
    files    = files_ch.mix(filesOf(made_ch), failures_ch.map { _id, record -> record })
}
