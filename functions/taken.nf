// What a run takes from another one on the same tiles (--positions_from); tables and metrics alone.
// src/mosaicflow/engine/taken.py says the same.
def filesOfRun(folder) {
    if( !folder )
        return [:]
    def tables = folder.resolve('tables')
    def lacking = ['alignment.json', 'tile_distortion.csv'].find { name -> !tables.resolve(name).exists() }
    if( lacking )
        error "--positions_from ${folder} has no tables/${lacking}, expected the output folder of a finished run: finish that run, or give another"
    def flat = listed(folder, 'metrics', /mosaic_grid_3d_z\d+_focal_fix\.metrics\.json/)
    def curvature = tables.resolve('focal_curvature.json')
    return [
        tiles: listed(folder, 'tables', /z\d+_tiles\.json/),
        positions: listed(folder, 'tables', /z\d+_tile_positions\.csv/),
        stages: listed(folder, 'tables', /z\d+_tile_stage\.json/),
        faces: listed(folder, 'metrics', /slice_z\d+_crop_interface\.metrics\.json/),
        distortion: tables.resolve('tile_distortion.csv'), alignment: tables.resolve('alignment.json'),
        curvature: flat && curvature.exists() ? curvature : null
    ]
}

def listed(folder, part, pattern) {
    def here = folder.resolve(part)
    return here.isDirectory() ? here.listFiles().findAll { f -> f.name ==~ pattern }.toSorted { f -> f.name } : []
}

// What the other run says of the block face of a slice; nothing of a slice that it lost.
def faceOf(run, id) {
    return run?.faces?.find { f -> (f.name =~ /_z(\d+)_/)[0][1].toInteger() == id.toInteger() } ?: []
}
