include { optionsOf } from './settings'

// The stages of one slice between two waits of the run, as one task takes them (--granularity slice).
// A step: stage, the options that connect it, the names it makes (the first is its output), its settings.

// Raw tiles -> grid, as it is and at working pitch.
def gridSteps(id, settings) {
    def grid = "mosaic_grid_3d_z${id}"
    def made = step('create_mosaic_grid', [tiles: "z${id}_tiles.json", raw: 'raw'], ["${grid}.ome.zarr", "${grid}.problems.json"], settings)
    return settings.resample_mosaic_grid.resolution_um > 0
        ? [made, step('resample_mosaic_grid', [grid: "${grid}.ome.zarr"], ["${grid}_resampled.ome.zarr"], settings)]
        : [made]
}

// Grids and what all tiles share -> evenly lit grid.
def lightSteps(id, settings, is_curved) {
    def grid = "mosaic_grid_3d_z${id}"
    def lit = step('fix_illumination', [grid: workingGrid(id, settings), illumination: 'illumination.npz'], ["${grid}_illum_fix.ome.zarr"], settings)
    return is_curved ? [lit] + flatSteps(id, settings, "${grid}_illum_fix.ome.zarr") : [lit]
}

// Grid -> the same without the curvature of the field.
def flatSteps(id, settings, grid) {
    return [step('fix_focal_curvature', [grid: grid, curvature: 'focal_curvature.json'], [flatGrid(id)], settings)]
}

def flatGrid(id) {
    return "mosaic_grid_3d_z${id}_focal_fix.ome.zarr".toString()
}

// Grid at native pitch -> links between its tiles.
def linkSteps(id, settings, is_lit) {
    def given = [grid: "mosaic_grid_3d_z${id}.ome.zarr"] + (is_lit ? [illumination: 'illumination.npz'] : [:])
    return [step('estimate_tile_positions', given, ['tile_links.csv', 'tile_stage.json', 'tile_windows.csv'].collect { name -> "z${id}_${name}" }, settings)]
}

// Grid and places of its tiles -> slice; with the block face that another run has found, or [].
def sliceSteps(id, settings, grid, has_psf, face) {
    def chain = [['crop_interface', 'crop_interface'], ['normalize', 'normalize']]
    def stitched = "slice_z${id}_stitch_3d"
    def placed = [grid: grid, positions: "z${id}_tile_positions.csv", distortion: 'tile_distortion.csv']
    def first = step('stitch_3d', placed, ["${stitched}.ome.zarr", "${stitched}.png"], settings)
    return ((has_psf ? [['correct_axial', 'axial_corr']] : []) + chain).inject([first]) { steps, next ->
        def slice = "slice_z${id}_${next[1]}"
        def pictures = next[0] == 'normalize' ? ["${slice}.png"] : []
        def given = ['slice-path': steps[-1].makes[0]] + (face && next[0] == 'crop_interface' ? ['face-of': "other/${face.name}"] : [:])
        steps + [step(next[0], given, ["${slice}.ome.zarr"] + pictures, settings)]
    }
}

// One slice against each of those above it: rows [ id, slice ].
def pairSteps(upper, id, slice, shifts, settings) {
    return upper.collect { fixed_id, fixed ->
        def pair = "z${fixed_id}_z${id}"
        def given = [fixed: fixed.name, moving: slice.name, shifts: shifts.name]
        step('register_pairwise', given, ["${pair}_transform.json", "${pair}_transform.tfm"], settings) + [record: "${pair}_failure.json".toString()]
    }
}

def workingGrid(id, settings) {
    def suffix = settings.resample_mosaic_grid.resolution_um > 0 ? '_resampled' : ''
    return "mosaic_grid_3d_z${id}${suffix}.ome.zarr".toString()
}

// With names as plain text: they are hashed.
def step(stage, given, makes, settings) {
    def connected = given.collectEntries { name, value -> [(name): value.toString()] }
    return [stage: stage, given: connected, makes: makes.collect { name -> name.toString() }, settings: settings[stage]]
}

// The steps as one command line, each with the options that its own module gives it.
def commandsOf(steps, id, threads) {
    return steps
        .collect { one ->
            def made = one.makes[0].endsWith('_tile_links.csv') ? ['output-dir': '.'] : [output: one.makes[0]]
            def common = ['failure-record': one.record ?: "z${id}_failure.json", threads: threads] + made
            "${one.stage} \\\n        " + optionsOf(one.given + one.settings + common)
        }
        .join(' \\\n    --then ')
}

// Empty outputs under the right names.
def stubOf(steps) {
    return steps
        .collectMany { one ->
            def stem = one.makes[0].replaceAll(/\.(ome\.zarr|json|csv)$/, '')
            (one.makes + ["${stem}.metrics.json", "${stem}.crc32c.json"]).collect { name -> name.endsWith('.zarr') ? "mkdir ${name}" : "echo '{}' > ${name}" }
        }
        .join('\n    ')
}
