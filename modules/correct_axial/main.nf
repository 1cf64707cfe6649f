// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: a053714f.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Make the gel around the tissue equally bright at all depths.
process CORRECT_AXIAL {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(slice, arity: '1')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_axial_corr${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("slice_z${id}_axial_corr${suffixOf(settings)}.metrics.json"),
        path("slice_z${id}_axial_corr${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    correct_axial.py \\
        --slice-path ${slice} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_axial_corr${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_axial_corr${suffixOf(settings)}.ome.zarr
    echo '{}' > slice_z${id}_axial_corr${suffixOf(settings)}.metrics.json
    echo '{}' > slice_z${id}_axial_corr${suffixOf(settings)}.crc32c.json
    """
}
