include { foldersToJudge ; outputFolders ; outputPatterns ; placeRules ; storeFolders } from './contracts'

// Folder of the output tree that a file or store belongs to; a channel's slices have one of their own.
def publishedFolder(name) {
    def rule = placeRules().find { one -> name ==~ one.pattern }
    if( !rule )
        return '.'
    def found = name =~ rule.pattern
    def part = rule.by_channel && found.matches() ? found.group(1) : null
    return part ? "${rule.folder}_c${part}".toString() : (rule.folder ?: '.')
}

// All folders at the top of the output tree.
def publishedFolders() {
    return outputFolders()
}

// Whether a result is kept in the output folder (--keep): all; qc: what shows how good it is; final: the
// volume, tables, metrics and the report.
def isKept(name, keep) {
    def folder = publishedFolder(name)
    if( folder in foldersToJudge() )
        return keep != 'final'
    return keep == 'all' || !storeFolders().any { one -> folder.startsWith(one) }
}

// The stage that made a store, by the store's name without its channel.
def stageOf(name) {
    def own = name.replaceFirst(/_c\d+(cos|sin)?\.ome\.zarr$/, '.ome.zarr')
    return outputPatterns().find { _stage, patterns -> patterns && own ==~ patterns[0].replace('.', '\\.').replace('{z}', 'z\\d+') }?.key
}

// How stores get into the output folder. Unless told otherwise by hard links, which cost neither time nor
// space, where the disk has them; tables, which people edit, are always copied.
def publishMode(asked, work, output) {
    if( asked != 'auto' )
        return asked
    java.nio.file.Files.createDirectories(work)
    java.nio.file.Files.createDirectories(output)
    def probe = java.nio.file.Files.createTempFile(work, 'probe', '')
    def mode = isLinked(output.resolve(probe.name), probe) ? 'link' : 'copy'
    java.nio.file.Files.delete(probe)
    return mode
}

def isLinked(link, target) {
    try {
        java.nio.file.Files.createLink(link, target)
        java.nio.file.Files.delete(link)
        return true
    }
    catch( java.io.IOException _refused ) {     // another disk, or one without links
        return false
    }
    catch( java.lang.UnsupportedOperationException _unknown ) {     // an object store
        return false
    }
}
