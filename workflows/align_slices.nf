include { checkedPairs           } from '../functions/slices'
include { EXPORT                 } from '../modules/export'
include { REGISTER_PAIRWISE      } from '../modules/register_pairwise'
include { SOLVE_ALIGNMENT        } from '../modules/solve_alignment'
include { ESTIMATE_DEPTH_PROFILE } from '../modules/estimate_depth_profile'
include { STACK                  } from '../modules/stack'

// Slices -> one transform per slice -> the volume.
workflow ALIGN_SLICES {
    take:
    slices_ch       // [ id, slice ], as they come
    outcomes        // map: all slices and failure records, in order, once the last is there
    tables          // map: shifts, fragments, slice_config, overrides, positions, stages
    settings
    graph_span      // each slice is registered with this many following ones
    name            // of the volume

    main:
    // A pair is formed as soon as its second slice is there; join drops what never meets.
    spans = graph_span > 0 ? (1..graph_span) : []
    numbered_ch = slices_ch.map { id, slice -> tuple(id.toInteger(), id, slice) }
    upper_ch = numbered_ch.flatMap { z, id, slice -> spans.collect { n -> tuple(z, z + n, id, slice) } }
    lower_ch = numbered_ch.flatMap { z, id, slice -> spans.collect { n -> tuple(z - n, z, id, slice) } }
    pairs_ch = upper_ch.join(lower_ch, by: [0, 1])
        .map { _z, _next, upper, fixed, lower, moving -> tuple(upper, lower, fixed, moving) }
    registered = REGISTER_PAIRWISE(pairs_ch, tables.shifts, settings.register_pairwise)
    answers = pairs_ch.map { upper, lower, _fixed, _moving -> tuple(upper, lower) }
        .join(registered.transform.mix(registered.failure), by: [0, 1], remainder: true)
        .toList()
        .map { rows -> checkedPairs(rows) }
    transforms = answers.map { found -> found.transforms }
    unmatched = answers.map { found -> found.failures }
    failures = outcomes.combine(unmatched.map { records -> [records] })
        .map { found, records -> found.failures + records }
        .first()
    solved = SOLVE_ALIGNMENT(
        tables.shifts, tables.slice_config,
        outcomes.map { found -> found.slices }, transforms, failures, tables.fragments,
        tables.overrides, settings.solve_alignment
    )
    slices = outcomes.map { found -> found.slices }
    lit = ESTIMATE_DEPTH_PROFILE(slices, solved.alignment)
    stacked = STACK(slices, solved.alignment, lit.profile, name, settings.stack)
    exports_ch = channel.empty()
    if( settings.export.export_formats ) {
        places = 'placements' in settings.export.export_formats
            ? [tables.positions, tables.stages, slices] : [[], [], []]
        exported = EXPORT(stacked.volume, places[0], places[1], places[2], settings.export)
        exports_ch = exported.files
    }

    emit:
    volume = stacked.volume
    files  = registered.transform.mix(registered.failure).map { _i, _j, file -> file }.mix(registered.files, solved.alignment, solved.files, lit.profile, lit.files, stacked.files, exports_ch).flatten()
}
