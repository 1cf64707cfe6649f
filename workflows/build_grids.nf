include { inOrder               } from '../functions/slices'
include { CREATE_MOSAIC_GRID    } from '../modules/create_mosaic_grid'
include { RESAMPLE_MOSAIC_GRID  } from '../modules/resample_mosaic_grid'
include { ESTIMATE_ILLUMINATION } from '../modules/estimate_illumination'
include { FIX_ILLUMINATION      } from '../modules/fix_illumination'
include { FIX_FOCAL_CURVATURE   } from '../modules/fix_focal_curvature'

// Raw tiles of each slice -> mosaic grids, as they are, at working pitch, and evenly lit.
workflow BUILD_GRIDS {
    take:
    tiles_ch    // [ id, tile list, raw tiles ]
    settings    // map: stage -> its settings
    is_lit      // whether a flat field is estimated
    is_straight // whether the field's curvature is taken off where there is one

    main:
    raw_grids = CREATE_MOSAIC_GRID(tiles_ch, settings.create_mosaic_grid)
    made = [raw_grids]
    grids_ch = raw_grids.store
    if( settings.resample_mosaic_grid.resolution_um > 0 ) {
        resampled = RESAMPLE_MOSAIC_GRID(raw_grids.store, settings.resample_mosaic_grid)
        made = made + [resampled]
        grids_ch = resampled.store
    }
    lit_ch = raw_grids.store.map { id, grid -> tuple(id, grid, []) }
    files_ch = channel.empty()
    if( is_lit ) {
        // The one place where slices wait for each other before the alignment. At native pitch:
        // coarser planes do not show how the field is curved.
        all_grids = raw_grids.store.toList().filter { rows -> rows }.map { rows -> inOrder(rows) }
        light = ESTIMATE_ILLUMINATION(all_grids, settings.estimate_illumination)
        evened = FIX_ILLUMINATION(grids_ch.combine(light.illumination), settings.fix_illumination)
        made = made + [evened]
        grids_ch = evened.store
        lit_ch = raw_grids.store.combine(light.illumination)
        files_ch = light.illumination.mix(light.files, light.curvature)
        if( is_straight ) {
            bowl = evened.store.combine(light.curvature.ifEmpty('none')).branch { _id, _grid, curvature ->
                flat: curvature == 'none'
                curved: true
            }
            lifted = FIX_FOCAL_CURVATURE(bowl.curved, settings.fix_focal_curvature)
            made = made + [lifted]
            grids_ch = bowl.flat.map { id, grid, _none -> tuple(id, grid) }.mix(lifted.store)
        }
    }

    emit:
    grids    = grids_ch     // [ id, grid to stitch ]
    unlit    = lit_ch       // [ id, grid at native pitch, flat field or [] ]
    stores   = made.inject(channel.empty()) { all, step -> all.mix(step.store) }
    failures = made.inject(channel.empty()) { all, step -> all.mix(step.failure) }
    files    = made.inject(files_ch) { all, step -> all.mix(step.files) }.flatten()
}
