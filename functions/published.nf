// Folder of the output tree that a file or store belongs to; the embedded engine's
// src/mosaicflow/engine/layout.py says the same, and a test compares what both publish.
def publishedFolder(name) {
    def slice = name =~ /^slice_z\d+_(\w+)\.(ome\.zarr|crc32c\.json)$/
    if( slice.matches() )
        return "slices/${slice.group(1)}"
    if( name ==~ /mosaic_grid_.*\.(ome\.zarr|crc32c\.json)/ )
        return 'mosaic_grids'
    if( name.endsWith('.metrics.json') )
        return 'metrics'
    if( name ==~ /.*\.(mrc|nii|ome\.tif|ply|stl|obj|glb|pickle)|.*_(tiles|slices)(\.xml|_TileConfiguration\.txt)/ )
        return 'exports'
    if( name.endsWith('_export.crc32c.json') )
        return 'exports'
    if( name ==~ /.*_transform(_xy)?\.(json|tfm|npy|crc32c\.json)/ )
        return 'transforms'
    if( name ==~ /(acquisition|alignment|(depth_profile|illumination)(_c\d+)?|shifts_xy_clean|stage_model|z\d+_tile_links)\.crc32c\.json/ )
        return 'tables'
    if( name.endsWith('.crc32c.json') || name == 'ro-crate-metadata.json' )
        return '.'
    if( name.endsWith('.png') )
        return 'previews'
    if( name ==~ /.*\.(json|csv|npz|bdv\.xml)|z\d+_TileConfiguration\.txt/ )
        return 'tables'
    return '.'
}

// All folders at the top of the output tree.
def publishedFolders() {
    return ['mosaic_grids', 'slices', 'transforms', 'tables', 'metrics', 'previews', 'exports', 'pipeline_info']
}

// Whether a result is kept in the output folder (--keep): all; qc: what shows how good it is; final: the
// volume, tables, metrics and the report. src/mosaicflow/engine/layout.py says the same.
def isKept(name, keep) {
    def folder = publishedFolder(name)
    if( folder in ['slices/normalize', 'transforms', 'previews'] )
        return keep != 'final'
    return keep == 'all' || !(folder == 'mosaic_grids' || folder.startsWith('slices/'))
}

// The stage that made a store, by the store's name.
def stageOf(name) {
    def stages = [
        resampled: 'resample_mosaic_grid', illum_fix: 'fix_illumination', focal_fix: 'fix_focal_curvature',
        axial_corr: 'correct_axial'
    ]
    def process = (name =~ /^(?:mosaic_grid_3d|slice)_z\d+_?(\w*)\.ome\.zarr$/)[0][1]
    def own = process.replaceFirst(/_?c\d+(cos|sin)?$/, '')      // of another channel
    return stages[own] ?: own ?: 'create_mosaic_grid'
}

// How stores get into the output folder. Unless told otherwise by hard links, which cost neither time nor
// space, where the disk has them; tables, which people edit, are always copied.
def publishMode(asked, work, output) {
    if( asked != 'auto' )
        return asked
    java.nio.file.Files.createDirectories(work)
    java.nio.file.Files.createDirectories(output)
    def probe = java.nio.file.Files.createTempFile(work, 'probe', '')
    def mode = isLinked(output.resolve(probe.name), probe) ? 'link' : 'copy'
    java.nio.file.Files.delete(probe)
    return mode
}

def isLinked(link, target) {
    try {
        java.nio.file.Files.createLink(link, target)
        java.nio.file.Files.delete(link)
        return true
    }
    catch( java.io.IOException _refused ) {     // another disk, or one without links
        return false
    }
    catch( java.lang.UnsupportedOperationException _unknown ) {     // an object store
        return false
    }
}
