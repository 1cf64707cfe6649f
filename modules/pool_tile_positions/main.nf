include { optionsOf } from '../../functions/settings'

// Place the tiles of all slices by their links and by one model of the stage.
process POOL_TILE_POSITIONS {
    label 'table'
    cache 'deep'

    input:
    path links, arity: '1..*'
    path stages, arity: '1..*'
    path tiles, arity: '1..*'
    path overrides, stageAs: 'overrides/*'
    val settings

    output:
    path 'z*_tile_positions.csv', arity: '1..*', emit: positions
    path 'stage_model.json', arity: '1', emit: model
    path '{stage_model.metrics.json,z*_tile_positions.metrics.json,z*_link_residuals.csv,z*_transform_xy.npy,z*_TileConfiguration.txt,z*_tiles.bdv.xml}', emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = [overrides: overrides].findAll { _name, f -> f }
    """
    pool_tile_positions.py \\
        --links ${links} \\
        --stages ${stages} \\
        --tiles ${tiles} \\
        ${optionsOf(given + settings)} \\
        --output-dir .
    """

    stub:
    """
    for links in z*_tile_links.csv; do
        z=\${links%_tile_links.csv}
        touch \${z}_tile_positions.csv \${z}_link_residuals.csv \${z}_transform_xy.npy \${z}_TileConfiguration.txt \${z}_tiles.bdv.xml
        echo '{}' > \${z}_tile_positions.metrics.json
    done
    echo '{}' > stage_model.json
    echo '{}' > stage_model.metrics.json
    """
}
