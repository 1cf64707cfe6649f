include { ESTIMATE_TILE_POSITIONS } from '../modules/estimate_tile_positions'
include { STITCH_3D               } from '../modules/stitch_3d'
include { CORRECT_AXIAL           } from '../modules/correct_axial'
include { CROP_INTERFACE          } from '../modules/crop_interface'
include { NORMALIZE               } from '../modules/normalize'

// Mosaic grids -> seamless slices whose plane 0 is the block face.
workflow RECONSTRUCT_SLICES {
    take:
    grids_ch    // [ id, grid ]
    native_ch   // [ id, grid at native pitch, flat field or [] ]
    settings
    has_psf     // whether the axial profile of the beam is removed

    main:
    placed = ESTIMATE_TILE_POSITIONS(native_ch, settings.estimate_tile_positions)
    stitched = STITCH_3D(grids_ch.join(placed.positions), settings.stitch_3d)
    made = [stitched]
    slices_ch = stitched.store
    if( has_psf ) {
        axial = CORRECT_AXIAL(slices_ch, settings.correct_axial)
        made = made + [axial]
        slices_ch = axial.store
    }
    cropped = CROP_INTERFACE(slices_ch, settings.crop_interface)
    normalized = NORMALIZE(cropped.store, settings.normalize)
    made = made + [cropped, normalized]

    emit:
    slices   = normalized.store
    stores   = made.inject(channel.empty()) { all, step -> all.mix(step.store) }
    failures = made.inject(placed.failure) { all, step -> all.mix(step.failure) }
    files    = made.inject(placed.positions.map { _id, table -> table }.mix(placed.files)) { all, step -> all.mix(step.files) }.flatten()
}
