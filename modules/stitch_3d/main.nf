include { optionsOf ; suffixOf } from '../../functions/settings'

// Fuse the tiles of one grid into one seamless slice.
process STITCH_3D {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(positions, arity: '1'), path(distortion, arity: '1')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_stitch_3d${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("slice_z${id}_stitch_3d${suffixOf(settings)}.metrics.json"),
        path("slice_z${id}_stitch_3d${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    path "slice_z${id}_stitch_3d${suffixOf(settings)}.png", optional: true, emit: preview
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    stitch_3d.py \\
        --grid ${grid} \\
        --positions ${positions} \\
        --distortion ${distortion} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_stitch_3d${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_stitch_3d${suffixOf(settings)}.ome.zarr
    echo '{}' > slice_z${id}_stitch_3d${suffixOf(settings)}.metrics.json
    echo '{}' > slice_z${id}_stitch_3d${suffixOf(settings)}.crc32c.json
    touch slice_z${id}_stitch_3d${suffixOf(settings)}.png
    """
}
