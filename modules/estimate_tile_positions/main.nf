// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 4e31d4b8.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Measure how the tiles of one slice lie beside each other, from what their overlaps show.
process ESTIMATE_TILE_POSITIONS {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(illumination, stageAs: 'illumination/*')
    val settings

    output:
    tuple val(id),
        path("z${id}_tile_links${suffixOf(settings)}.csv"),
        path("z${id}_tile_stage${suffixOf(settings)}.json"),
        path("z${id}_tile_windows${suffixOf(settings)}.csv"),
        path("z${id}_tile_links${suffixOf(settings)}.metrics.json"),
        path("z${id}_tile_links${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = settings + [illumination: illumination].findAll { _name, f -> f }
    """
    estimate_tile_positions.py \\
        --grid ${grid} \\
        ${optionsOf(given)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    touch z${id}_tile_links${suffixOf(settings)}.csv
    echo '{}' > z${id}_tile_stage${suffixOf(settings)}.json
    touch z${id}_tile_windows${suffixOf(settings)}.csv
    echo '{}' > z${id}_tile_links${suffixOf(settings)}.metrics.json
    echo '{}' > z${id}_tile_links${suffixOf(settings)}.crc32c.json
    """
}
