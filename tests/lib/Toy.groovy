/** A tiny acquisition and everything the embedded engine makes of it: the input of each module's test. */
class Toy {

    // nf-test loads this class anew for each file; only the process remembers what is made.
    private static final String MADE = 'mosaicflow.toy'

    /** Path of a file of the run (or of the raw data, below 'raw'), as text for a test's input. */
    static String path(String name) {
        def folder = new File(System.getProperty(MADE) ?: make())
        def place = name.startsWith('raw') || name == 'params.yml' ? folder : new File(folder, 'run')
        def found = new File(place, name)
        assert found.exists() : "${found} is missing"
        return found.absolutePath
    }

    /** A raw folder in which a link leads back to the folder itself. */
    static String loop() {
        def folder = File.createTempDir('loop', '')
        new File(folder, 'z00').mkdir()
        java.nio.file.Files.createSymbolicLink(new File(folder, 'z00/back').toPath(), folder.toPath())
        return folder.absolutePath
    }

    private static synchronized String make() {
        def fresh = new File(System.getenv('NFT_WORKDIR') ?: '.nf-test', 'toy')
        fresh.deleteDir()
        run('mosaicflow', 'simulate', '--preset', 'toy', '--output', fresh.path)
        run('mosaicflow', 'run', '--input', "${fresh}/raw", '--output', "${fresh}/run", '-p', "${fresh}/params.yml")
        System.setProperty(MADE, fresh.absolutePath)
        return fresh.absolutePath
    }

    private static void run(String... command) {
        def process = new ProcessBuilder(command as List<String>).redirectErrorStream(true).start()
        def text = process.inputStream.text
        assert process.waitFor() == 0 : "${command.join(' ')}\n${text}"
    }
}
