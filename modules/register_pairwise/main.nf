// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 1afb5b5b.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Register a slice on one a few cuts above it, by the tissue that both show.
process REGISTER_PAIRWISE {
    tag "z${fixed_id}-z${moving_id}"
    label 'pair'
    cache 'deep'

    input:
    tuple val(fixed_id), val(moving_id), path(fixed, arity: '1'), path(moving, arity: '1')
    path shifts, stageAs: 'shifts/*'
    val settings

    output:
    tuple val(fixed_id), val(moving_id),
        path("z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.json"),
        path("z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.tfm"),
        path("z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.metrics.json"),
        path("z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(fixed_id), val(moving_id), path("z${fixed_id}_z${moving_id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = settings + [shifts: shifts].findAll { _name, f -> f }
    """
    register_pairwise.py \\
        --fixed ${fixed} \\
        --moving ${moving} \\
        ${optionsOf(given)} \\
        --failure-record z${fixed_id}_z${moving_id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.json
    """

    stub:
    """
    echo '{}' > z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.json
    touch z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.tfm
    echo '{}' > z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.metrics.json
    echo '{}' > z${fixed_id}_z${moving_id}_transform${suffixOf(settings)}.crc32c.json
    """
}
