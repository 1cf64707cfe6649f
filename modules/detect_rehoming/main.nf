include { optionsOf } from '../../functions/settings'

// Tell jumps of the stage from genuine moves between slices.
process DETECT_REHOMING {
    label 'table'
    cache 'deep'

    input:
    path shifts, arity: '1'
    val settings

    output:
    path 'shifts_xy_clean.csv', arity: '1', emit: shifts
    tuple path('shifts_xy_clean.metrics.json', arity: '1'),
        path('shifts_xy_clean.crc32c.json', arity: '1'),
        path('rehoming_report.json', arity: '1'),
        emit: files
    path 'rehoming_config.csv', arity: '1', emit: fragment
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    detect_rehoming.py \\
        --shifts ${shifts} \\
        ${optionsOf(settings)} \\
        --output-dir .
    """

    stub:
    """
    touch shifts_xy_clean.csv rehoming_config.csv
    echo '{}' > rehoming_report.json
    echo '{}' > shifts_xy_clean.metrics.json
    echo '{}' > shifts_xy_clean.crc32c.json
    """
}
