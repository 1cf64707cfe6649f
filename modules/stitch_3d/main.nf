// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 16652533.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Sample every tile once, at its place, into one slice.
process STITCH_3D {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(positions, arity: '1'), path(distortion, stageAs: 'distortion/*')
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
    def given = settings + [distortion: distortion].findAll { _name, f -> f }
    """
    stitch_3d.py \\
        --grid ${grid} \\
        --positions ${positions} \\
        ${optionsOf(given)} \\
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
