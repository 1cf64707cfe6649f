include { inputPatterns ; outputPatterns ; sliceChain } from './contracts'
include { optionsOf } from './settings'

// The stages of one slice between two waits of the run, as one task takes them (--granularity slice).
// A step: stage, the options that connect it, the names it makes (the first is its output), its settings.

// Raw tiles -> grid, as it is and at working pitch.
def gridSteps(id, settings) {
    def stages = ['create_mosaic_grid'] + (settings.resample_mosaic_grid.resolution_um > 0 ? ['resample_mosaic_grid'] : [])
    return stepsOf(stages, id, ["z${id}_tiles.json"], settings, [create_mosaic_grid: [raw: settings.create_mosaic_grid.address ?: 'raw']])
}

// Grids and what all tiles share -> evenly lit grid.
def lightSteps(id, settings, is_curved) {
    def there = [workingGrid(id, settings), 'illumination.npz', 'focal_curvature.json']
    return stepsOf(['fix_illumination'] + (is_curved ? ['fix_focal_curvature'] : []), id, there, settings, [:])
}

// Grid -> the same without the curvature of the field.
def flatSteps(id, settings, grid) {
    return stepsOf(['fix_focal_curvature'], id, [grid, 'focal_curvature.json'], settings, [:])
}

def flatGrid(id) {
    return outputsOf('fix_focal_curvature', [id])[0]
}

// Grid at native pitch -> links between its tiles.
def linkSteps(id, settings, is_lit) {
    def there = outputsOf('create_mosaic_grid', [id]) + (is_lit ? ['illumination.npz'] : [])
    return stepsOf(['estimate_tile_positions'], id, there, settings, [:])
}

// Grid and places of its tiles -> slice; with the block face that another run has found, or [].
def sliceSteps(id, settings, grid, has_psf, face) {
    def chain = sliceChain().findAll { stage -> has_psf || stage != 'correct_axial' }
    def there = [grid, "z${id}_tile_positions.csv", 'tile_distortion.csv']
    return stepsOf(['stitch_3d'] + chain, id, there, settings, face ? [crop_interface: [face_of: "other/${face.name}"]] : [:])
}

// Stages one after the other; each takes the first that is there of what its contract reads, and what is
// known of it beside that.
def stepsOf(stages, id, files, settings, known) {
    return stages.inject([]) { steps, stage ->
        def there = (files + steps.collectMany { one -> one.makes })*.toString()
        def read = inputPatterns()[stage]
            .collectEntries { name, patterns -> [(name): patterns.collect { pattern -> named(pattern, [id]) }.find { one -> one in there }] }
            .findAll { _name, found -> found }
        steps + [step(stage, [id], read + (known[stage] ?: [:]), settings)]
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
    return outputPatterns()[stage].collect { pattern -> named(pattern, ids) }
}

def named(pattern, ids) {
    return ids.inject(pattern) { name, id -> name.replaceFirst(/\{z\}/, "z${id}") }
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
