// Name the records of faults of mosaicflow, and fail: the run ends with exit code 1 once all else is published.
process REPORT_BUGS {
    label 'table'
    errorStrategy 'ignore'

    input:
    path records, arity: '1..*'

    script:
    """
    echo 'error: a bug in mosaicflow ended ${records.join(', ')}: everything else is done; please report it with these files' >&2
    exit 1
    """
}
