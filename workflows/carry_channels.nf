include { filesOf ; inOrder ; storesOf } from '../functions/slices'
include { isAngle ; ofPart ; partOf ; withSettings } from '../functions/channels'
include { CREATE_MOSAIC_GRID        } from '../modules/create_mosaic_grid'
include { RESAMPLE_MOSAIC_GRID      } from '../modules/resample_mosaic_grid'
include { ESTIMATE_ILLUMINATION     } from '../modules/estimate_illumination'
include { FIX_ILLUMINATION          } from '../modules/fix_illumination'
include { FIX_FOCAL_CURVATURE       } from '../modules/fix_focal_curvature'
include { STITCH_3D                 } from '../modules/stitch_3d'
include { CORRECT_AXIAL             } from '../modules/correct_axial'
include { CROP_INTERFACE            } from '../modules/crop_interface'
include { NORMALIZE                 } from '../modules/normalize'
include { ESTIMATE_DEPTH_PROFILE    } from '../modules/estimate_depth_profile'
include { STACK                     } from '../modules/stack'
include { JOIN_ANGLE                } from '../modules/join_angle'

// The other channels of the same tiles -> a volume each, by what was measured on one of them. Each
// task gets its row and its settings from one multiMap (withSettings), so that both stay in step.
workflow CARRY_CHANNELS {
    take:
    parts_ch    // [ id, part of the channels, tile list, raw tiles ]
    measured    // map: positions and faces as [ id, file ], curvature, distortion, alignment
    settings    // map: stage -> its settings
    use         // map: which steps run: light, curvature, psf
    name        // of the volume of the measured channel

    main:
    raw_in = parts_ch.multiMap { id, part, list, entries ->
        rows: tuple(id, list, entries)
        settings: ofPart(settings.create_mosaic_grid, part) + [channel: part]
    }
    raw_grids = CREATE_MOSAIC_GRID(raw_in.rows, raw_in.settings)
    steps = [raw_grids]
    grids_ch = storesOf(raw_grids.made)
    if( settings.resample_mosaic_grid.resolution_um > 0 ) {
        native_in = withSettings(grids_ch, settings.resample_mosaic_grid)
        resampled = RESAMPLE_MOSAIC_GRID(native_in.rows, native_in.settings)
        steps = steps + [resampled]
        grids_ch = storesOf(resampled.made)
    }
    files_ch = channel.empty()
    if( use.light ) {
        light_in = storesOf(raw_grids.made).map { id, grid -> tuple(partOf(grid), id, grid) }
            .filter { part, _id, _grid -> !isAngle(part) }
            .groupTuple()
            .multiMap { part, ids, grids ->
                grids: inOrder([ids, grids].transpose())
                settings: ofPart(settings.estimate_illumination, part)
            }
        light = ESTIMATE_ILLUMINATION(light_in.grids, light_in.settings)
        fields_ch = light.illumination.map { field -> tuple(partOf(field), field) }
        unlit_ch = grids_ch.map { id, grid -> tuple(partOf(grid), id, grid) }
            .combine(fields_ch, by: 0)
            .map { _part, id, grid, field -> tuple(id, grid, field) }
        unlit_in = withSettings(unlit_ch, settings.fix_illumination)
        evened = FIX_ILLUMINATION(unlit_in.rows, unlit_in.settings)
        steps = steps + [evened]
        grids_ch = storesOf(evened.made).mix(grids_ch.filter { _id, grid -> isAngle(partOf(grid)) })
        files_ch = light.illumination.mix(light.files, light.curvature)
    }
    if( use.curvature ) {
        bowl = grids_ch.combine(measured.curvature.ifEmpty('none')).branch { _id, _grid, curvature ->
            flat: curvature == 'none'
            curved: true
        }
        bent_in = withSettings(bowl.curved, settings.fix_focal_curvature)
        lifted = FIX_FOCAL_CURVATURE(bent_in.rows, bent_in.settings)
        steps = steps + [lifted]
        grids_ch = bowl.flat.map { id, grid, _none -> tuple(id, grid) }.mix(storesOf(lifted.made))
    }
    placed_ch = grids_ch.combine(measured.positions, by: 0).combine(measured.distortion)
    placed_in = withSettings(placed_ch, settings.stitch_3d)
    stitched = STITCH_3D(placed_in.rows, placed_in.settings)
    steps = steps + [stitched]
    slices_ch = storesOf(stitched.made)
    if( use.psf ) {
        light_ch = slices_ch.branch { _id, slice ->
            angles: isAngle(partOf(slice))
            bright: true
        }
        axial_in = withSettings(light_ch.bright, settings.correct_axial)
        axial = CORRECT_AXIAL(axial_in.rows, axial_in.settings)
        steps = steps + [axial]
        slices_ch = storesOf(axial.made).mix(light_ch.angles)
    }
    face_in = withSettings(slices_ch.combine(measured.faces, by: 0), settings.crop_interface)
    cropped = CROP_INTERFACE(face_in.rows, face_in.settings)
    cropped_ch = storesOf(cropped.made).branch { _id, slice ->
        angles: isAngle(partOf(slice))
        bright: true
    }
    dark_in = withSettings(cropped_ch.bright, settings.normalize)
    normalized = NORMALIZE(dark_in.rows, dark_in.settings)
    steps = steps + [cropped, normalized]

    whole_ch = storesOf(normalized.made).mix(cropped_ch.angles)
        .map { id, slice -> tuple(partOf(slice), id, slice) }
        .groupTuple()
        .map { part, ids, slices -> tuple(part, inOrder([ids, slices].transpose())) }
        .combine(measured.alignment)
    profile_in = whole_ch.filter { part, _slices, _alignment -> !isAngle(part) }
        .multiMap { part, slices, alignment ->
            slices: slices
            alignment: alignment
            settings: ofPart(settings.estimate_depth_profile, part) + [channel: part]
        }
    lit = ESTIMATE_DEPTH_PROFILE(profile_in.slices, profile_in.alignment, profile_in.settings)
    profiles_ch = lit.profile.map { profile -> tuple(partOf(profile), profile) }
        .mix(whole_ch.filter { part, _slices, _alignment -> isAngle(part) }.map { part, _slices, _alignment -> tuple(part, []) })
    stack_in = whole_ch.join(profiles_ch).multiMap { part, slices, alignment, profile ->
        slices: slices
        alignment: alignment
        profile: profile
        name: "${name}_c${part}".toString()
        // Cosine and sine are read again, to make the angle.
        settings: ofPart(settings.stack, part) + [channel: part] + (isAngle(part) ? [address: null] : [:])
    }
    stacked = STACK(stack_in.slices, stack_in.alignment, stack_in.profile, stack_in.name, stack_in.settings)
    angle_in = stacked.volume.filter { volume -> isAngle(partOf(volume)) }
        .map { volume -> tuple((partOf(volume) =~ /\d+/)[0], volume) }
        .groupTuple(size: 2)
        .multiMap { number, volumes ->
            cosine: volumes.find { volume -> partOf(volume).endsWith('cos') }
            sine: volumes.find { volume -> partOf(volume).endsWith('sin') }
            name: "${name}_c${number}".toString()
        }
    joined = JOIN_ANGLE(angle_in.cosine, angle_in.sine, angle_in.name, settings.join_angle)

    made_ch = steps.inject(channel.empty()) { all, step -> all.mix(step.made) }

    emit:
    stores  = storesOf(made_ch)
    volumes = stacked.volume.mix(joined.volume)
    files   = steps.inject(files_ch) { all, step -> all.mix(step.failure.map { _id, record -> record }) }
        .mix(filesOf(made_ch), stitched.preview, normalized.preview, lit.profile, lit.files, stacked.files, stacked.preview, joined.files)
        .flatten()
}
