// Make up an acquisition, for trying things out.
process SIMULATE {
    label 'tiles'

    input:
    val preset
    val version

    output:
    path 'simulated/raw', type: 'dir', arity: '1', emit: raw
    path 'simulated/truth', type: 'dir', arity: '1', emit: truth
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    mosaicflow simulate simulated --preset ${preset} --threads ${task.cpus}
    """

    stub:
    """
    mkdir -p simulated/raw/z00 simulated/truth
    """
}
