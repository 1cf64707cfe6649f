include { sliceIdOf           } from '../functions/slices'
include { POOL_TILE_POSITIONS } from '../modules/pool_tile_positions'

// Links between the tiles of each slice -> places of all tiles, by one model of the stage.
workflow PLACE_TILES {
    take:
    links_ch    // [ id, links, stage, windows ]
    tiles_ch    // [ id, tile list ]
    known       // map: tables that somebody gave, or []: overrides of places, distortion of the tiles
    settings

    main:
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

    emit:
    tables     = placed.positions.flatten().map { table -> tuple(sliceIdOf(table), table) }    // [ id, table ]
    distortion = placed.distortion
    places     = placed.positions     // table of each slice
    stages     = linked.stages        // where the stage has its tiles
    files      = placed.positions.mix(placed.model, placed.distortion, placed.picture, placed.files).flatten()
}
