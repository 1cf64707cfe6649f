// Refuse values outside the choices and ranges of nextflow_schema.json before any task starts.
// Names and types are the params block's own business.
def checkValues(given, schema_json) {
    def schema = new groovy.json.JsonSlurper().parse(schema_json)
    def rules = schema['$defs'].values().collectMany { group -> group.properties.entrySet() }
    def wrong = rules
        .findAll { rule -> given[rule.key] != null }
        .collect { rule -> complaint(rule.key, given[rule.key], rule.value) }
        .findAll { text -> text }
    if( wrong )
        error wrong.join('\n')
}

def complaint(name, value, rule) {
    def choices = rule['enum']
    if( choices && !(value.toString() in choices) )
        return "--${name} is '${value}'; use one of: ${choices.findAll { choice -> choice }.join(', ')}"
    if( rule.pattern && !(value ==~ rule.pattern) )
        return "--${name} is '${value}'; it must match ${rule.pattern}"
    if( rule.minimum != null && value < rule.minimum )
        return "--${name} is ${value}; it must be at least ${rule.minimum}"
    if( rule.exclusiveMinimum != null && value <= rule.exclusiveMinimum )
        return "--${name} is ${value}; it must be more than ${rule.exclusiveMinimum}"
    if( rule.maximum != null && value > rule.maximum )
        return "--${name} is ${value}; it must be at most ${rule.maximum}"
    return ''
}
