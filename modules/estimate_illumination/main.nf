include { optionsOf } from '../../functions/settings'

// Estimate the lateral shading that all tiles share.
process ESTIMATE_ILLUMINATION {
    label 'pool'
    cache 'deep'

    input:
    path grids, arity: '1..*'
    val settings

    output:
    path 'illumination.npz', arity: '1', emit: illumination
    // Only where overlaps show one beyond doubt.
    path 'focal_curvature.json', optional: true, emit: curvature
    tuple path('illumination.metrics.json', arity: '1'),
        path('illumination.crc32c.json', arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    estimate_illumination.py \\
        --grids ${grids} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output illumination.npz
    """

    stub:
    """
    touch illumination.npz
    echo '{}' > focal_curvature.json
    echo '{}' > illumination.metrics.json
    echo '{}' > illumination.crc32c.json
    """
}
