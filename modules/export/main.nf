include { optionsOf } from '../../functions/settings'

// Write the volume as files that other programs open.
process EXPORT {
    label 'volume'
    cache 'deep'

    input:
    path volume, arity: '1'
    val settings

    output:
    // In the task's own folder: what is published keeps its place below it.
    path "${volume.name - '.ome.zarr'}{.mrc,.nii,.ome.tif,.pickle,_surface.*,_export.metrics.json}", arity: '2..*', emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    export.py \\
        --volume ${volume} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    touch ${exportedNames(volume.name - '.ome.zarr', settings.export_formats).join(' ')}
    echo '{}' > ${volume.name - '.ome.zarr'}_export.metrics.json
    """
}

// Files that formats make of a volume, as src/mosaicflow/stages/_export.py names them.
def exportedNames(stem, formats) {
    def suffixes = [
        mrc: ['.mrc'], nifti: ['.nii'], 'ome-tiff': ['.ome.tif'], session: ['.pickle'],
        mesh: ['_surface.ply', '_surface.stl', '_surface.obj', '_surface.glb']
    ]
    return formats.collectMany { format -> suffixes[format] }.collect { suffix -> "${stem}${suffix}".toString() }
}
