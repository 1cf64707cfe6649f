// Predict what a task of each stage takes, from the tiles that were found and the settings.
process PREDICT_RESOURCES {
    label 'table'
    cache 'deep'

    input:
    path tiles, arity: '1..*'
    val settings    // JSON: those that decide it

    output:
    path 'resources.json', arity: '1', emit: resources
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    cat > settings.json << 'END'
    ${settings}
    END
    mosaicflow predict-resources ${tiles} --settings settings.json --output resources.json
    """

    stub:
    """
    echo '{"stages": {}}' > resources.json
    """
}
