include { optionsOf } from '../../functions/settings'

// Place the tiles of one slice by what their overlaps show.
process ESTIMATE_TILE_POSITIONS {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(illumination)
    val settings

    output:
    tuple val(id), path("z${id}_tile_positions.csv"), optional: true, emit: positions
    tuple val(id), path("z${id}_failure.json"), optional: true, emit: failure
    path "z${id}_{tile_positions.metrics.json,tile_links.csv,transform_xy.npy}", optional: true, emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def flat_field = illumination ? "--illumination ${illumination}" : ''
    """
    estimate_tile_positions.py \\
        --grid ${grid} ${flat_field} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure.json \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    touch z${id}_tile_positions.csv z${id}_tile_links.csv z${id}_transform_xy.npy
    echo '{}' > z${id}_tile_positions.metrics.json
    """
}
