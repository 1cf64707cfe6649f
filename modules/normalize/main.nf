// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: fdc28651.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Scale each plane so that gel is 0 and the brightest tissue 1; nothing is clipped.
process NORMALIZE {
    tag "z${id}"
    label 'slice'
    cache 'deep'

    input:
    tuple val(id), path(slice, arity: '1')
    val settings

    output:
    tuple val(id),
        path("slice_z${id}_normalize${suffixOf(settings)}.ome.zarr", type: 'dir'),
        path("slice_z${id}_normalize${suffixOf(settings)}.metrics.json"),
        path("slice_z${id}_normalize${suffixOf(settings)}.crc32c.json"),
        optional: true, emit: made
    tuple val(id), path("z${id}_failure${suffixOf(settings)}.json"), optional: true, emit: failure
    path "slice_z${id}_normalize${suffixOf(settings)}.png", optional: true, emit: preview
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    normalize.py \\
        --slice-path ${slice} \\
        ${optionsOf(settings)} \\
        --failure-record z${id}_failure${suffixOf(settings)}.json \\
        --threads ${task.cpus} \\
        --output slice_z${id}_normalize${suffixOf(settings)}.ome.zarr
    """

    stub:
    """
    mkdir slice_z${id}_normalize${suffixOf(settings)}.ome.zarr
    echo '{}' > slice_z${id}_normalize${suffixOf(settings)}.metrics.json
    echo '{}' > slice_z${id}_normalize${suffixOf(settings)}.crc32c.json
    touch slice_z${id}_normalize${suffixOf(settings)}.png
    """
}
