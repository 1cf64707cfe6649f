include { optionNames ; presets } from './contracts'
include { isAddress } from './raw_folder'

// With what a preset settles beyond the stage that has it, whatever else is said.
def withPreset(given) {
    return given.subMap(given.keySet()) + (presets()[given.alignment_preset] ?: [:])
}

// Settings of each stage, by its name. The version is an input of every task too: after an upgrade
// nothing is taken from the cache, with and without containers.
def stageSettings(given, version) {
    return ownSettings(given).collectEntries { stage, own -> [(stage): own + [version: version]] }
}

// The options of each stage. A channel other than the first connects its tiles with the rest of the run,
// and so do the addresses of raw data and of results, which no engine stages.
def ownSettings(given) {
    def own = optionNames().collectEntries { stage, names -> [(stage): given.subMap(names)] }
    def measured = given.positions_channel ? [channel: given.positions_channel.toString()] : [:]
    def source = isAddress(given.input) ? [address: given.input.toString()] : [:]
    def results = isAddress(given.output) ? [address: given.output.toString()] : [:]
    return own + [
        inspect_acquisition: own.inspect_acquisition + source,
        create_mosaic_grid: own.create_mosaic_grid + source + measured,
        stack: own.stack + results
    ]
}

// What ends the names of the outputs: nothing, or the channel (functions/channels.nf).
def suffixOf(settings) {
    return settings.suffix ?: ''
}

// Settings as long options, one a line. Those without a value are left to the stage's default.
def optionsOf(settings) {
    return settings
        .findAll { name, value -> value != null && !(name in ['version', 'suffix', 'address']) }
        .collect { name, value -> "--${name.replace('_', '-')}${optionValue(value)}" }
        .join(' \\\n        ')
}

// With '=', so that negative numbers and empty texts are not taken for options.
def optionValue(value) {
    if( value instanceof List )
        return ' ' + value.join(' ')
    return "=${quoted(value)}"
}

def quoted(value) {
    return "'" + value.toString().replace("'", "'\\''") + "'"
}

// The table of overrides, where it has rows about tiles: otherwise no tile is placed again because of it.
def overridesOfTiles(table) {
    def about_tile = ~/(^|.*[,;\t])\s*"?tile"?\s*([,;\t].*|$)/
    return table && table.readLines().any { line -> line ==~ about_tile } ? table : []
}
