include { optionsOf ; suffixOf } from '../../functions/settings'

// Draw all slices into one volume with its analysis pyramid.
process STACK {
    label 'volume'
    cache 'deep'

    input:
    path slices, arity: '1..*'
    path alignment, arity: '1'
    path profile, stageAs: 'profile/*'
    val name
    val settings

    output:
    // With an address the volume is written there, and a file that says so takes its place.
    path "${name}.ome.zarr${settings.address ? '.address' : ''}", arity: '1', emit: volume
    tuple path("${name}.metrics.json", arity: '1'),
        path("${name}.crc32c.json", arity: '1'),
        path("z_matches${suffixOf(settings)}.csv", arity: '1'),
        path("stacking_decisions${suffixOf(settings)}.csv", arity: '1'),
        path("stack_z_intensity${suffixOf(settings)}.csv", arity: '1'),
        emit: files
    path "${name}.png", optional: true, emit: preview
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    // Angles have no brightness, and so no profile of it.
    def volume_at = settings.address ? "${settings.address}/${name}.ome.zarr" : ''
    def given = settings + [depth_profile: profile, volume_at: volume_at].findAll { _name, f -> f }
    """
    stack.py \\
        --slices ${slices} \\
        --alignment ${alignment} \\
        ${optionsOf(given)} \\
        --threads ${task.cpus} \\
        --output ${name}.ome.zarr
    """

    stub:
    """
    ${settings.address ? 'touch' : 'mkdir'} ${name}.ome.zarr${settings.address ? '.address' : ''}
    touch ${name}.png z_matches${suffixOf(settings)}.csv stacking_decisions${suffixOf(settings)}.csv stack_z_intensity${suffixOf(settings)}.csv
    echo '{}' > ${name}.metrics.json
    echo '{}' > ${name}.crc32c.json
    """
}
