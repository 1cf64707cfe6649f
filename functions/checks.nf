include { isAddress } from './raw_folder'

// Refuse values outside the choices and ranges of nextflow_schema.json before any task starts, in
// the words that the embedded engine uses too. Names and types are the params block's own business.
def checkValues(given, schema_json) {
    def schema = new groovy.json.JsonSlurper().parse(schema_json)
    def rules = schema['$defs'].values().collectMany { group -> group.properties.entrySet() }
    def wrong = rules
        .findAll { rule -> given[rule.key] != null && !isAllowed(given[rule.key], rule.value) }
        .collect { rule -> "--${rule.key} is ${shown(given[rule.key])}, ${rule.value.errorMessage}" }
    if( wrong )
        error wrong.join('\n')
}

def isAllowed(value, rule) {
    if( value instanceof List )
        return value.size() >= (rule.minItems ?: 0) && value.every { item -> isAllowed(item, rule.items) }
    if( rule.anyOf )
        return rule.anyOf.any { one -> isAllowed(value, one) }
    if( rule['enum'] || rule.pattern )
        return rule['enum'] ? value.toString() in rule['enum'] : value.toString() ==~ rule.pattern
    return !(value instanceof Number) || isInRange(value, rule)
}

// As text, because 0.1 as a Float is not 0.1; what is no number at all is in no range.
def isInRange(value, rule) {
    def text = value.toString()
    if( text in ['NaN', 'Infinity', '-Infinity'] )
        return false
    def number = new BigDecimal(text)
    return (rule['const'] == null || number == rule['const'])
        && (rule.minimum == null || number >= rule.minimum)
        && (rule.exclusiveMinimum == null || number > rule.exclusiveMinimum)
        && (rule.maximum == null || number <= rule.maximum)
        && (rule.exclusiveMaximum == null || number < rule.exclusiveMaximum)
}

def shown(value) {
    return value instanceof CharSequence ? "'${value}'" : value.toString()
}

// Raw data and results must not mix: what is published below the raw folder would be read as tiles.
def checkFolders(given, output, published) {
    if( !given.input && !given.simulate )
        error "--input is missing: give the folder of the raw acquisition (or --simulate toy, to try things out)"
    if( isAddress(given.output) ) {
        if( given.export_formats )
            error "export_formats with --output ${given.output}: these files are made of a volume on a disk of this machine: leave them out, and use `mosaicflow convert` and `mosaicflow export` afterwards"
        return
    }
    if( output.toAbsolutePath().normalize() != file(given.output).toAbsolutePath().normalize() )
        error "-output-dir ${output} would split the results, some of which go to --output ${given.output}: give --output alone"
    def target = output.toAbsolutePath().normalize()
    if( target.exists() && !target.isDirectory() )
        error "--output ${output} is a file, expected a folder for the results"
    if( given.positions_from && file(given.positions_from).toAbsolutePath().normalize() == target )
        error "--positions_from ${given.positions_from} is --output itself: choose another --output, a run's positions would replace themselves"
    if( given.input && !isAddress(given.input) )
        checkApart(file(given.input, checkIfExists: true), target, published)
}

def checkApart(raw, target, published) {
    def source = raw.isDirectory() ? raw : raw.parent
    if( target.startsWith(source) )
        error "--output ${target} lies in the raw folder ${source}, which is never written to: choose a folder outside it"
    if( source.startsWith(target) && target.relativize(source).getName(0).toString() in published )
        error "--input ${raw} lies where results are written below --output ${target}: choose another --output"
}
