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
    path 'illumination.{metrics,crc32c}.json', emit: files
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
    echo '{}' > illumination.metrics.json
    """
}
