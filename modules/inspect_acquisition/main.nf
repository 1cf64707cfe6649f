include { optionsOf ; quoted } from '../../functions/settings'

// List the tiles of the acquisition, their places and all problems, without reading an image.
process INSPECT_ACQUISITION {
    label 'table'
    cache 'deep'

    input:
    path raw       // or [] where the settings have its address
    val listing    // names, sizes and times of the raw files: a folder's own hash misses them
    val table      // tile table at the top of the raw folder, or empty
    path positions, stageAs: 'positions/*'
    path tile_table, stageAs: 'tile_table/*'
    path slice_config, stageAs: 'slice_config/*'
    val settings

    output:
    path 'z*_tiles.json', arity: '1..*', emit: tiles
    path 'shifts_xy.csv', arity: '1', emit: shifts
    path 'slice_config.csv', arity: '1', emit: slice_config
    tuple path('acquisition.json', arity: '1'),
        path('acquisition.metrics.json', arity: '1'),
        path('acquisition.crc32c.json', arity: '1'),
        path('layout.png', arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = [positions: positions, tile_table: tile_table, slice_config: slice_config].findAll { _name, f -> f }
    """
    inspect_acquisition.py \\
        --raw ${settings.address ? quoted(settings.address) : raw}${table ? "/'${table}'" : ''} \\
        ${optionsOf(given + settings)} \\
        --output-dir .
    """

    stub:
    // Three slices, or those that are asked for as 'first-last', with what lies in their folders as tiles.
    def ends = settings.debug_slices ? settings.debug_slices.toString().tokenize('-')*.toInteger() : [0, 2]
    def ids = (ends[0]..ends[-1]).collect { z -> z.toString().padLeft(2, '0') }
    """
    for z in ${ids.join(' ')}; do
        tiles=
        if [ -d ${raw}/z\$z ]; then
            tiles=\$(ls ${raw}/z\$z | sed "s|.*|{\\"path\\": \\"z\$z/&\\"}|" | paste -s -d , -)
        fi
        echo "{\\"tiles\\": [\$tiles]}" > z\${z}_tiles.json
    done
    touch shifts_xy.csv slice_config.csv layout.png
    echo '{}' > acquisition.json
    echo '{}' > acquisition.metrics.json
    echo '{}' > acquisition.crc32c.json
    """
}
