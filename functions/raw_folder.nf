// Whether a place is a bucket's, which the tasks reach themselves: for the engine it is a text.
def isAddress(place) {
    return place.toString() ==~ '(s3|gs)://.+'
}

// The raw folder or tile table, or its address as it was given; null where there is none.
def sourceOf(given) {
    if( !given )
        return null
    return isAddress(given) ? given.toString() : file(given, checkIfExists: true)
}

// Name, size and time of every file below the raw folder, as one short text: a folder's own hash
// does not notice what happens inside it, so without this no file could ever change a cached task.
// With `content` the files are read, and known by that too.
def listingOf(root, content) {
    try {
        return digestOf(root, content)
    } catch( java.io.UncheckedIOException wrapped ) {
        if( wrapped.cause instanceof java.nio.file.FileSystemLoopException )
            error "${wrapped.cause.message}: a link that leads back to a folder above it, in the raw folder: remove it"
        throw wrapped
    }
}

def digestOf(root, content) {
    def lines = java.nio.file.Files.walk(root, java.nio.file.FileVisitOption.FOLLOW_LINKS)
        .filter { f -> java.nio.file.Files.isRegularFile(f) }
        .map { f -> "${root.relativize(f)} ${f.size()} ${f.lastModified()} ${content ? contentOf(f) : ''}".toString() }
        .toList()
    return lines.toSorted().join('\n').md5()
}

def contentOf(path) {
    return path.withInputStream { stream -> org.apache.commons.codec.digest.DigestUtils.md5Hex(stream) }
}

// What lies at the top of the raw folder and holds tiles of this slice. Only that is handed to the
// slice's task: it sees changes of its own tiles alone, and on a cloud fetches nothing else.
def tileEntries(root, tiles_json) {
    def tiles = new groovy.json.JsonSlurper().parse(tiles_json).tiles
    return tiles
        .collect { t -> t.path.tokenize('/')[0] }
        .toUnique()
        .toSorted()
        .collect { name -> root.resolve(name) }
        .findAll { entry -> entry.exists() }
}
