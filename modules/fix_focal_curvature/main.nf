// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: 7ae5518f.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Lift the columns of every tile of one slice to where a flat field would have them.
process FIX_FOCAL_CURVATURE {
    tag "z${id}"
    label 'tiles'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(curvature, arity: '1')
    val settings

    output:
    tuple val(id),
        path("mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.metrics.json"),
        path("mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    fix_focal_curvature.py \\
        --grid ${grid} \\
        --curvature ${curvature} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.ome.zarr
    echo '{}' > mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.metrics.json
    echo '{}' > mosaic_grid_3d_z${id}_focal_fix${suffixOf(settings)}.crc32c.json
    """
}
