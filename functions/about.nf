include { publishedFolder } from './published'

// pipeline_info/run.json, with the keys that src/mosaicflow/engine/about.py gives it; a test compares both.
def runRecord(version, settings, found, engine) {
    def slices = failures(found.outcomes.failures) { _file, record -> record.slice_id.toString() }
    def pairs = failures(found.unmatched) { file, _record -> file.name - '_failure.json' }
    def alignment = new groovy.json.JsonSlurper().parse(found.alignment)
    def excluded = alignment.left_out.findAll { one -> one.status == 'excluded' && !slices.containsKey(one.slice_id.toString()) }
    def record = [
        software: "mosaicflow ${version}".toString(),
        parameters: settings,
        input: [digest: found.acquisition.bytes.digest('SHA-256')],
        slices: [
            found: found.outcomes.slices.size() + slices.size(), failed: slices,
            excluded: excluded.collectEntries { one -> [(one.slice_id.toString()): one.reason] },
            placed: alignment.slices.size()
        ],
        pairs: [found: found.transforms.size() + pairs.size(), failed: pairs],
        outputs: found.outputs.collect { file -> placeOf(file.name) }.toSorted(),
        engine: [name: 'nextflow'] + engine
    ]
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(record)) + '\n'
}

def failures(files, name) {
    return files.collectEntries { file ->
        def record = new groovy.json.JsonSlurper().parse(file)
        [(name.call(file, record)): "${record.stage}: ${record.reason}".toString()]
    }
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

// README.txt: the guide that both engines share, filled in.
def guide(version, volume, settings, projectFolder) {
    def usual = schemaRules(projectFolder.resolve('nextflow_schema.json')).collectEntries { name, rule -> [(name): rule['default']] }
    def changed = settings
        .findAll { name, value -> plainText(value) != plainText(usual[name]) }
        .collect { name, value -> "  ${name}: ${plainText(value)}" }
    return projectFolder.resolve('src/mosaicflow/engine/readme.txt').text
        .replace('@VERSION@', version)
        .replace('@VOLUME@', "${volume}.ome.zarr")
        .replace('@STEM@', volume)
        .replace('@SETTINGS@', changed ? changed.join('\n') : '  none')
}

def schemaRules(schema_json) {
    def groups = new groovy.json.JsonSlurper().parse(schema_json)['$defs'].values()
    return groups.collectMany { group -> group.properties.entrySet() }.collectEntries { rule -> [(rule.key): rule.value] }
}

// A value as JSON, whole numbers without a fraction.
def plainText(value) {
    return groovy.json.JsonOutput.toJson(value).replaceAll(/\.0(?=[,\]]|$)/, '')
}
