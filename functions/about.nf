include { noSettings ; reportedNames } from './contracts'
include { publishedFolder } from './published'

// What only the engine knows of a run, for the stage REPORT; src/mosaicflow/engine/about.py gives the same keys.
def runFacts(volume, settings, usual, outputs, engine) {
    def facts = [
        volume: "${volume}.ome.zarr".toString(), parameters: settings, defaults: usual,
        outputs: outputs.collect { file -> placeOf(file.name - '.address') }.toSorted(),
        engine: [name: 'nextflow'] + engine
    ]
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(facts)) + '\n'
}

// Whether the report reads a file: tables, metrics, records and pictures, no voxels and no checksums.
def isReported(name) {
    return name ==~ reportedNames()
}

def placeOf(name) {
    def folder = publishedFolder(name)
    return folder == '.' ? name : "${folder}/${name}".toString()
}

// Every parameter that has a value, by name, as run.json has it; folders and copying are no settings.
def effectiveSettings(given, schema_json) {
    def words = schemaRules(schema_json).findAll { _name, rule -> rule.type == 'string' }.keySet()
    return given
        .findAll { name, value -> value != null && !(name in noSettings()) }
        .collectEntries { name, value -> [(name): name in words || value instanceof java.nio.file.Path ? value.toString() : value] }
        .sort()
}

// What every parameter is without a setting.
def usualSettings(schema_json) {
    return schemaRules(schema_json).collectEntries { name, rule -> [(name): rule['default']] }
}

// All parameters with their meaning, for --help.
def helpText(schema_json) {
    def groups = new groovy.json.JsonSlurper().parse(schema_json)['$defs'].values()
    def lines = groups.collectMany { group ->
        ['', "${group.title}:"] + group.properties.collect { name, rule ->
            def usual = rule['default'] == null || rule['default'] == '' ? '' : " [${rule['default']}]"
            "  --${name.padRight(34)} ${rule.description}${usual}"
        }
    }
    return (['nextflow run . --input RAW --output OUT [-profile docker,slurm,…] [-resume]', 'See docs/running.md.'] + lines).join('\n')
}

// The last words of a run, as the stage REPORT has them.
def closingOf(record_json) {
    return new groovy.json.JsonSlurper().parse(record_json).closing ?: []
}

// The verdict in one word.
def statusOf(record_json) {
    return new groovy.json.JsonSlurper().parse(record_json).verdict?.status ?: 'ok'
}

// Why a finished run fails: its verdict reaches fail_on.
def isFailed(record_json) {
    return new groovy.json.JsonSlurper().parse(record_json).verdict?.failed ?: false
}

// Why a finished run fails: faults of mosaicflow ended slices or pairs, which left these records.
def bugsOf(records) {
    return "a bug in mosaicflow ended ${records.collect { f -> f.name }.toSorted().join(', ')}: everything else is done; please report it with these files".toString()
}

def schemaRules(schema_json) {
    def groups = new groovy.json.JsonSlurper().parse(schema_json)['$defs'].values()
    return groups.collectMany { group -> group.properties.entrySet() }.collectEntries { rule -> [(rule.key): rule.value] }
}
