// Written by docs/generate_modules.py from the contract of the stage; crc32 of the rest: bf620ae5.
include { optionsOf ; suffixOf } from '../../functions/settings'

// Tell how the instrument's brightness falls with depth from the specimen's own contrast.
process ESTIMATE_DEPTH_PROFILE {
    label 'volume'
    cache 'deep'

    input:
    path slices, arity: '1..*'
    path alignment, arity: '1'
    val settings

    output:
    path "depth_profile${suffixOf(settings)}.json", arity: '1', emit: profile
    tuple path("depth_profile${suffixOf(settings)}.metrics.json", arity: '1'),
        path("depth_profile${suffixOf(settings)}.crc32c.json", arity: '1'),
        emit: files
    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions

    script:
    """
    estimate_depth_profile.py \\
        --slices ${slices} \\
        --alignment ${alignment} \\
        ${optionsOf(settings)} \\
        --threads ${task.cpus} \\
        --output depth_profile${suffixOf(settings)}.json
    """

    stub:
    """
    echo '{}' > depth_profile${suffixOf(settings)}.json
    echo '{}' > depth_profile${suffixOf(settings)}.metrics.json
    echo '{}' > depth_profile${suffixOf(settings)}.crc32c.json
    """
}
