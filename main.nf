include { bugsOf ; closingOf ; effectiveSettings ; helpText ; isFailed ; isReported ; runFacts ; statusOf ; usualSettings } from './functions/about'
include { channelParts     } from './functions/channels'
include { checkFolders ; checkValues } from './functions/checks'
include { isKept ; publishMode ; publishedFolder ; publishedFolders ; stageOf } from './functions/published'
include { markRunning ; tellEnd ; unmarkRunning } from './functions/running'
include { overridesOfTiles ; stageSettings ; withPreset } from './functions/settings'
include { filesOfRun       } from './functions/taken'
include { isBug            } from './functions/slices'
include { isAddress ; sourceOf } from './functions/raw_folder'
include { decisiveSettings } from './functions/resources'
include { READ_ACQUISITION } from './workflows/read_acquisition'
include { PROCESS_SLICES   } from './workflows/process_slices'
include { ALIGN_SLICES     } from './workflows/align_slices'
include { CARRY_CHANNELS   } from './workflows/carry_channels'
include { REFUSE           } from './workflows/refuse'
include { REPORT           } from './modules/report'
include { PUT_RESULTS as PUT_STORES ; PUT_RESULTS as PUT_TABLES } from './modules/put_results'

params {
    // Written by docs/generate_parameters.py; crc32 of the rest: e7cc40a7
    // Folder of the raw acquisition, or a tile table (CSV) in it; also the address of one in a bucket
    // (s3:// or gs://), where OCT folders, TIFF and pictures are read
    input: String?
    // Acquisition that Nextflow makes up where no input is given, for trying things out (empty | toy | demo
    // | benchmark | hard | deep | native | ideal)
    simulate: String = ''
    // Version of the form of a params.yml; without it that of 0.1.0
    schema: Integer = 1
    // Nextflow lists all parameters and ends
    help: Boolean = false
    // Nextflow tells the version of mosaicflow and ends
    version: Boolean = false

    // ---- Which steps run ----
    // Estimate the flat field of all tiles and divide by it
    fix_illum_enabled: Boolean = true
    // Make the field's curvature flat in every tile, where overlaps show it beyond doubt (auto | never)
    fix_curvature_enabled: String = 'auto'
    // Remove the axial profile of the beam, learnt from the gel
    compensate_psf_enabled: Boolean = true
    // Find jumps of the stage between slices and correct single wrong positions
    detect_rehoming: Boolean = true
    // Register each slice with this many following ones; 0 uses the stage alone
    graph_span: Integer = 3
    // Channel of image tiles that is measured, counted from 0; all others become volumes by the same
    // positions and transforms
    positions_channel: Integer = 0
    // Output folder of another run on the same tiles: places of tiles and slices, block faces and the
    // field's curvature are taken from it, and none is measured; for channels that are recorded in folders
    // of their own
    positions_from: Path?
    // What the other channels hold: brightness, or angles in degrees of period 180; one word for all, or
    // one per channel in their order; intensity without a word (intensity | angle)
    channel_kind: List<String> = []
    // Name of the specimen and so of the volume; empty: 3d_volume
    subject_name: String = ''
    // Command for the shell when the run has ended, well or not; it finds MOSAICFLOW_STATUS (ok, warning,
    // error or failed), MOSAICFLOW_OUTPUT and MOSAICFLOW_REPORT in its environment
    on_end: String = ''
    // What stays in the output folder: everything; what shows how good it is (previews, finished slices,
    // transforms, and the following); volume, tables, metrics and report (all | qc | final)
    keep: String = 'all'

    // ---- Tiles and where they lie ----
    // How the folder is organised; auto finds out (auto | flat | per_slice | acquisition | archived | tiff
    // | table)
    layout: String = 'auto'
    // Depth spacing of the samples; empty: as image files say, 1.36 for OCT, which says none [um]
    axial_resolution_um: Float?
    // Turn OCT tiles so that their axes run along the stage
    preprocess: Boolean = true
    // Signed scan axes that Y and X follow, such as '-fast,-slow'; empty: the format's own
    orientation: String = ''
    // Overlap of neighbouring tiles where no positions are known [0-1]
    stitch_overlap_fraction: Float = 0.2
    // Unit of the stage positions in the files (mm | um)
    stage_unit: String = 'mm'
    // Lateral pixel pitch of image tiles; empty: as their files say [um]
    pixel_size_um: Float?
    // Fiji tile configuration to use in place of TileConfiguration.txt beside the tiles
    positions: Path?
    // Table path,slice,iy,ix,y_mm,x_mm[,z_mm]; empty: tile_table.csv in the raw folder, if there
    tile_table: Path?
    // Path of a running tile number through the lattice (empty | row-by-row | column-by-column |
    // snake-by-rows | snake-by-columns)
    tile_pattern: String = ''
    // Direction of the first line and of the lines: right-down, left-down, right-up, left-up
    tile_order: String = 'right-down'
    // Size of the lattice of numbered tiles, rows x columns, such as 7x9
    tile_grid: String = ''
    // Number of the first tile; empty: the smallest found
    tile_first_number: Integer?
    // File name such as 'tile_{tile_number:03d}.tif', or a regular expression with a group 'number', or
    // with groups 'x' and 'y'; empty: found by comparing names
    tile_name: String = ''
    // A-lines kept per B-scan, in place of info.txt
    nx: Integer?
    // B-scans per tile, in place of info.txt
    ny: Integer?
    // Depth samples, in place of info.txt
    nz: Integer?
    // Return A-lines per B-scan, in place of info.txt
    n_extra: Integer?
    // Field of view along the fast axis, in place of info.txt [um]
    width_um: Float?
    // Field of view along the slow axis, in place of info.txt [um]
    height_um: Float?
    // Type of a sample in image_*.bin, such as float32, int16, '>f4'
    raw_dtype: String = 'float32'
    // Share of unusable tiles above which a slice fails [0-1]
    max_missing_fraction: Float = 0.2
    // Accept slices whose pitch differs by more than 1 %
    allow_mixed_pitch: Boolean = false
    // Slices to use, such as '3,5-8'; empty: all
    debug_slices = ''
    // Stop where a tile would be skipped or repaired
    strict: Boolean = false
    // Know raw files and kept results by their content, not by size and times alone: all is read
    verify_content: Boolean = false
    // A slice_config.csv that somebody edited; its decisions are kept
    slice_config: Path?
    // 'auto' leaves out calibration faces found by their depth; a number forces that many
    exclude_first_slices = 'auto'
    // Least number of digits of a slice's number in the names of all files
    slice_digits: Integer = 2

    // ---- Mosaic grids ----
    // Find B-scans whose galvo return lies inside the image and roll it to the end, if all evidence of the
    // slice agrees
    fix_galvo_shift: Boolean = true
    // Confidence from which the correction is applied [0-1]
    galvo_confidence_threshold: Float = 0.6
    // Only report what the detection finds
    detect_galvo: Boolean = false
    // Undo the circular shift of old cameras where a saturated marker shows it
    fix_camera_shift: Boolean = false

    // ---- Working pitch ----
    // Pitch wanted on all three axes [um], or -1 for the native one; an axis that is coarser keeps its own.
    // The pitch written is the true one: a whole number of voxels per tile over the tile's exact extent
    resolution_um: Float = 10.0

    // ---- Flat field ----
    // Largest number of tile images used, three of a tile; more than 80 tiles add nothing
    fit_max_samples: Integer = 2000
    // Values above this percentile of a tile are clipped before the fit [%]
    clip_percentile_upper: Float = 99.9
    // Seed of the choice of tiles
    seed: Integer = 0

    // ---- Tile positions ----
    // Start from the positions that the stage, or the file, reports; otherwise from an even lattice
    use_motor_positions_for_stitching: Boolean = true
    // Largest departure of a measured shift from the fitted stage model [native px]; empty: as far as the
    // data show the stage to stray
    max_blend_refinement_px: Float?

    // ---- Stage model and corrections by hand ----
    // What bends all tiles alike: learnt from the overlaps and used where left-out ones agree better with
    // it (auto), not looked for (none), or a tile_distortion.csv of such tiles
    distortion: String = 'auto'
    // Table of places that somebody knows better (kind, slice_id, iy, ix, dy_px, dx_px, angle_deg,
    // sigma_px, lock, exclude): rows of kind tile count when tiles are placed, rows of kind slice when
    // slices are
    overrides: Path?

    // ---- Stitching ----
    // Weight of a tile in an overlap: linear falls towards the tile's border, diffusion does so without
    // kinks where overlaps meet, average is equal, none takes the last tile (linear | diffusion | average |
    // none)
    stitch_blending_method: String = 'linear'
    // Make neighbouring tiles equally bright in their overlaps, by one factor per tile
    stitch_gain_compensation: Boolean = true
    // Also write a picture of the mean over depth
    stitch_preview: Boolean = true

    // ---- Block face ----
    // Depth kept below the face [um]; missing planes are zero
    crop_depth_um: Float = 600.0
    // Shape of the face: a plane, a plane with smooth waviness where held-out columns confirm it, or one
    // depth for the whole slice (global) (plane_waviness | plane | global)
    surface: String = 'plane_waviness'

    // ---- Brightness ----
    // Bring grey values to 0-1; otherwise they stay as recorded, up to the volume
    normalize_enabled: Boolean = true
    // Least span of a plane, as a part of that of the whole slice
    normalize_min_contrast: Float = 0.1

    // ---- Stage movements ----
    // Longest step that needs no explanation [mm]
    rehoming_max_shift_mm: Float = 0.5
    // A jump is a spike when the next step takes all of it back but this part
    rehoming_return_fraction: Float = 0.4
    // Field of view of a tile [mm], only for tables of older software in which a new row of tiles looks
    // like a movement; empty: steps are taken as they are
    tile_fov_mm: Float?
    // How near such a step is to whole tiles, in fields of view
    tile_fov_tolerance: Float = 0.05

    // ---- Registration of slices ----
    // Thickness of a section [mm]
    slicing_interval_mm: Float = 0.2
    // How far the depth of a slice may depart from its number times the interval [mm]
    allowed_drift_mm: Float = 0.1
    // First plane of the lower slice that the knife has left intact
    moving_slice_first_index: Integer = 4
    // Whether the slice may turn (translation | euler)
    registration_transform: String = 'euler'
    // Largest departure from the expected position [px]
    registration_max_translation: Float = 200.0
    // Largest rotation [deg]
    registration_max_rotation: Float = 5.0
    // Where the first guess comes from, besides the expected position: a search over all shifts and angles,
    // the centres of mass, or both (none | gradient | com | both)
    registration_initial_alignment: String = 'both'

    // ---- Alignment ----
    // How much images count against the stage: only pairs that beat it by 3 standard errors on parts not
    // used for the fit; pairs that know more than it does; every pair with a standard error; or none, with
    // faces at their interval and, in a run, grey values as recorded (conservative | standard | aggressive
    // | minimal)
    alignment_preset: String = 'standard'
    // Leave out pairs whose registration failed; otherwise what it found and turned down is judged by its
    // standard errors like any other pair
    skip_error_transforms: Boolean = true
    // A pair with a larger rotation is not used [deg]
    max_rotation_deg: Float = 5.0
    // A pair with a lower correlation is not used; 0: all are
    load_transform_min_zcorr: Float = 0.0
    // Standard error of a reliable stage position [um]; pairs that show the same tissue correct it
    stage_sigma_um: Float = 15.0
    // Place the faces by slice number and interval; otherwise by the measured depths, fitted jointly
    use_expected_z_overlap: Boolean = false
    // What a stage step at an excluded slice counts: itself, a median of others, or nothing; auto keeps
    // reliable stage readings and takes the local median for others (auto | keep | local_median | median |
    // zero)
    common_space_excluded_slice_mode: String = 'auto'
    // Rows on either side that the local median looks at
    common_space_excluded_slice_window: Integer = 2
    // Leave out runs of slices that match nothing
    auto_exclude_enabled: Boolean = true
    // Bad pairs in a row that make a run
    auto_exclude_consecutive: Integer = 3
    // A pair below this correlation is bad
    auto_exclude_z_corr: Float = 0.4

    // ---- Volume ----
    // Fade from slice to slice; otherwise cut hard at each block face
    stack_blend_enabled: Boolean = true
    // Depth below a block face over which its slice fades in [um]
    stack_blend_depth_um: Float = 50.0
    // Fit one brightness factor per slice to all seams, and even out what is left near each
    stack_overlap_z_gain: Boolean = true
    // Use what registration found; otherwise the stage's positions alone, for comparison
    apply_pairwise_transforms: Boolean = true
    // Of that, use only the rotations
    apply_rotation_only: Boolean = false
    // Pitches of the levels [um]; those finer than the data are left out
    pyramid_resolutions: List<Float> = [10.0, 25.0, 50.0, 100.0]
    // Instead of fixed pitches: number of additional levels, each half as fine
    pyramid_n_levels: Integer?
    // Same pitch on all axes of a level
    pyramid_make_isotropic: Boolean = true
    // Write a picture of the three central planes
    stack_preview: Boolean = true

    // ---- Files for other programs ----
    // Files for other programs to write of the volume; none without a name (mrc | nifti | ome-tiff | mesh |
    // placements | session)
    export_formats: List<String> = []
    // Level of the volume's pyramid that is exported, 0 is the finest
    export_level: Integer = 0
    // Values of the exported volume: as they are, or scaled to whole numbers up to 65535 (float32 | uint16)
    export_dtype: String = 'float32'

    // ---- Report and verdict ----
    // Verdict from which the run counts as failed, once everything is written: a warning, an error (the
    // volume as a whole cannot be trusted), or never (warning | error | never)
    fail_on: String = 'error'

    // ---- Output stores ----
    // Codec of the chunks (blosc | blosc-lz4 | blosc-zstd | zstd | lz4 | gzip | none)
    compressor: String = 'blosc'
    // Additional pyramid levels, each half as fine laterally; for viewing only
    n_levels: Integer = 0
    // Flavour of OME-Zarr: 0.4 is zarr v2, 0.5 is zarr v3 (0.4 | 0.5)
    ngff_version = '0.4'
    // Lateral chunks per shard and axis (0.5 only); empty: 1 with 0.4, 4 with 0.5
    sharding_factor: Integer?
}

workflow {
    main:
    def schema = file("${projectDir}/nextflow_schema.json")
    if( params.help || params.version )
        exit 0, params.help ? helpText(schema) : "mosaicflow ${workflow.manifest.version}"
    checkValues(params, schema)
    checkFolders(params, workflow.outputDir, publishedFolders())
    markRunning(workflow.outputDir, workflow.start)
    def chosen = withPreset(params)
    def settings = stageSettings(chosen, workflow.manifest.version)
    def source = sourceOf(params.input)
    def volume_name = params.subject_name ?: '3d_volume'
    def chains = params.granularity == 'slice'
    def tables = [
        positions: params.positions ?: [], tile_table: params.tile_table ?: [], slice_config: params.slice_config ?: [],
        overrides: overridesOfTiles(params.overrides), run: filesOfRun(params.positions_from),
        distortion: params.distortion in ['auto', 'none'] ? [] : file(params.distortion, checkIfExists: true)
    ]

    def is_flat = params.fix_illum_enabled && params.fix_curvature_enabled == 'auto'
    def use = [light: params.fix_illum_enabled, curvature: tables.run ? tables.run.curvature as boolean : is_flat, psf: params.compensate_psf_enabled]

    // What was recorded: [ id, tile list, raw tiles ] of each slice
    found = READ_ACQUISITION(
        source, params.simulate, tables, settings, params.detect_rehoming && !tables.run,
        decisiveSettings(chosen)
    )

    // Tiles -> one slice per section, or a record of why not
    processed = PROCESS_SLICES(found.tiles, tables, settings, use + [chains: chains])

    // Slices -> one volume
    aligned = ALIGN_SLICES(
        processed.slices, processed.whole,
        [
            shifts: found.shifts, fragments: found.fragments, slice_config: found.slice_config,
            positions: processed.places, stages: processed.stages, overrides: params.overrides ?: [],
            taken: processed.alignment
        ],
        settings, [span: chosen.graph_span, chains: chains, taken: tables.run as boolean], volume_name
    )

    // Other channels of the same tiles, each to where the measured one was found
    carried = CARRY_CHANNELS(
        found.tiles.flatMap { id, list, entries ->
            channelParts(list, params.positions_channel, params.channel_kind).collect { part -> tuple(id, part, list, entries) }
        },
        [
            positions: processed.tables, faces: processed.faces, curvature: processed.curvature,
            distortion: processed.distortion, alignment: aligned.alignment
        ],
        settings, use, volume_name
    )
    volumes_ch = aligned.volume.mix(carried.volumes)

    // What of it can be trusted
    stores_ch = processed.stores.mix(carried.stores).map { id, store -> [slice: id, stage: stageOf(store.name), store: store] }
        .filter { row -> isKept(row.store.name, params.keep) }
    made_ch = found.files.mix(processed.files, aligned.files, carried.files)
    files_ch = made_ch.filter { file -> isKept(file.name, params.keep) }
    facts = [
        input: (params.input ?: "simulated: ${params.simulate}").toString(), output: (isAddress(params.output) ? params.output : workflow.outputDir).toString(),
        version: nextflow.version.toString(), profile: workflow.profile, container: workflow.containerEngine,
        command: workflow.commandLine
    ]
    def is_remote = isAddress(params.output)
    facts_ch = stores_ch.map { row -> row.store }.mix(volumes_ch, files_ch).toList()
        .map { all -> runFacts(volume_name, effectiveSettings(chosen, schema), usualSettings(schema), all, facts) }
        .collectFile(name: 'run_facts.json')
        .first()
    told = made_ch.filter { file -> isReported(file.name) }.toSortedList { a, b -> a.name <=> b.name }
    reported = REPORT(told, facts_ch, settings.report)
    versions_ch = channel.topic('versions').unique()
        .map { process, tool, version -> "${process.tokenize(':')[-1]}\t${tool}\t${version}" }
        .collectFile(name: 'versions.tsv', newLine: true, sort: true)
    workflow_ch = channel.of(file("${projectDir}/main.nf").text).collectFile(name: 'main.nf')

    // A run that is done and has failed
    REFUSE(
        made_ch.filter { file -> isBug(file) }.toList().filter { records -> records }.map { records -> bugsOf(records) }
            .mix(reported.record.filter { record -> isFailed(record) }.map { _record -> 'the verdict reaches fail_on' })
            .map { reason ->
                log.error reason
                tuple(reason, true)
            }
    )

    // Behind an address everything lies where the output folder would have it; run.json comes last.
    if( is_remote ) {
        sent = PUT_STORES(stores_ch.map { row -> [row.store] }.mix(volumes_ch.filter { volume -> volume.isDirectory() }.map { volume -> [volume] }), params.output)
        PUT_TABLES(
            files_ch.mix(reported.page, reported.guide, reported.crate, versions_ch, reported.record, workflow_ch, found.resources)
                .toSortedList { a, b -> a.name <=> b.name }
                .combine(sent.done.toList().map { done -> done.size() })
                .map { row -> row.dropRight(1) },
            params.output
        )
    }

    publish:
    stores = is_remote ? channel.empty() : stores_ch
    volume = volumes_ch
    files  = files_ch.mix(reported.page, reported.guide, reported.crate)
    about  = versions_ch.mix(reported.record, workflow_ch, found.resources)

    onComplete:
    unmarkRunning(workflow.outputDir)
    // That of an earlier run was set aside: without it this one ended before its report.
    def record = file("${workflow.outputDir}/pipeline_info/run.json")
    def closing = record.exists() ? closingOf(record) : []
    closing.each { line -> log.info line.replace('{output}', (isAddress(params.output) ? params.output : workflow.outputDir).toString()) }
    tellEnd(params.on_end, record.exists() ? statusOf(record) : 'failed', workflow.outputDir)
    log.info "mosaicflow ${workflow.success ? 'finished' : 'failed'} after ${workflow.duration}: ${workflow.outputDir}"
}

output {
    // Grids and slices of all stages
    stores {
        path { row -> publishedFolder(row.store.name) }
        mode publishMode(params.publish_mode, workflow.workDir, workflow.outputDir)
        index {
            path 'pipeline_info/stores.csv'
            header true
        }
    }
    volume {
        path '.'
        mode publishMode(params.publish_mode, workflow.workDir, workflow.outputDir)
    }
    // Tables, metrics, transforms and previews, each kind in its folder.
    files {
        path { file -> publishedFolder(file.name) }
    }
    about {
        path 'pipeline_info'
    }
}
