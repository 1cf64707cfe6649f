include { optionsOf } from '../../functions/settings'

// Decide where every slice goes.
process SOLVE_ALIGNMENT {
    label 'table'
    cache 'deep'

    input:
    path shifts, arity: '1'
    path slice_config, arity: '1'
    path slices, arity: '1..*'
    path transforms
    path failures
    path fragments
    path overrides, stageAs: 'overrides/*'
    val settings

    output:
    path 'alignment.json', arity: '1', emit: alignment
    tuple path('slice_config_final.csv', arity: '1'),
        path('alignment.metrics.json', arity: '1'),
        path('alignment.crc32c.json', arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def pairs = transforms ? "--transforms ${transforms}" : ''
    def found = fragments ? "--config-fragments ${fragments}" : ''
    def given = [overrides: overrides].findAll { _name, f -> f }
    def lost = failures ? "--failures ${failures}" : ''
    """
    solve_alignment.py \\
        --shifts ${shifts} \\
        --slice-config ${slice_config} \\
        --slices ${slices} ${pairs} ${lost} ${found} \\
        ${optionsOf(given + settings)} \\
        --output-dir .
    """

    stub:
    """
    touch slice_config_final.csv
    echo '{"slices": []}' > alignment.json
    echo '{}' > alignment.metrics.json
    echo '{}' > alignment.crc32c.json
    """
}
