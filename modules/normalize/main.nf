include { optionsOf } from '../../functions/settings'

// Scale each plane of one slice to a common range.
process NORMALIZE {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(slice, arity: '1')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_normalize.ome.zarr", type: 'dir'),
        path("slice_z${id}_normalize.metrics.json"),
        path("slice_z${id}_normalize.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure.json"), optional: true, emit: failure
    path "slice_z${id}_normalize.png", optional: true, emit: preview
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    normalize.py \\
        --slice-path ${slice} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_normalize.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_normalize.ome.zarr
    echo '{}' > slice_z${id}_normalize.metrics.json
    echo '{}' > slice_z${id}_normalize.crc32c.json
    touch slice_z${id}_normalize.png
    """
}
