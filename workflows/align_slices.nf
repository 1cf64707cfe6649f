include { pairSteps              } from '../functions/chains'
include { pairsOf                } from '../functions/slices'
include { EXPORT                 } from '../modules/export'
include { REGISTER_PAIRWISE      } from '../modules/register_pairwise'
include { RUN_STAGES             } from '../modules/run_stages'
include { SOLVE_ALIGNMENT        } from '../modules/solve_alignment'
include { ESTIMATE_DEPTH_PROFILE } from '../modules/estimate_depth_profile'
include { STACK                  } from '../modules/stack'
include { DRAW_VOLUME            } from '../modules/draw_volume'
include { REFUSE                 } from './refuse'

// Slices -> one transform per slice -> the volume.
workflow ALIGN_SLICES {
    take:
    slices_ch       // [ id, slice ], as they come
    whole           // map: all slices and failure records, in order, once the last is there
    tables          // map: shifts, fragments, slice_config, overrides, positions, stages, taken: alignment of another run
    settings
    use             // map: span: each slice is registered with this many following ones; chains: as one task; taken: whether the alignment is another run's
    name            // of the volume

    main:
    // A pair is formed as soon as its second slice is there; join drops what never meets.
    spans = use.span > 0 && !use.taken ? (1..use.span) : []
    numbered_ch = slices_ch.map { id, slice -> tuple(id.toInteger(), id, slice) }
    upper_ch = numbered_ch.flatMap { z, id, slice -> spans.collect { n -> tuple(z, z + n, id, slice) } }
    lower_ch = numbered_ch.flatMap { z, id, slice -> spans.collect { n -> tuple(z - n, z, id, slice) } }
    pairs_ch = upper_ch.join(lower_ch, by: [0, 1])
        .map { _z, _next, upper, fixed, lower, moving -> tuple(upper, lower, fixed, moving) }
    if( use.chains ) {
        // All pairs of a slice with those above it; which there are is known when all slices are.
        chains_ch = pairs_ch.map { upper, lower, fixed, moving -> tuple(lower, moving, [upper, fixed]) }
            .groupTuple(by: [0, 1])
            .combine(tables.shifts)
            .map { id, moving, rows, shifts ->
                def upper = rows.toSorted { a, b -> a[0].toInteger() <=> b[0].toInteger() }
                tuple(id, pairSteps(upper, id, moving, shifts, settings), upper.collect { row -> row[1] } + [moving, shifts], [], [])
            }
        chained = RUN_STAGES(chains_ch)
        answers_ch = chained.transforms.mix(chained.failures.map { _id, records -> records })
            .flatten()
            .map { file -> tuple(file.name.tokenize('_')[0] - 'z', file.name.tokenize('_')[1] - 'z', file) }
        matched_ch = chained.files.flatten()
    }
    else {
        registered = REGISTER_PAIRWISE(pairs_ch, tables.shifts, settings.register_pairwise)
        answers_ch = registered.made.map { upper, lower, transform, _itk, _metrics, _sums -> tuple(upper, lower, transform) }
            .mix(registered.failure)
        matched_ch = registered.made.mix(registered.failure).flatMap { row -> row.drop(2) }
    }
    pairs = pairs_ch.map { upper, lower, _fixed, _moving -> tuple(upper, lower) }
        .join(answers_ch, by: [0, 1], remainder: true)
        .toList()
        .map { rows -> pairsOf(rows.collect { row -> [row[0], row[1], row[-1]] }) }
    REFUSE(pairs.filter { found -> found.wrong }.map { found -> tuple(found.wrong, false) })
    if( use.taken ) {
        alignment = tables.taken
        solved_ch = channel.empty()
    }
    else {
        known = whole.combine(pairs.filter { found -> !found.wrong }.map { found -> [found] }).first()
        solved = SOLVE_ALIGNMENT(
            tables.shifts, tables.slice_config,
            known.map { found, _pairs -> found.slices },
            known.map { _found, matched -> matched.transforms },
            known.map { found, matched -> found.failures + matched.failures },
            tables.fragments, tables.overrides, settings.solve_alignment
        )
        alignment = solved.alignment
        solved_ch = solved.files
    }
    slices = whole.map { found -> found.slices }
    if( use.chains ) {
        stacked = DRAW_VOLUME(slices, alignment, name, settings.subMap(['estimate_depth_profile', 'stack']))
        lit_ch = stacked.profile
    }
    else {
        lit = ESTIMATE_DEPTH_PROFILE(slices, alignment, settings.estimate_depth_profile)
        stacked = STACK(slices, alignment, lit.profile, name, settings.stack)
        lit_ch = lit.profile.mix(lit.files)
    }
    exports_ch = channel.empty()
    if( settings.export.export_formats ) {
        places = 'placements' in settings.export.export_formats
            ? [tables.positions, tables.stages, slices] : [[], [], []]
        exported = EXPORT(stacked.volume, places[0], places[1], places[2], settings.export)
        exports_ch = exported.files
    }

    emit:
    volume = stacked.volume
    alignment = alignment
    files  = matched_ch
        .mix(alignment, solved_ch, lit_ch, stacked.files, stacked.preview, exports_ch)
        .flatten()
}
