include { flatGrid ; flatSteps ; gridSteps ; lightSteps ; linkSteps ; sliceSteps ; workingGrid } from '../functions/chains'
include { inOrder                        } from '../functions/slices'
include { faceOf                         } from '../functions/taken'
include { RUN_STAGES as RUN_GRID_STAGES  } from '../modules/run_stages'
include { RUN_STAGES as RUN_LIGHT_STAGES } from '../modules/run_stages'
include { RUN_STAGES as RUN_SLICE_STAGES } from '../modules/run_stages'
include { ESTIMATE_ILLUMINATION          } from '../modules/estimate_illumination'
include { PLACE_TILES                    } from './place_tiles'

// Raw tiles of each slice -> seamless slices, as BUILD_GRIDS and RECONSTRUCT_SLICES make them, with one
// task for all that a slice goes through between two waits of the run.
workflow CHAIN_SLICES {
    take:
    tiles_ch    // [ id, tile list, raw tiles ]
    known       // map: tables that somebody gave, or []: overrides, distortion; run: files of another run, or [:]
    settings    // map: stage -> its settings
    use         // map: which steps run: light, curvature, psf

    main:
    // Of another run, with whose places nothing is measured; without light, grids are made flat at once.
    bowl = known.run?.curvature ?: []
    first_ch = tiles_ch.map { id, list, entries ->
        def more = known.run ? (bowl ? flatSteps(id, settings, workingGrid(id, settings)) : []) : linkSteps(id, settings, false)
        tuple(id, gridSteps(id, settings) + (use.light ? [] : more), use.light ? [list] : [list, bowl].flatten(), entries, [])
    }
    gridded = RUN_GRID_STAGES(first_ch)
    tasks = [gridded]
    grids_ch = gridded.stores.flatMap { id, found -> [found].flatten().collect { grid -> tuple(id, grid) } }
    native_ch = grids_ch.filter { id, grid -> grid.name == "mosaic_grid_3d_z${id}.ome.zarr" }
    is_flat = bowl && !use.light
    working_ch = grids_ch.filter { id, grid -> grid.name == (is_flat ? flatGrid(id) : workingGrid(id, settings)) }
    links_ch = gridded.links
    files_ch = channel.empty()
    curvature_ch = bowl ? channel.value(bowl) : channel.empty()
    if( use.light ) {
        all_grids = native_ch.toList().filter { rows -> rows }.map { rows -> inOrder(rows) }
        light = ESTIMATE_ILLUMINATION(all_grids, settings.estimate_illumination)
        curvature_ch = known.run ? curvature_ch : light.curvature
        files_ch = light.illumination.mix(light.files, light.curvature)
        curvature = use.curvature ? curvature_ch.ifEmpty('none') : channel.value('none')
        // A grid that could not be resampled is left without light, but its tiles are linked.
        lit_ch = native_ch.join(working_ch, remainder: true)
            .map { id, native_grid, working -> tuple(id, native_grid, working ?: []) }
            .combine(light.illumination)
            .combine(curvature)
            .map { id, native_grid, working, field, curved ->
                def is_curved = curved != 'none'
                def steps = (working ? lightSteps(id, settings, is_curved) : []) + (known.run ? [] : linkSteps(id, settings, true))
                tuple(id, steps, ([native_grid, working, field] + (is_curved ? [curved] : [])).flatten().unique(), [], [])
            }
            .filter { _id, steps, _files, _raw, _others -> steps }
        lit = RUN_LIGHT_STAGES(lit_ch)
        tasks = tasks + [lit]
        links_ch = lit.links
        working_ch = lit.stores.combine(curvature)
            .map { id, found, curved ->
                def ending = curved == 'none' ? '_illum_fix.ome.zarr' : '_focal_fix.ome.zarr'
                tuple(id, [found].flatten().find { grid -> grid.name.endsWith(ending) })
            }
            .filter { _id, grid -> grid }
    }
    placed = PLACE_TILES(links_ch, tiles_ch.map { id, list, _entries -> tuple(id, list) }, known, settings)
    last_ch = working_ch.join(placed.tables).combine(placed.distortion).map { id, grid, table, distortion ->
        def face = faceOf(known.run, id)
        tuple(id, sliceSteps(id, settings, grid.name, use.psf, face), [grid, table, distortion], [], face)
    }
    finished = RUN_SLICE_STAGES(last_ch)
    tasks = tasks + [finished]
    stores_ch = tasks.inject(channel.empty()) { all, task -> all.mix(task.stores) }
        .flatMap { id, found -> [found].flatten().collect { store -> tuple(id, store) } }

    emit:
    slices   = stores_ch.filter { _id, store -> store.name.endsWith('_normalize.ome.zarr') }
    faces    = stores_ch.filter { _id, store -> store.name.endsWith('_crop_interface.ome.zarr') }
    tables   = placed.tables
    distortion = placed.distortion
    alignment = placed.alignment
    curvature = curvature_ch  // of the field, where there is one
    places   = placed.places
    stages   = placed.stages
    made     = stores_ch
    failures = tasks.inject(channel.empty()) { all, task -> all.mix(task.failures) }
    files    = tasks.inject(files_ch) { all, task -> all.mix(task.files) }
        .flatten()
        .filter { f -> !f.name.endsWith('_failure.json') }
        .mix(placed.files)
}
