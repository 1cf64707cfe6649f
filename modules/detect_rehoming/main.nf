// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 580055af.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Tell spikes of the stage from genuine moves, and write steps that can be summed.
process DETECT_REHOMING {
    label 'table'
    cache 'deep'

    input:
    path shifts, arity: '1'
    val settings

    output:
    path "shifts_xy_clean${suffixOf(settings)}.csv", arity: '1', emit: clean_shifts
    path "rehoming_config${suffixOf(settings)}.csv", arity: '1', emit: rehoming_ledger
    tuple path("shifts_xy_clean${suffixOf(settings)}.metrics.json", arity: '1'),
        path("shifts_xy_clean${suffixOf(settings)}.crc32c.json", arity: '1'),
        path("rehoming_report${suffixOf(settings)}.json", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    detect_rehoming.py \\
        --shifts ${shifts} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    touch shifts_xy_clean${suffixOf(settings)}.csv
    echo '{}' > rehoming_report${suffixOf(settings)}.json
    touch rehoming_config${suffixOf(settings)}.csv
    echo '{}' > shifts_xy_clean${suffixOf(settings)}.metrics.json
    echo '{}' > shifts_xy_clean${suffixOf(settings)}.crc32c.json
    """
}
