include { optionsOf } from '../../functions/settings'

// Measure how the tiles of one slice lie beside each other.
process ESTIMATE_TILE_POSITIONS {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(illumination)
    val settings

    output:
    tuple val(id),
        path("z${id}_tile_links.csv"),
        path("z${id}_tile_stage.json"),
        path("z${id}_tile_windows.csv"),
        path("z${id}_tile_links.metrics.json"),
        path("z${id}_tile_links.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure.json"), optional: true, emit: failure
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
    touch z${id}_tile_links.csv z${id}_tile_windows.csv
    echo '{}' > z${id}_tile_stage.json
    echo '{}' > z${id}_tile_links.metrics.json
    echo '{}' > z${id}_tile_links.crc32c.json
    """
}
