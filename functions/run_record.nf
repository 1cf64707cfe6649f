// pipeline_info/run.json, with the same keys as the embedded engine's.
def runRecord(version, given, outcomes) {
    def failed = outcomes.failures
        .collect { file -> new groovy.json.JsonSlurper().parse(file) }
        .collectEntries { record -> [(record.slice_id.toString()): "${record.stage}: ${record.reason}".toString()] }
    def record = [
        software: "mosaicflow ${version}".toString(),
        parameters: given.findAll { _name, value -> value != null }
            .collectEntries { name, value -> [(name): value instanceof java.nio.file.Path ? value.toString() : value] }
            .sort(),
        slices: [found: outcomes.slices.size() + failed.size(), failed: failed]
    ]
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(record)) + '\n'
}
