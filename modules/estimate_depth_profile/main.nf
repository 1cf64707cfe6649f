// Tell how brightness falls with depth from the specimen's own contrast, one profile for all slices.
process ESTIMATE_DEPTH_PROFILE {
    label 'volume'
    cache 'deep'

    input:
    path slices, arity: '1..*'
    path alignment, arity: '1'

    output:
    path 'depth_profile.json', arity: '1', emit: profile
    path 'depth_profile.{metrics,crc32c}.json', emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    estimate_depth_profile.py \\
        --slices ${slices} \\
        --alignment ${alignment} \\
        --threads ${task.cpus} \\
        --output depth_profile.json
    """

    stub:
    """
    echo '{"source": "off", "reason": "stub"}' > depth_profile.json
    echo '{}' > depth_profile.metrics.json
    """
}
