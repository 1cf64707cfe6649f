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

    /** What a stub run publishes of three slices, all steps on, the volume exported as a map: names below the output folder. */
    static List<String> stubTree() {
        def slices = ['z00', 'z01', 'z02']
        def grids = ['', '_resampled', '_illum_fix', '_focal_fix'].collectMany { step -> slices.collect { z -> "mosaic_grid_3d_${z}${step}" } }
        def steps = ['stitch_3d', 'axial_corr', 'crop_interface', 'normalize'].collectMany { step -> slices.collect { z -> [step, "slice_${z}_${step}"] } }
        def pairs = ['z00_z01', 'z00_z02', 'z01_z02'].collect { pair -> "${pair}_transform" }
        def tables = slices.collectMany { z ->
            ['tiles.json', 'tile_links.csv', 'tile_stage.json', 'tile_windows.csv', 'tile_links.crc32c.json', 'tile_positions.csv', 'link_residuals.csv', 'TileConfiguration.txt', 'tiles.bdv.xml'].collect { name -> "${z}_${name}" } + "mosaic_grid_3d_${z}.problems.json"
        }
        def named = ['acquisition.json', 'alignment.json', 'depth_profile.json', 'illumination.npz', 'focal_curvature.json', 'shifts_xy.csv', 'shifts_xy_clean.csv', 'rehoming_config.csv', 'rehoming_report.json', 'slice_config.csv', 'slice_config_final.csv', 'stack_z_intensity.csv', 'stacking_decisions.csv', 'stage_model.json', 'tile_distortion.csv', 'z_matches.csv']
        def listed = ['acquisition', 'alignment', 'depth_profile', 'illumination', 'shifts_xy_clean', 'stage_model']
        def measured = grids + steps.collect { step -> step[1] } + pairs + listed + slices.collectMany { z -> ["${z}_tile_links", "${z}_tile_positions"] } + ['3d_volume', '3d_volume_export']
        def found = ['3d_volume.ome.zarr', '3d_volume.crc32c.json', 'README.txt', 'report.html', 'ro-crate-metadata.json', 'exports/3d_volume.mrc', 'exports/3d_volume_export.crc32c.json'] +
            grids.collectMany { name -> ["mosaic_grids/${name}.ome.zarr", "mosaic_grids/${name}.crc32c.json"] } +
            steps.collectMany { step -> ["slices/${step[0]}/${step[1]}.ome.zarr", "slices/${step[0]}/${step[1]}.crc32c.json"] } +
            pairs.collectMany { name -> ['json', 'tfm', 'crc32c.json'].collect { kind -> "transforms/${name}.${kind}" } } +
            slices.collect { z -> "transforms/${z}_transform_xy.npy" } +
            (tables + named + listed.collect { name -> "${name}.crc32c.json" }).collect { name -> "tables/${name}" } +
            measured.collect { name -> "metrics/${name}.metrics.json" } +
            (['layout', 'tile_positions', 'tile_distortion', '3d_volume'] + slices.collectMany { z -> ["slice_${z}_stitch_3d", "slice_${z}_normalize"] }).collect { name -> "previews/${name}.png" } +
            ['main.nf', 'resources.json', 'run.json', 'stores.csv', 'versions.tsv'].collect { name -> "pipeline_info/${name}" }
        return found.collect { name -> name.toString() }.sort()
    }

    /** What lies below a folder: files, and stores as one name each. */
    static List<String> tree(String folder) {
        def root = new File(folder).toPath()
        return java.nio.file.Files.walk(root).toList()
            .collect { path -> root.relativize(path).toString() }
            .findAll { name -> name.endsWith('.ome.zarr') || (!name.contains('.ome.zarr/') && root.resolve(name).toFile().isFile()) }
            .sort()
    }

    /** Whether the tasks of a run got the files that the contracts of their stages ask for (tests/wiring.py). */
    static boolean isWiredAsContractsSay(String work, Map settings) {
        run('python', 'tests/wiring.py', work, groovy.json.JsonOutput.toJson(settings))
        return true
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
