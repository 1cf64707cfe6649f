include { optionsOf } from '../../functions/settings'

// Make one volume of angles from those of cosine and sine of the doubled angle.
process JOIN_ANGLE {
    tag name
    label 'volume'
    cache 'deep'

    input:
    path cosine, arity: '1'
    path sine, arity: '1'
    val name
    val settings

    output:
    path "${name}.ome.zarr", type: 'dir', arity: '1', emit: volume
    tuple path("${name}.metrics.json", arity: '1'),
        path("${name}.crc32c.json", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    join_angle.py \\
        --cosine ${cosine} \\
        --sine ${sine} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output ${name}.ome.zarr
    """

    stub:
    """
    mkdir ${name}.ome.zarr
    echo '{}' > ${name}.metrics.json
    echo '{}' > ${name}.crc32c.json
    """
}
