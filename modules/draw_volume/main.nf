include { volumeCommand } from '../../functions/chains'

// Depth profile and volume, one after the other: a queue is waited for once.
process DRAW_VOLUME {
    label 'volume'
    cache 'deep'

    input:
    path slices, arity: '1..*'
    path alignment, arity: '1'
    val name
    val settings    // map: those of both stages

    output:
    path "${name}.ome.zarr${settings.stack.address ? '.address' : ''}", arity: '1', emit: volume
    path 'depth_profile.json', arity: '1', emit: profile
    tuple path('depth_profile.metrics.json', arity: '1'),
        path('depth_profile.crc32c.json', arity: '1'),
        path("${name}.metrics.json", arity: '1'),
        path("${name}.crc32c.json", arity: '1'),
        path('z_matches.csv', arity: '1'),
        path('stacking_decisions.csv', arity: '1'),
        path('stack_z_intensity.csv', arity: '1'),
        emit: files
    path "${name}.png", optional: true, emit: preview
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    mosaicflow run-stages ${volumeCommand(slices, alignment, name, settings, task.cpus)}
    """

    stub:
    """
    ${settings.stack.address ? 'touch' : 'mkdir'} ${name}.ome.zarr${settings.stack.address ? '.address' : ''}
    echo '{"source": "off", "reason": "stub"}' > depth_profile.json
    touch ${name}.png z_matches.csv stacking_decisions.csv stack_z_intensity.csv
    for name in depth_profile ${name}; do
        echo '{}' > \$name.metrics.json
        echo '{}' > \$name.crc32c.json
    done
    """
}
