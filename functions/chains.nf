include { outputPatterns ; sliceChain } from './contracts'
include { optionsOf } from './settings'

// The stages of one slice between two waits of the run, as one task takes them (--granularity slice).
// A step: stage, the options that connect it, the names it makes (the first is its output), its settings.

// Raw tiles -> grid, as it is and at working pitch.
def gridSteps(id, settings) {
    def made = step('create_mosaic_grid', [id], [tiles: "z${id}_tiles.json", raw: settings.create_mosaic_grid.address ?: 'raw'], settings)
    return settings.resample_mosaic_grid.resolution_um > 0
        ? [made, step('resample_mosaic_grid', [id], [grid: made.makes[0]], settings)]
        : [made]
}

// Grids and what all tiles share -> evenly lit grid.
def lightSteps(id, settings, is_curved) {
    def lit = step('fix_illumination', [id], [grid: workingGrid(id, settings), illumination: 'illumination.npz'], settings)
    return is_curved ? [lit] + flatSteps(id, settings, lit.makes[0]) : [lit]
}

// Grid -> the same without the curvature of the field.
def flatSteps(id, settings, grid) {
    return [step('fix_focal_curvature', [id], [grid: grid, curvature: 'focal_curvature.json'], settings)]
}

def flatGrid(id) {
    return outputsOf('fix_focal_curvature', [id])[0]
}

// Grid at native pitch -> links between its tiles.
def linkSteps(id, settings, is_lit) {
    def given = [grid: outputsOf('create_mosaic_grid', [id])[0]] + (is_lit ? [illumination: 'illumination.npz'] : [:])
    return [step('estimate_tile_positions', [id], given, settings)]
}

// Grid and places of its tiles -> slice; with the block face that another run has found, or [].
def sliceSteps(id, settings, grid, has_psf, face) {
    def chain = sliceChain().findAll { stage -> has_psf || stage != 'correct_axial' }
    def placed = [grid: grid, positions: "z${id}_tile_positions.csv", distortion: 'tile_distortion.csv']
    return chain.inject([step('stitch_3d', [id], placed, settings)]) { steps, next ->
        def given = ['slice-path': steps[-1].makes[0]] + (face && next == 'crop_interface' ? ['face-of': "other/${face.name}"] : [:])
        steps + [step(next, [id], given, settings)]
    }
}

// One slice against each of those above it: rows [ id, slice ].
def pairSteps(upper, id, slice, shifts, settings) {
    return upper.collect { fixed_id, fixed ->
        def given = [fixed: fixed.name, moving: slice.name, shifts: shifts.name]
        step('register_pairwise', [fixed_id, id], given, settings) + [record: "z${fixed_id}_z${id}_failure.json".toString()]
    }
}

def workingGrid(id, settings) {
    return outputsOf(settings.resample_mosaic_grid.resolution_um > 0 ? 'resample_mosaic_grid' : 'create_mosaic_grid', [id])[0]
}

// The names of what a stage makes of a slice or a pair.
def outputsOf(stage, ids) {
    return outputPatterns()[stage].collect { pattern -> ids.inject(pattern) { name, id -> name.replaceFirst(/\{z\}/, "z${id}") } }
}

// With names as plain text: they are hashed.
def step(stage, ids, given, settings) {
    def connected = given.collectEntries { name, value -> [(name): value.toString()] }
    return [stage: stage, given: connected, makes: outputsOf(stage, ids), settings: settings[stage]]
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

// Slices and where they go -> the volume, with the depth profile before it; a run has no record of failure.
def volumeCommand(slices, alignment, name, settings, threads) {
    def given = [slices: [slices].flatten()*.name, alignment: alignment.name]
    def profile = outputsOf('estimate_depth_profile', [])[0]
    def address = settings.stack.address ? ['volume-at': "${settings.stack.address}/${name}.ome.zarr"] : [:]
    def steps = [
        estimate_depth_profile: given + settings.estimate_depth_profile + [output: profile],
        stack: given + settings.stack + address + ['depth-profile': profile, output: "${name}.ome.zarr"]
    ]
    return steps
        .collect { stage, options -> "${stage} \\\n        " + optionsOf(options + [threads: threads]) }
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
