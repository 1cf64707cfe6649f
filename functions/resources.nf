// Keep a prediction for conf/base.config, whose closures look it up when a task starts: as an input of the
// tasks it would be part of their hash, and another machine's pace would have them all run again.
def rememberResources(file) {
    new groovy.json.JsonSlurper().parse(file).stages.each { stage, needed ->
        needed.each { quantity, number -> System.setProperty("mosaicflow.${quantity}.${stage.toUpperCase()}", number.toString()) }
    }
    return file
}

// The settings that decide what tasks take, as JSON; src/mosaicflow/engine/needs.py has the same names.
def decisiveSettings(given) {
    def decisive = [
        'compensate_psf_enabled', 'crop_depth_um', 'fit_max_samples', 'fix_illum_enabled', 'graph_span',
        'pyramid_n_levels', 'pyramid_resolutions', 'resolution_um', 'slicing_interval_mm'
    ]
    return groovy.json.JsonOutput.toJson(given.findAll { name, value -> name in decisive && value != null })
}
