include { optionsOf } from '../../functions/settings'

// Register one slice on another a few cuts above it.
process REGISTER_PAIRWISE {
    tag "z${fixed_id}-z${moving_id}"
    label 'pair'
    cache 'deep'

    input:
    tuple val(fixed_id), val(moving_id), path(fixed, arity: '1'), path(moving, arity: '1')
    path shifts, arity: '1'
    val settings

    output:
    tuple val(fixed_id), val(moving_id),
        path("z${fixed_id}_z${moving_id}_transform.json"),
        path("z${fixed_id}_z${moving_id}_transform.tfm"),
        path("z${fixed_id}_z${moving_id}_transform.metrics.json"),
        path("z${fixed_id}_z${moving_id}_transform.crc32c.json"),
        optional: true, emit: made
    tuple val(fixed_id), val(moving_id), path("z${fixed_id}_z${moving_id}_failure.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    register_pairwise.py \\
        --fixed ${fixed} \\
        --moving ${moving} \\
        --shifts ${shifts} \\
        ${optionsOf(settings)} \\
        --failure-record z${fixed_id}_z${moving_id}_failure.json \\
        --threads ${task.cpus} \\
        --output z${fixed_id}_z${moving_id}_transform.json
    """

    stub:
    """
    echo '{}' > z${fixed_id}_z${moving_id}_transform.json
    echo '{}' > z${fixed_id}_z${moving_id}_transform.metrics.json
    echo '{}' > z${fixed_id}_z${moving_id}_transform.crc32c.json
    touch z${fixed_id}_z${moving_id}_transform.tfm
    """
}
