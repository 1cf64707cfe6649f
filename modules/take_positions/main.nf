include { optionsOf } from '../../functions/settings'

// Take the places of tiles and slices from another run on the same tiles.
process TAKE_POSITIONS {
    label 'table'
    cache 'deep'

    input:
    path tiles, arity: '1..*'
    path run_tiles, stageAs: 'run/*', arity: '1..*'
    path run_positions, stageAs: 'run/*', arity: '1..*'
    path run_stages, stageAs: 'run/*'
    path distortion, stageAs: 'run/*', arity: '1'
    path alignment, stageAs: 'run/*', arity: '1'
    val settings

    output:
    path 'z*_tile_positions.csv', arity: '1..*', emit: positions
    path 'z*_tile_stage.json', arity: '1..*', optional: true, emit: stages
    path 'tile_distortion.csv', arity: '1', emit: distortion
    path 'alignment.json', arity: '1', emit: alignment
    tuple path('alignment.metrics.json', arity: '1'),
        path('alignment.crc32c.json', arity: '1'),
        path('z*_TileConfiguration.txt', arity: '1..*'),
        path('z*_tiles.bdv.xml', arity: '1..*'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def stages = run_stages ? "--run-stages ${run_stages}" : ''
    """
    take_positions.py \\
        --tiles ${tiles} \\
        --run-tiles ${run_tiles} \\
        --run-positions ${run_positions} \\
        ${stages} \\
        --distortion ${distortion} \\
        --alignment ${alignment} \\
        ${optionsOf(settings)} \\
        --output-dir .
    """

    stub:
    """
    for list in z*_tiles.json; do
        z=\${list%_tiles.json}
        touch \${z}_tile_positions.csv \${z}_TileConfiguration.txt \${z}_tiles.bdv.xml
        echo '{}' > \${z}_tile_stage.json
    done
    touch tile_distortion.csv
    echo '{}' > alignment.json
    echo '{}' > alignment.metrics.json
    echo '{}' > alignment.crc32c.json
    """
}
