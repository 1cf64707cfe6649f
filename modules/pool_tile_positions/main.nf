include { optionsOf } from '../../functions/settings'

// Place the tiles of all slices by their links and by one model of the stage.
process POOL_TILE_POSITIONS {
    label 'table'
    cache 'deep'

    input:
    path links, arity: '1..*'
    path stages, arity: '1..*'
    path windows, arity: '1..*'
    path tiles, arity: '1..*'
    path distortion, stageAs: 'distortion/*'
    path overrides, stageAs: 'overrides/*'
    val settings

    output:
    path 'z*_tile_positions.csv', arity: '1..*', emit: positions
    path 'stage_model.json', arity: '1', emit: model
    path 'tile_distortion.csv', arity: '1', emit: distortion
    path 'tile_distortion.png', arity: '1', emit: picture
    tuple path('stage_model.metrics.json', arity: '1'),
        path('stage_model.crc32c.json', arity: '1'),
        path('tile_positions.png', arity: '1'),
        path('z*_tile_positions.metrics.json', arity: '1..*'),
        path('z*_link_residuals.csv', arity: '1..*'),
        path('z*_transform_xy.npy', arity: '1..*'),
        path('z*_TileConfiguration.txt', arity: '1..*'),
        path('z*_tiles.bdv.xml', arity: '1..*'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    // A table of the distortion is staged; the words auto and none come with the settings.
    def given = settings + [overrides: overrides, distortion: distortion].findAll { _name, f -> f }
    """
    pool_tile_positions.py \\
        --links ${links} \\
        --stages ${stages} \\
        --windows ${windows} \\
        --tiles ${tiles} \\
        ${optionsOf(given)} \\
        --output-dir .
    """

    stub:
    """
    for links in z*_tile_links.csv; do
        z=\${links%_tile_links.csv}
        touch \${z}_tile_positions.csv \${z}_link_residuals.csv \${z}_transform_xy.npy \${z}_TileConfiguration.txt \${z}_tiles.bdv.xml
        echo '{}' > \${z}_tile_positions.metrics.json
    done
    touch tile_distortion.csv tile_distortion.png
    echo '{}' > stage_model.json
    touch tile_positions.png
    echo '{}' > stage_model.metrics.json
    echo '{}' > stage_model.crc32c.json
    """
}
