// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: b5467a4d.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Estimate the static shading that all tiles share, and the curvature of their depth scale.
process ESTIMATE_ILLUMINATION {
    label 'pool'
    cache 'deep'

    input:
    path grids, arity: '1..*'
    val settings

    output:
    path "illumination${suffixOf(settings)}.npz", arity: '1', emit: illumination
    path "focal_curvature${suffixOf(settings)}.json", optional: true, emit: curvature
    tuple path("illumination${suffixOf(settings)}.metrics.json", arity: '1'),
        path("illumination${suffixOf(settings)}.crc32c.json", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    estimate_illumination.py \\
        --grids ${grids} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output illumination${suffixOf(settings)}.npz
    """

    stub:
    """
    touch illumination${suffixOf(settings)}.npz
    echo '{}' > focal_curvature${suffixOf(settings)}.json
    echo '{}' > illumination${suffixOf(settings)}.metrics.json
    echo '{}' > illumination${suffixOf(settings)}.crc32c.json
    """
}
