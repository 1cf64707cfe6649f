include { publishedFolder } from './published'

// What only the engine knows of a run, for the stage REPORT; src/mosaicflow/engine/about.py gives the same keys.
def runFacts(volume, settings, usual, outputs, engine) {
    def facts = [
        volume: "${volume}.ome.zarr".toString(), parameters: settings, defaults: usual,
        outputs: outputs.collect { file -> placeOf(file.name) }.toSorted(),
        engine: [name: 'nextflow'] + engine
    ]
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(facts)) + '\n'
}

// Whether the report reads a file: tables, metrics, records and pictures, no voxels and no checksums.
def isReported(name) {
    return name ==~ /.*\.(json|csv|png)/ && !name.endsWith('.crc32c.json')
}

def placeOf(name) {
    def folder = publishedFolder(name)
    return folder == '.' ? name : "${folder}/${name}".toString()
}

// Every parameter that has a value, by name, as run.json has it; folders and copying are no settings.
def effectiveSettings(given, schema_json) {
    def words = schemaRules(schema_json).findAll { _name, rule -> rule.type == 'string' }.keySet()
    return given
        .findAll { name, value -> value != null && !(name in ['input', 'output', 'publish_mode', 'container']) }
        .collectEntries { name, value -> [(name): name in words || value instanceof java.nio.file.Path ? value.toString() : value] }
        .sort()
}

// What every parameter is without a setting.
def usualSettings(schema_json) {
    return schemaRules(schema_json).collectEntries { name, rule -> [(name): rule['default']] }
}

// The last words of a run, as the stage REPORT has them, and whether its verdict fails the run.
def closingOf(record_json) {
    def record = new groovy.json.JsonSlurper().parse(record_json)
    return [lines: record.closing ?: [], failed: record.verdict?.failed ?: false]
}

def schemaRules(schema_json) {
    def groups = new groovy.json.JsonSlurper().parse(schema_json)['$defs'].values()
    return groups.collectMany { group -> group.properties.entrySet() }.collectEntries { rule -> [(rule.key): rule.value] }
}
