// 'z07_tiles.json' -> '07'; with as many digits as this name has, the slice goes through the whole run
def sliceIdOf(file) {
    return (file.name =~ /z(\d+)/)[0][1]
}

// Rows [ id, store, file… ] of a stage -> [ id, store ]
def storesOf(made_ch) {
    return made_ch.map { row -> tuple(row[0], row[1]) }
}

// … -> what lies beside the stores
def filesOf(made_ch) {
    return made_ch.flatMap { row -> row.drop(2) }
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

// Whether a file is the record of a slice or pair that a fault of mosaicflow ended.
def isBug(file) {
    return file.name ==~ /z\d+.*_failure(_c\w+)?\.json/ && new groovy.json.JsonSlurper().parse(file).containsKey('traceback')
}

// Rows [ id, outcome ] of all slices, told apart; `wrong` says why the run cannot go on.
def slicesOf(rows) {
    def reached = rows.findAll { row -> row[1] != null && row[1].name.endsWith('.ome.zarr') }
    def failed = rows.findAll { row -> row[1] != null && row[1].name.endsWith('_failure.json') }
    def wrong = lossOf('slices', rows.findAll { row -> row[1] == null }.collect { row -> "z${row[0]}" })
    // Without a row the inspection failed, which says so itself: a good one lists at least one slice.
    if( rows && !reached && !wrong ) {
        def reasons = failed.collect { row -> "z${row[0]}: " + new groovy.json.JsonSlurper().parse(row[1]).reason }
        wrong = "no slice could be used\n${reasons.toSorted().join('\n')}"
    }
    return [slices: inOrder(reached), failures: inOrder(failed), wrong: wrong]
}

// Rows [ id, id, outcome ] of all pairs, likewise.
def pairsOf(rows) {
    def lost = rows.findAll { row -> row[2] == null }.collect { row -> "z${row[0]}-z${row[1]}" }
    def answered = rows.findAll { row -> row[2] != null }
    return [
        transforms: inOrder(answered.findAll { row -> row[2].name.endsWith('_transform.json') }),
        failures: inOrder(answered.findAll { row -> row[2].name.endsWith('_failure.json') }),
        wrong: lossOf('pairs', lost)
    ]
}

def lossOf(kind, lost) {
    return lost
        ? "${kind} ${lost.toSorted().join(', ')} went in and neither came out nor left a record: this is a bug in mosaicflow, please report it with .nextflow.log".toString()
        : ''
}
