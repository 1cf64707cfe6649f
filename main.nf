include { closingOf ; effectiveSettings ; isReported ; runFacts ; usualSettings } from './functions/about'
include { checkFolders ; checkValues            } from './functions/checks'
include { publishedFolder ; publishedFolders    } from './functions/published'
include { listingOf ; tileEntries } from './functions/raw_folder'
include { markRunning ; unmarkRunning } from './functions/running'
include { stageSettings           } from './functions/settings'
include { checkedOutcomes ; firstRecord ; isBug ; sliceIdOf } from './functions/slices'
include { INSPECT_ACQUISITION     } from './modules/inspect_acquisition'
include { DETECT_REHOMING         } from './modules/detect_rehoming'
include { BUILD_GRIDS             } from './workflows/build_grids'
include { RECONSTRUCT_SLICES      } from './workflows/reconstruct_slices'
include { ALIGN_SLICES            } from './workflows/align_slices'
include { REPORT_BUGS             } from './workflows/report_bugs'
include { REPORT                  } from './modules/report'

params {
    // Folder of the raw acquisition, or a tile table (CSV) in it
    input: Path

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
    // Name of the specimen and so of the volume; empty: 3d_volume
    subject_name: String = ''

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
    // A slice_config.csv that somebody edited; its decisions are kept
    slice_config: Path?
    // 'auto' leaves out calibration faces found by their depth; a number forces that many
    exclude_first_slices = 'auto'
    // Share of unusable tiles above which a slice fails [0-1]
    max_missing_fraction: Float = 0.2
    // Accept slices whose pitch differs by more than 1 %
    allow_mixed_pitch: Boolean = false
    // Slices to use, such as '3,5-8'; empty: all
    debug_slices = ''
    // Least number of digits of a slice's number in the names of all files
    slice_digits: Integer = 2
    // Stop where a tile would be skipped or repaired
    strict: Boolean = false
    // Know raw files and kept results by their content, not by size and times alone: all is read
    verify_content: Boolean = false

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
    // Largest number of tile images used, three of a tile; more than 160 tiles add nothing
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
    checkValues(params, file("${projectDir}/nextflow_schema.json"))
    checkFolders(params.input, workflow.outputDir, params.output, publishedFolders())
    markRunning(workflow.outputDir, workflow.start)
    def settings = stageSettings(params)
    def volume_name = params.subject_name ?: '3d_volume'
    def root = params.input.isDirectory() ? params.input : params.input.parent
    def table = params.input.isDirectory() ? '' : params.input.name

    inspected = INSPECT_ACQUISITION(
        root, listingOf(root, params.verify_content), table, params.positions ?: [], params.tile_table ?: [], params.slice_config ?: [],
        settings.inspect_acquisition
    )
    tiles_ch = inspected.tiles.flatten().map { list -> tuple(sliceIdOf(list), list, tileEntries(root, list)) }
    shifts = inspected.shifts
    fragments = []
    table_files_ch = inspected.tiles.flatten().mix(inspected.shifts, inspected.slice_config, inspected.files)
    if( params.detect_rehoming ) {
        cleaned = DETECT_REHOMING(inspected.shifts, settings.detect_rehoming)
        shifts = cleaned.shifts
        fragments = cleaned.fragment
        table_files_ch = table_files_ch.mix(cleaned.shifts, cleaned.fragment, cleaned.files)
    }

    def known = [
        overrides: params.overrides ?: [],
        distortion: params.distortion in ['auto', 'none'] ? [] : file(params.distortion, checkIfExists: true)
    ]
    built = BUILD_GRIDS(tiles_ch, settings, params.fix_illum_enabled, params.fix_curvature_enabled == 'auto')
    reconstructed = RECONSTRUCT_SLICES(
        built.grids, built.unlit, tiles_ch.map { id, list, _entries -> tuple(id, list) }, known,
        settings, params.compensate_psf_enabled
    )

    failures_ch = built.failures.mix(reconstructed.failures).groupTuple()
        .map { id, records -> tuple(id, firstRecord(records, settings.keySet().toList())) }
    outcomes = tiles_ch.map { id, list, _entries -> tuple(id, list) }
        .join(reconstructed.slices.mix(failures_ch), remainder: true)
        .toList()
        .map { rows -> checkedOutcomes(rows) }
    aligned = ALIGN_SLICES(
        reconstructed.slices, outcomes,
        [
            shifts: shifts, fragments: fragments, slice_config: inspected.slice_config,
            positions: reconstructed.places, stages: reconstructed.stages,
            overrides: params.overrides ?: []
        ],
        settings, params.graph_span, volume_name
    )
    versions_ch = channel.topic('versions').unique()
        .map { process, tool, version -> "${process.tokenize(':')[-1]}\t${tool}\t${version}" }
        .collectFile(name: 'versions.tsv', newLine: true, sort: true)

    grids_ch = built.stores.map { id, grid -> [slice: id, grid: grid] }
    slices_ch = reconstructed.stores.map { id, slice -> [slice: id, store: slice] }
    files_ch = table_files_ch.flatten()
        .mix(failures_ch.map { _id, record -> record }, built.files, reconstructed.files, aligned.files)

    REPORT_BUGS(files_ch.filter { f -> isBug(f) }.collect())
    outputs = grids_ch.map { row -> row.grid }.mix(slices_ch.map { row -> row.store }, aligned.volume, files_ch).toList()
    schema = file("${projectDir}/nextflow_schema.json")
    facts = [
        input: params.input.toString(), output: workflow.outputDir.toString(), version: nextflow.version.toString(),
        profile: workflow.profile, container: workflow.containerEngine, command: workflow.commandLine
    ]
    facts_ch = outputs
        .map { all -> runFacts(volume_name, effectiveSettings(params, schema), usualSettings(schema), all, facts) }
        .collectFile(name: 'run_facts.json')
    told_ch = files_ch.filter { file -> isReported(file.name) }.toSortedList { a, b -> a.name <=> b.name }
    reported = REPORT(told_ch, facts_ch, settings.report)

    publish:
    grids    = grids_ch
    slices   = slices_ch
    volume   = aligned.volume
    files    = files_ch.mix(reported.page, reported.guide)
    about    = versions_ch.mix(reported.record)

    onComplete:
    unmarkRunning(workflow.outputDir)
    def record = file("${workflow.outputDir}/pipeline_info/run.json")
    // Of an earlier run where this one ended before its report.
    def closing = workflow.success ? closingOf(record) : [lines: [], failed: false]
    closing.lines.each { line -> log.info line.replace('{output}', workflow.outputDir.toString()) }
    if( closing.failed )
        nextflow.Global.session.abort(new nextflow.exception.AbortRunException('fail_on'))
    log.info "mosaicflow ${workflow.success ? 'finished' : 'failed'} after ${workflow.duration}: ${workflow.outputDir}"
}

output {
    grids {
        path 'mosaic_grids'
        index {
            path 'pipeline_info/mosaic_grids.csv'
            header true
        }
    }
    slices {
        path { row -> publishedFolder(row.store.name) }
        index {
            path 'pipeline_info/slices.csv'
            header true
        }
    }
    volume {
        path '.'
    }
    // Tables, metrics, transforms and previews, each kind in its folder.
    files {
        path { file -> publishedFolder(file.name) }
    }
    about {
        path 'pipeline_info'
    }
}
