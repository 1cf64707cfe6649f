// What is made of the channels of a slice's tiles beside the measured one, such as ['1', '2cos', '2sin'];
// src/mosaicflow/engine/channels.py says the same.
def channelParts(tiles_json, measured, kinds) {
    def count = new groovy.json.JsonSlurper().parse(tiles_json).n_channels
    def others = count > 1 ? (0..<count).findAll { number -> number != measured } : []
    return others.collectMany { number ->
        def kind = kinds.size() == 1 ? kinds[0] : kinds[number]
        kind == 'angle' ? ["${number}cos".toString(), "${number}sin".toString()] : [number.toString()]
    }
}

// 'slice_z07_stitch_3d_c2.ome.zarr' -> '2'
def partOf(file) {
    return (file.name =~ /_c(\d+(?:cos|sin)?)\./)[0][1]
}

// Whether a part is the cosine or sine of doubled angles.
def isAngle(part) {
    return part ==~ /\d+(cos|sin)/
}

// Settings of a stage for one part of the channels: the suffix ends the names of what it makes.
def ofPart(settings, part) {
    return settings + [suffix: "_c${part}".toString()]
}

// Rows of a stage, whose second entry is a file of some part, and beside each the settings for that part.
def withSettings(rows_ch, settings) {
    return rows_ch.multiMap { row ->
        rows: row
        settings: ofPart(settings, partOf(row[1]))
    }
}
