include { sliceIdOf           } from '../functions/slices'
include { POOL_TILE_POSITIONS } from '../modules/pool_tile_positions'
include { TAKE_POSITIONS      } from '../modules/take_positions'

// Links between the tiles of each slice -> places of all tiles, by one model of the stage; or the places
// that another run on the same tiles has found.
workflow PLACE_TILES {
    take:
    links_ch    // [ id, links, stage, windows ]
    tiles_ch    // [ id, tile list ]
    known       // map: tables that somebody gave, or []: overrides, distortion; run: files of another run, or [:]
    settings

    main:
    if( known.run ) {
        lists = tiles_ch.toSortedList { a, b -> a[0].toInteger() <=> b[0].toInteger() }
            .filter { rows -> rows }
            .map { rows -> rows.collect { row -> row[1] } }
        placed = TAKE_POSITIONS(
            lists, known.run.tiles, known.run.positions, known.run.stages, known.run.distortion, known.run.alignment,
            settings.take_positions
        )
        stages_ch = placed.stages
        alignment_ch = placed.alignment
        files_ch = placed.positions.mix(placed.stages, placed.distortion, placed.files)
    }
    else {
        // The stage model waits for the links of all slices.
        linked = links_ch.join(tiles_ch)
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
        stages_ch = linked.stages
        alignment_ch = channel.empty()
        files_ch = placed.positions.mix(placed.model, placed.distortion, placed.picture, placed.files)
    }

    emit:
    tables     = placed.positions.flatten().map { table -> tuple(sliceIdOf(table), table) }    // [ id, table ]
    distortion = placed.distortion
    alignment  = alignment_ch         // of the other run
    places     = placed.positions     // table of each slice
    stages     = stages_ch            // where the stage has its tiles
    files      = files_ch.flatten()
}
