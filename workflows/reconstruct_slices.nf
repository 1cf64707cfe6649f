include { sliceIdOf               } from '../functions/slices'
include { ESTIMATE_TILE_POSITIONS } from '../modules/estimate_tile_positions'
include { POOL_TILE_POSITIONS     } from '../modules/pool_tile_positions'
include { STITCH_3D               } from '../modules/stitch_3d'
include { CORRECT_AXIAL           } from '../modules/correct_axial'
include { CROP_INTERFACE          } from '../modules/crop_interface'
include { NORMALIZE               } from '../modules/normalize'

// Mosaic grids -> seamless slices whose plane 0 is the block face.
workflow RECONSTRUCT_SLICES {
    take:
    grids_ch    // [ id, grid ]
    native_ch   // [ id, grid at native pitch, flat field or [] ]
    tiles_ch    // [ id, tile list ]
    known       // map: tables that somebody gave, or []: overrides of places, distortion of the tiles
    settings
    has_psf     // whether the axial profile of the beam is removed

    main:
    measured = ESTIMATE_TILE_POSITIONS(native_ch, settings.estimate_tile_positions)
    // The stage model waits for the links of all slices.
    linked = measured.links.join(tiles_ch)
        .toSortedList { a, b -> a[0].toInteger() <=> b[0].toInteger() }
        .filter { rows -> rows }
        .multiMap { rows ->
            links: rows.collect { row -> row[1] }
            stages: rows.collect { row -> row[2] }
            windows: rows.collect { row -> row[3] }
            tiles: rows.collect { row -> row[4] }
        }
    placed = POOL_TILE_POSITIONS(
        linked.links, linked.stages, linked.windows, linked.tiles, known.distortion, known.overrides,
        settings.pool_tile_positions
    )
    positions_ch = placed.positions.flatten().map { table -> tuple(sliceIdOf(table), table) }
    stitched = STITCH_3D(grids_ch.join(positions_ch).combine(placed.distortion), settings.stitch_3d)
    made = [stitched]
    slices_ch = stitched.store
    if( has_psf ) {
        axial = CORRECT_AXIAL(slices_ch, settings.correct_axial)
        made = made + [axial]
        slices_ch = axial.store
    }
    cropped = CROP_INTERFACE(slices_ch, settings.crop_interface)
    normalized = NORMALIZE(cropped.store, settings.normalize)
    made = made + [cropped, normalized]

    emit:
    slices   = normalized.store
    places   = placed.positions     // table of each slice
    stages   = linked.stages        // where the stage has its tiles
    stores   = made.inject(channel.empty()) { all, step -> all.mix(step.store) }
    failures = made.inject(measured.failure) { all, step -> all.mix(step.failure) }
    files    = made.inject(measured.links.flatMap { _id, table, stage, windows -> [table, stage, windows] }.mix(measured.files, placed.positions, placed.model, placed.distortion, placed.picture, placed.files)) { all, step -> all.mix(step.files) }.flatten()
}
