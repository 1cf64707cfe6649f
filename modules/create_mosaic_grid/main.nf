// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: dfe4dc66.
include { optionsOf ; quoted ; suffixOf } from '../../functions/settings'

// Write the mosaic grid of one slice at its native spacing.
process CREATE_MOSAIC_GRID {
    tag "z${id}"
    label 'tiles'
    cache 'deep'

    input:
    tuple val(id), path(tiles, arity: '1'), path(entries, stageAs: 'raw/*')
    val settings

    output:
    tuple val(id),
        path("mosaic_grid_3d_z${id}${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("mosaic_grid_3d_z${id}${suffixOf(settings)}.problems.json"),
        path("mosaic_grid_3d_z${id}${suffixOf(settings)}.metrics.json"),
        path("mosaic_grid_3d_z${id}${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    create_mosaic_grid.py \\
        --tiles ${tiles} \\
        --raw ${quoted(settings.address ?: 'raw')} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output mosaic_grid_3d_z${id}${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir mosaic_grid_3d_z${id}${suffixOf(settings)}.ome.zarr
    echo '{}' > mosaic_grid_3d_z${id}${suffixOf(settings)}.problems.json
    echo '{}' > mosaic_grid_3d_z${id}${suffixOf(settings)}.metrics.json
    echo '{}' > mosaic_grid_3d_z${id}${suffixOf(settings)}.crc32c.json
    """
}
