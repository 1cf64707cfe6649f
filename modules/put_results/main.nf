include { quoted } from '../../functions/settings'

// Send results to their places behind an address (s3://, gs://); a store counts there when it is whole.
process PUT_RESULTS {
    tag { results.size() == 1 ? results[0].name : "${results.size()} files" }
    label 'tiles'

    input:
    path results, stageAs: 'results/*', arity: '1..*'
    val address

    output:
    val true, emit: done

    script:
    """
    mosaicflow put-results ${quoted(address)} results/*
    """

    stub:
    """
    true
    """
}
