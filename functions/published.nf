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
    if( name ==~ /(acquisition|alignment|depth_profile|illumination|shifts_xy_clean|stage_model|z\d+_tile_links)\.crc32c\.json/ )
        return 'tables'
    if( name.endsWith('.crc32c.json') )
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
