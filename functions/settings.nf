// What a preset settles beyond the stage that has it, whatever else is said: engine/parameters.py
// says the same to the other engine.
def withPreset(given) {
    def minimal = [
        graph_span: 0, use_expected_z_overlap: true, normalize_enabled: false, stack_overlap_z_gain: false
    ]
    return given.subMap(given.keySet()) + (given.alignment_preset == 'minimal' ? minimal : [:])
}

// Settings of each stage, by its name. The version is an input of every task too: after an upgrade
// nothing is taken from the cache, with and without containers.
def stageSettings(given, version) {
    return ownSettings(given).collectEntries { stage, own -> [(stage): own + [version: version]] }
}

// Which parameters each stage gets. tests/unit/test_workflow_contract.py compares this table with the
// signatures of the stages.
def ownSettings(given) {
    def store = given.subMap(['ngff_version', 'compressor', 'sharding_factor', 'n_levels'])
    return [
        inspect_acquisition: given.subMap([
            'layout', 'axial_resolution_um', 'preprocess', 'orientation', 'stitch_overlap_fraction', 'stage_unit',
            'pixel_size_um', 'tile_pattern', 'tile_order', 'tile_grid', 'tile_first_number', 'tile_name',
            'nx', 'ny', 'nz', 'n_extra', 'width_um', 'height_um', 'raw_dtype', 'exclude_first_slices',
            'max_missing_fraction', 'allow_mixed_pitch', 'debug_slices', 'slice_digits', 'strict', 'verify_content'
        ]),
        create_mosaic_grid: store + given.subMap([
            'fix_galvo_shift', 'galvo_confidence_threshold', 'detect_galvo', 'fix_camera_shift',
            'max_missing_fraction', 'strict'
        ]) + (given.positions_channel ? [channel: given.positions_channel.toString()] : [:]),
        resample_mosaic_grid: store + given.subMap(['resolution_um']),
        estimate_illumination: given.subMap([
            'fit_max_samples', 'clip_percentile_upper', 'stitch_overlap_fraction', 'seed'
        ]),
        fix_illumination: store,
        fix_focal_curvature: store,
        estimate_tile_positions: given.subMap([
            'use_motor_positions_for_stitching', 'stitch_overlap_fraction', 'max_blend_refinement_px', 'seed'
        ]),
        pool_tile_positions: given.subMap(['resolution_um', 'distortion']),
        take_positions: [:],
        stitch_3d: store + given.subMap([
            'stitch_blending_method', 'stitch_gain_compensation', 'stitch_preview'
        ]),
        correct_axial: store,
        crop_interface: store + given.subMap(['crop_depth_um', 'surface']),
        normalize: store + given.subMap([
            'normalize_enabled', 'clip_percentile_upper', 'normalize_min_contrast'
        ]),
        detect_rehoming: given.subMap([
            'rehoming_max_shift_mm', 'rehoming_return_fraction', 'tile_fov_mm', 'tile_fov_tolerance', 'strict'
        ]),
        register_pairwise: given.subMap([
            'slicing_interval_mm', 'allowed_drift_mm', 'moving_slice_first_index', 'registration_transform',
            'registration_max_translation', 'registration_max_rotation', 'registration_initial_alignment'
        ]),
        solve_alignment: given.subMap([
            'alignment_preset', 'resolution_um', 'slicing_interval_mm',
            'skip_error_transforms', 'max_rotation_deg', 'load_transform_min_zcorr', 'stage_sigma_um',
            'use_expected_z_overlap', 'common_space_excluded_slice_mode',
            'common_space_excluded_slice_window', 'auto_exclude_enabled', 'auto_exclude_consecutive',
            'auto_exclude_z_corr', 'strict'
        ]),
        estimate_depth_profile: [:],
        stack: store + given.subMap([
            'stack_blend_enabled', 'stack_blend_depth_um', 'stack_overlap_z_gain', 'apply_pairwise_transforms',
            'apply_rotation_only', 'resolution_um', 'pyramid_resolutions', 'pyramid_n_levels', 'pyramid_make_isotropic',
            'stack_preview'
        ]),
        join_angle: store,
        export: given.subMap(['export_formats', 'export_level', 'export_dtype']),
        report: given.subMap(['fail_on']),
    ]
}

// What ends the names of the outputs: nothing, or the channel (functions/channels.nf).
def suffixOf(settings) {
    return settings.suffix ?: ''
}

// Settings as long options, one a line. Those without a value are left to the stage's default.
def optionsOf(settings) {
    return settings
        .findAll { name, value -> value != null && !(name in ['version', 'suffix']) }
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
