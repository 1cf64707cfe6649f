include { quoted } from '../functions/settings'

// Fail the run with a sentence: at once, or (is_done) once everything else is published. A task rather than
// `error` in a channel: when the run is stopping for another reason channels close early, and what then looks
// lost must not be told; no task is sent any more by then.
process REFUSE {
    label 'table'
    errorStrategy { is_done ? 'ignore' : 'terminate' }

    input:
    tuple val(reason), val(is_done)

    script:
    """
    echo error: ${quoted(reason)} >&2
    exit 1
    """
}
