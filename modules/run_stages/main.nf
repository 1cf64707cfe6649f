include { commandsOf ; stubOf } from '../../functions/chains'

// Several stages of one slice, one after the other: a queue is waited for once.
process RUN_STAGES {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    // Files of another run may be called like those that are made here.
    tuple val(id), val(steps), path(inputs), path(raw, stageAs: 'raw/*'), path(others, stageAs: 'other/*')

    output:
    tuple val(id), path('*.ome.zarr', type: 'dir'), optional: true, emit: stores
    tuple val(id), path('z*_failure.json'), optional: true, emit: failures
    // Also those of the lines below, and the records.
    path '*.{json,csv,png,tfm}', optional: true, emit: files
    tuple val(id),
        path("z${id}_tile_links.csv"),
        path("z${id}_tile_stage.json"),
        path("z${id}_tile_windows.csv"),
        optional: true, emit: links
    path 'z*_transform.json', optional: true, emit: transforms
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    mosaicflow run-stages ${commandsOf(steps, id, task.cpus)}
    """

    stub:
    """
    ${stubOf(steps)}
    """
}
