// Written by docs/generate_parameters.py from the contracts of the stages.

// What a preset settles, whatever else is said.
def presets() {
    return [
        minimal: [
            graph_span: 0,
            use_expected_z_overlap: true,
            normalize_enabled: false,
            stack_overlap_z_gain: false,
        ],
    ]
}

// Options of each stage; files are inputs.
def optionNames() {
    return [
        inspect_acquisition: [
            'layout', 'axial_resolution_um', 'preprocess', 'orientation', 'stitch_overlap_fraction',
            'stage_unit', 'pixel_size_um', 'tile_pattern', 'tile_order', 'tile_grid',
            'tile_first_number', 'tile_name', 'nx', 'ny', 'nz', 'n_extra', 'width_um', 'height_um',
            'raw_dtype', 'max_missing_fraction', 'allow_mixed_pitch', 'debug_slices', 'strict',
            'verify_content', 'exclude_first_slices', 'slice_digits'
        ],
        create_mosaic_grid: [
            'fix_galvo_shift', 'galvo_confidence_threshold', 'detect_galvo', 'fix_camera_shift',
            'max_missing_fraction', 'strict', 'ngff_version', 'compressor', 'sharding_factor',
            'n_levels'
        ],
        resample_mosaic_grid: ['resolution_um', 'ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        estimate_illumination: ['fit_max_samples', 'clip_percentile_upper', 'stitch_overlap_fraction', 'seed'],
        fix_illumination: ['ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        fix_focal_curvature: ['ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        estimate_tile_positions: [
            'use_motor_positions_for_stitching', 'stitch_overlap_fraction', 'max_blend_refinement_px',
            'seed'
        ],
        pool_tile_positions: ['distortion', 'resolution_um'],
        take_positions: [],
        stitch_3d: [
            'stitch_blending_method', 'stitch_gain_compensation', 'stitch_preview', 'ngff_version',
            'compressor', 'sharding_factor', 'n_levels'
        ],
        correct_axial: ['ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        crop_interface: ['crop_depth_um', 'surface', 'ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        normalize: [
            'normalize_enabled', 'clip_percentile_upper', 'normalize_min_contrast', 'ngff_version',
            'compressor', 'sharding_factor', 'n_levels'
        ],
        detect_rehoming: [
            'rehoming_max_shift_mm', 'rehoming_return_fraction', 'tile_fov_mm', 'tile_fov_tolerance',
            'strict'
        ],
        register_pairwise: [
            'slicing_interval_mm', 'allowed_drift_mm', 'moving_slice_first_index',
            'registration_transform', 'registration_max_translation', 'registration_max_rotation',
            'registration_initial_alignment'
        ],
        solve_alignment: [
            'alignment_preset', 'resolution_um', 'slicing_interval_mm', 'skip_error_transforms',
            'max_rotation_deg', 'load_transform_min_zcorr', 'stage_sigma_um',
            'use_expected_z_overlap', 'common_space_excluded_slice_mode',
            'common_space_excluded_slice_window', 'auto_exclude_enabled', 'auto_exclude_consecutive',
            'auto_exclude_z_corr', 'strict'
        ],
        estimate_depth_profile: [],
        stack: [
            'stack_blend_enabled', 'stack_blend_depth_um', 'stack_overlap_z_gain',
            'apply_pairwise_transforms', 'apply_rotation_only', 'resolution_um',
            'pyramid_resolutions', 'pyramid_n_levels', 'pyramid_make_isotropic', 'stack_preview',
            'ngff_version', 'compressor', 'sharding_factor', 'n_levels'
        ],
        join_angle: ['ngff_version', 'compressor', 'sharding_factor', 'n_levels'],
        export: ['export_formats', 'export_level', 'export_dtype'],
        report: ['fail_on'],
    ]
}

// Parameters that change no result.
def noSettings() {
    return [
        'input', 'simulate', 'schema', 'output', 'publish_mode', 'container', 'granularity', 'help',
        'version', 'on_end'
    ]
}
