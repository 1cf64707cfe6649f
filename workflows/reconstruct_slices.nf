include { storesOf                } from '../functions/slices'
include { faceOf                  } from '../functions/taken'
include { ESTIMATE_TILE_POSITIONS } from '../modules/estimate_tile_positions'
include { PLACE_TILES             } from './place_tiles'
include { STITCH_3D               } from '../modules/stitch_3d'
include { CORRECT_AXIAL           } from '../modules/correct_axial'
include { CROP_INTERFACE          } from '../modules/crop_interface'
include { NORMALIZE               } from '../modules/normalize'

// Mosaic grids -> seamless slices whose plane 0 is the block face.
workflow RECONSTRUCT_SLICES {
    take:
    grids_ch    // [ id, grid ]
    native_ch   // [ id, grid at native pitch, flat field or [] ]
    tiles_ch    // [ id, tile list ]
    known       // map: tables that somebody gave, or []: overrides, distortion; run: files of another run, or [:]
    settings
    has_psf     // whether the axial profile of the beam is removed

    main:
    // With places of another run nothing is measured.
    measured = ESTIMATE_TILE_POSITIONS(native_ch.filter { _row -> !known.run }, settings.estimate_tile_positions)
    links_ch = measured.made.map { id, links, stage, windows, _metrics, _sums -> tuple(id, links, stage, windows) }
    placed = PLACE_TILES(links_ch, tiles_ch, known, settings)
    stitched = STITCH_3D(grids_ch.join(placed.tables).combine(placed.distortion), settings.stitch_3d)
    steps = [stitched]
    slices_ch = storesOf(stitched.made)
    if( has_psf ) {
        axial = CORRECT_AXIAL(slices_ch, settings.correct_axial)
        steps = steps + [axial]
        slices_ch = storesOf(axial.made)
    }
    cropped = CROP_INTERFACE(slices_ch.map { id, slice -> tuple(id, slice, faceOf(known.run, id)) }, settings.crop_interface)
    normalized = NORMALIZE(storesOf(cropped.made), settings.normalize)
    steps = steps + [cropped, normalized]

    emit:
    slices   = storesOf(normalized.made)
    faces    = storesOf(cropped.made)
    tables   = placed.tables
    distortion = placed.distortion
    alignment = placed.alignment
    places   = placed.places
    stages   = placed.stages
    made     = steps.inject(channel.empty()) { all, step -> all.mix(step.made) }        // [ id, store, file… ]
    failures = steps.inject(measured.failure) { all, step -> all.mix(step.failure) }    // [ id, record ]
    files    = measured.made.flatMap { row -> row.drop(1) }.mix(placed.files, stitched.preview, normalized.preview)
}
