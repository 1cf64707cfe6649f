// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 0e48a453.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Weigh the stage's positions and the registered pairs, and decide where every slice goes.
process SOLVE_ALIGNMENT {
    label 'table'
    cache 'deep'

    input:
    path shifts, arity: '1'
    path slice_config, arity: '1'
    path slices, arity: '1..*'
    path transforms
    path failures
    path config_fragments
    path overrides, stageAs: 'overrides/*'
    val settings

    output:
    path "alignment${suffixOf(settings)}.json", arity: '1', emit: alignment
    tuple path("alignment${suffixOf(settings)}.metrics.json", arity: '1'),
        path("alignment${suffixOf(settings)}.crc32c.json", arity: '1'),
        path("slice_config_final${suffixOf(settings)}.csv", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = settings + [transforms: transforms, failures: failures, config_fragments: config_fragments, overrides: overrides].findAll { _name, f -> f }
    """
    solve_alignment.py \\
        --shifts ${shifts} \\
        --slice-config ${slice_config} \\
        --slices ${slices} \\
        ${optionsOf(given)} \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    echo '{}' > alignment${suffixOf(settings)}.json
    touch slice_config_final${suffixOf(settings)}.csv
    echo '{}' > alignment${suffixOf(settings)}.metrics.json
    echo '{}' > alignment${suffixOf(settings)}.crc32c.json
    """
}
