include { optionsOf } from '../../functions/settings'

// Let plane 0 of one slice be the block face.
process CROP_INTERFACE {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(slice, arity: '1')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_crop_interface.ome.zarr", type: 'dir'),
        path("slice_z${id}_crop_interface.metrics.json"),
        path("slice_z${id}_crop_interface.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    crop_interface.py \\
        --slice-path ${slice} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_crop_interface.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_crop_interface.ome.zarr
    echo '{}' > slice_z${id}_crop_interface.metrics.json
    echo '{}' > slice_z${id}_crop_interface.crc32c.json
    """
}
