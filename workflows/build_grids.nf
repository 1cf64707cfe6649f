include { inOrder ; storesOf    } from '../functions/slices'
include { CREATE_MOSAIC_GRID    } from '../modules/create_mosaic_grid'
include { RESAMPLE_MOSAIC_GRID  } from '../modules/resample_mosaic_grid'
include { ESTIMATE_ILLUMINATION } from '../modules/estimate_illumination'
include { FIX_ILLUMINATION      } from '../modules/fix_illumination'
include { FIX_FOCAL_CURVATURE   } from '../modules/fix_focal_curvature'

// Raw tiles of each slice -> mosaic grids, as they are, at working pitch, and evenly lit.
workflow BUILD_GRIDS {
    take:
    tiles_ch    // [ id, tile list, raw tiles ]
    known       // map: run: files of another run, or [:]
    settings    // map: stage -> its settings
    is_lit      // whether a flat field is estimated
    is_straight // whether the field's curvature is taken off where there is one

    main:
    raw_grids = CREATE_MOSAIC_GRID(tiles_ch, settings.create_mosaic_grid)
    native_ch = storesOf(raw_grids.made)
    steps = [raw_grids]
    grids_ch = native_ch
    if( settings.resample_mosaic_grid.resolution_um > 0 ) {
        resampled = RESAMPLE_MOSAIC_GRID(native_ch, settings.resample_mosaic_grid)
        steps = steps + [resampled]
        grids_ch = storesOf(resampled.made)
    }
    lit_ch = native_ch.map { id, grid -> tuple(id, grid, []) }
    files_ch = channel.empty()
    curvature_ch = known.run?.curvature ? channel.value(known.run.curvature) : channel.empty()
    if( is_lit ) {
        // The one place where slices wait for each other before the alignment. At native pitch:
        // coarser planes do not show how the field is curved.
        all_grids = native_ch.toList().filter { rows -> rows }.map { rows -> inOrder(rows) }
        light = ESTIMATE_ILLUMINATION(all_grids, settings.estimate_illumination)
        evened = FIX_ILLUMINATION(grids_ch.combine(light.illumination), settings.fix_illumination)
        steps = steps + [evened]
        grids_ch = storesOf(evened.made)
        lit_ch = native_ch.combine(light.illumination)
        curvature_ch = known.run ? curvature_ch : light.curvature
        files_ch = light.illumination.mix(light.files, light.curvature)
    }
    if( known.run ? known.run.curvature : is_straight ) {
        bowl = grids_ch.combine(curvature_ch.ifEmpty('none')).branch { _id, _grid, curvature ->
            flat: curvature == 'none'
            curved: true
        }
        lifted = FIX_FOCAL_CURVATURE(bowl.curved, settings.fix_focal_curvature)
        steps = steps + [lifted]
        grids_ch = bowl.flat.map { id, grid, _none -> tuple(id, grid) }.mix(storesOf(lifted.made))
    }

    emit:
    grids    = grids_ch     // [ id, grid to stitch ]
    unlit    = lit_ch       // [ id, grid at native pitch, flat field or [] ]
    curvature = curvature_ch  // of the field, where there is one, or that of the other run
    made     = steps.inject(channel.empty()) { all, step -> all.mix(step.made) }      // [ id, store, file… ]
    failures = steps.inject(channel.empty()) { all, step -> all.mix(step.failure) }   // [ id, record ]
    files    = files_ch.flatten()
}
