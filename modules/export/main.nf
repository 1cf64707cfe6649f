include { optionsOf } from '../../functions/settings'

// Write the volume as files that other programs open.
process EXPORT {
    label 'volume'
    cache 'deep'

    input:
    path volume, arity: '1'
    path positions  // these three are there for placements only, otherwise []
    path stages
    path slices
    val settings

    output:
    // In the task's own folder: what is published keeps its place below it.
    tuple path("${volume.name - '.ome.zarr'}{.mrc,.nii,.ome.tif,.pickle,_surface.*,_tiles*,_slices*}", arity: '1..*'),
        path("${volume.name - '.ome.zarr'}_export.metrics.json", arity: '1'),
        path("${volume.name - '.ome.zarr'}_export.crc32c.json", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    def given = [positions: positions, stages: stages, slices: slices].findAll { _name, files -> files }
    """
    export.py \\
        --volume ${volume} \\
        ${optionsOf(given + settings)} \\
        --threads ${task.cpus} \\
        --output-dir .
    """

    stub:
    """
    touch ${exportedNames(volume.name - '.ome.zarr', settings.export_formats).join(' ')}
    echo '{}' > ${volume.name - '.ome.zarr'}_export.metrics.json
    echo '{}' > ${volume.name - '.ome.zarr'}_export.crc32c.json
    """
}

// Files that formats make of a volume, as src/mosaicflow/export/files.py names them.
def exportedNames(stem, formats) {
    def suffixes = [
        mrc: ['.mrc'], nifti: ['.nii'], 'ome-tiff': ['.ome.tif'], session: ['.pickle'],
        mesh: ['_surface.ply', '_surface.stl', '_surface.obj', '_surface.glb'],
        placements: [
            '_tiles_TileConfiguration.txt', '_tiles.xml', '_slices_TileConfiguration.txt', '_slices.xml'
        ]
    ]
    return formats.collectMany { format -> suffixes[format] }.collect { suffix -> "${stem}${suffix}".toString() }
}
