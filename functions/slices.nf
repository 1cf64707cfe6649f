// 'z07_tiles.json' -> '07'; with as many digits as this name has, the slice goes through the whole run
def sliceIdOf(file) {
    return (file.name =~ /z(\d+)/)[0][1]
}

// Files of [ id, file ] or [ id, id, file ] rows in the order of the slices; as text '100' would come
// before '99'.
def inOrder(rows) {
    return rows.toSorted { a, b -> idOrder(a, b) }.collect { row -> row[-1] }
}

def idOrder(a, b) {
    return a[0].toInteger() <=> b[0].toInteger() ?: (a.size() > 2 ? a[1].toInteger() <=> b[1].toInteger() : 0)
}

// Of the records of one slice the one that counts: of the first stage in the pipeline's order, since
// two branches may fail on the same slice.
def firstRecord(records, stages) {
    return records.min { file -> stages.indexOf(new groovy.json.JsonSlurper().parse(file).stage) }
}

// Rows [ id, tiles, outcome ] of all slices; stop the run when one vanished without a record.
def checkedOutcomes(rows) {
    // When the run is stopped for another reason the channels close early: that loses nothing.
    if( !nextflow.Global.session.isSuccess() )
        return [slices: [], failures: []]
    def lost = rows.findAll { row -> row[-1] == null }.collect { row -> "z${row[0]}" }.toSorted()
    if( lost )
        error "slices ${lost.join(', ')} went in and neither came out nor left a record: this is a bug in mosaicflow, please report it with .nextflow.log"
    def found = rows.collect { row -> [row[0], row[-1]] }
    def reached = found.findAll { row -> row[-1].name.endsWith('.ome.zarr') }
    def failed = found.findAll { row -> row[-1].name.endsWith('_failure.json') }
    if( !reached ) {
        def reasons = failed.collect { row -> "z${row[0]}: " + new groovy.json.JsonSlurper().parse(row[-1]).reason }
        error "no slice could be used\n${reasons.toSorted().join('\n')}"
    }
    return [slices: inOrder(reached), failures: inOrder(failed)]
}
