// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: a3923cf7.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Remove the lateral shading from every tile of one slice.
process FIX_ILLUMINATION {
    tag "z${id}"
    label 'tiles'
    cache 'deep'

    input:
    tuple val(id), path(grid, arity: '1'), path(illumination, arity: '1')
    val settings

    output:
    tuple val(id),
        path("mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.metrics.json"),
        path("mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    fix_illumination.py \\
        --grid ${grid} \\
        --illumination ${illumination} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.ome.zarr
    echo '{}' > mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.metrics.json
    echo '{}' > mosaic_grid_3d_z${id}_illum_fix${suffixOf(settings)}.crc32c.json
    """
}
