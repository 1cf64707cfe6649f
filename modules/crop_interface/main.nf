// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: afd3e079.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Let plane 0 be the block face.
process CROP_INTERFACE {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(slice, arity: '1'), path(face_of, stageAs: 'face_of/*')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_crop_interface${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("slice_z${id}_crop_interface${suffixOf(settings)}.metrics.json"),
        path("slice_z${id}_crop_interface${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = settings + [face_of: face_of].findAll { _name, f -> f }
    """
    crop_interface.py \\
        --slice-path ${slice} \\
        ${optionsOf(given)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_crop_interface${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_crop_interface${suffixOf(settings)}.ome.zarr
    echo '{}' > slice_z${id}_crop_interface${suffixOf(settings)}.metrics.json
    echo '{}' > slice_z${id}_crop_interface${suffixOf(settings)}.crc32c.json
    """
}
