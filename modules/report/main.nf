include { optionsOf } from '../../functions/settings'

// Say in one page what can be measured in the volume, and where not.
process REPORT {
    label 'table'
    cache 'deep'

    input:
    path files, stageAs: 'run/*', arity: '1..*'
    path facts, arity: '1'
    val settings

    output:
    path 'report.html', arity: '1', emit: page
    path 'README.txt', arity: '1', emit: guide
    path 'run.json', arity: '1', emit: record
    path 'ro-crate-metadata.json', arity: '1', emit: crate
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    report.py \\
        --files run/* \\
        --facts ${facts} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    echo '<!doctype html>' > report.html
    touch README.txt
    echo '{"closing": [], "verdict": {"failed": false}}' > run.json
    echo '{}' > ro-crate-metadata.json
    """
}
