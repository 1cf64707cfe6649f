// Written by docs/generate_parameters.py from the contracts of the stages; crc32 of the rest: a8424f8e.

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
            'use_expected_z_overlap', 'moving_slice_first_index', 'registration_transform',
            'registration_max_translation', 'registration_max_rotation',
            'registration_initial_alignment', 'common_space_excluded_slice_mode',
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

// What a stitched slice goes through.
def sliceChain() {
    return ['correct_axial', 'crop_interface', 'normalize']
}

// What a stage of a slice reads: the first there is.
def inputPatterns() {
    return [
        create_mosaic_grid: [
            tiles: ['{z}_tiles.json'],
        ],
        resample_mosaic_grid: [
            grid: ['mosaic_grid_3d_{z}.ome.zarr'],
        ],
        fix_illumination: [
            grid: ['mosaic_grid_3d_{z}_resampled.ome.zarr', 'mosaic_grid_3d_{z}.ome.zarr'],
            illumination: ['illumination.npz'],
        ],
        fix_focal_curvature: [
            grid: [
                'mosaic_grid_3d_{z}_illum_fix.ome.zarr', 'mosaic_grid_3d_{z}_resampled.ome.zarr',
                'mosaic_grid_3d_{z}.ome.zarr'
            ],
            curvature: ['focal_curvature.json'],
        ],
        estimate_tile_positions: [
            grid: ['mosaic_grid_3d_{z}.ome.zarr'],
            illumination: ['illumination.npz'],
        ],
        stitch_3d: [
            grid: [
                'mosaic_grid_3d_{z}_focal_fix.ome.zarr', 'mosaic_grid_3d_{z}_illum_fix.ome.zarr',
                'mosaic_grid_3d_{z}_resampled.ome.zarr', 'mosaic_grid_3d_{z}.ome.zarr'
            ],
            positions: ['{z}_tile_positions.csv'],
            distortion: ['tile_distortion.csv'],
        ],
        correct_axial: [
            slice_path: ['slice_{z}_stitch_3d.ome.zarr'],
        ],
        crop_interface: [
            slice_path: ['slice_{z}_axial_corr.ome.zarr', 'slice_{z}_stitch_3d.ome.zarr'],
            face_of: ['slice_{z}_crop_interface.ome.zarr'],
        ],
        normalize: [
            slice_path: [
                'slice_{z}_crop_interface.ome.zarr', 'slice_{z}_axial_corr.ome.zarr',
                'slice_{z}_stitch_3d.ome.zarr'
            ],
        ],
    ]
}

// What each stage makes; {z} is a slice.
def outputPatterns() {
    return [
        inspect_acquisition: ['acquisition.json', '{z}_tiles.json', 'shifts_xy.csv', 'slice_config.csv', 'layout.png'],
        create_mosaic_grid: ['mosaic_grid_3d_{z}.ome.zarr', 'mosaic_grid_3d_{z}.problems.json'],
        resample_mosaic_grid: ['mosaic_grid_3d_{z}_resampled.ome.zarr'],
        estimate_illumination: ['illumination.npz', 'focal_curvature.json'],
        fix_illumination: ['mosaic_grid_3d_{z}_illum_fix.ome.zarr'],
        fix_focal_curvature: ['mosaic_grid_3d_{z}_focal_fix.ome.zarr'],
        estimate_tile_positions: ['{z}_tile_links.csv', '{z}_tile_stage.json', '{z}_tile_windows.csv'],
        pool_tile_positions: [
            'stage_model.json', 'tile_distortion.csv', 'tile_distortion.png', 'tile_positions.png',
            '{z}_tile_positions.csv', '{z}_link_residuals.csv', '{z}_transform_xy.npy',
            '{z}_TileConfiguration.txt', '{z}_tiles.bdv.xml'
        ],
        take_positions: [
            'alignment.json', 'tile_distortion.csv', '{z}_tile_positions.csv', '{z}_tile_stage.json',
            '{z}_TileConfiguration.txt', '{z}_tiles.bdv.xml'
        ],
        stitch_3d: ['slice_{z}_stitch_3d.ome.zarr', 'slice_{z}_stitch_3d.png'],
        correct_axial: ['slice_{z}_axial_corr.ome.zarr'],
        crop_interface: ['slice_{z}_crop_interface.ome.zarr'],
        normalize: ['slice_{z}_normalize.ome.zarr', 'slice_{z}_normalize.png'],
        detect_rehoming: ['shifts_xy_clean.csv', 'rehoming_report.json', 'rehoming_config.csv'],
        register_pairwise: ['{z}_{z}_transform.json', '{z}_{z}_transform.tfm'],
        solve_alignment: ['alignment.json', 'slice_config_final.csv'],
        estimate_depth_profile: ['depth_profile.json'],
        stack: ['z_matches.csv', 'stacking_decisions.csv', 'stack_z_intensity.csv'],
        join_angle: [],
        export: [],
        report: ['report.html', 'README.txt', 'run.json', 'ro-crate-metadata.json'],
    ]
}

// Where outputs go: the first form that fits.
def placeRules() {
    return [
        [pattern: 'acquisition(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'shifts_xy(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'shifts_xy_clean(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'slice_config(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'slice_config_final(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'rehoming_config(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'rehoming_report(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'illumination(?:_c(\\d+(?:cos|sin)?))?\\.npz', folder: 'tables', by_channel: false],
        [pattern: 'focal_curvature(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'stage_model(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'tile_distortion(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'tile_distortion(?:_c(\\d+(?:cos|sin)?))?\\.png', folder: 'previews', by_channel: false],
        [pattern: 'alignment(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'depth_profile(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z_matches(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'stacking_decisions(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'stack_z_intensity(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'layout(?:_c(\\d+(?:cos|sin)?))?\\.png', folder: 'previews', by_channel: false],
        [pattern: 'tile_positions(?:_c(\\d+(?:cos|sin)?))?\\.png', folder: 'previews', by_channel: false],
        [pattern: 'run(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'pipeline_info', by_channel: false],
        [pattern: 'main(?:_c(\\d+(?:cos|sin)?))?\\.nf', folder: 'pipeline_info', by_channel: false],
        [pattern: 'report(?:_c(\\d+(?:cos|sin)?))?\\.html', folder: '', by_channel: false],
        [pattern: 'README(?:_c(\\d+(?:cos|sin)?))?\\.txt', folder: '', by_channel: false],
        [pattern: 'ro\\-crate\\-metadata(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: '', by_channel: false],
        [pattern: 'z\\d+_tiles(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_links(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_stage(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_windows(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_positions(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_link_residuals(?:_c(\\d+(?:cos|sin)?))?\\.csv', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_transform_xy(?:_c(\\d+(?:cos|sin)?))?\\.npy', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_TileConfiguration(?:_c(\\d+(?:cos|sin)?))?\\.txt', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tiles(?:_c(\\d+(?:cos|sin)?))?\\.bdv\\.xml', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_failure(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+(?:_c(\\d+(?:cos|sin)?))?\\.problems\\.json', folder: 'tables', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_resampled(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_illum_fix(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_focal_fix(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_focal_fix(?:_c(\\d+(?:cos|sin)?))?\\.metrics\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'slice_z\\d+_stitch_3d(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'slices/stitch_3d', by_channel: true],
        [pattern: 'slice_z\\d+_stitch_3d(?:_c(\\d+(?:cos|sin)?))?\\.png', folder: 'previews', by_channel: false],
        [pattern: 'slice_z\\d+_axial_corr(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'slices/axial_corr', by_channel: true],
        [pattern: 'slice_z\\d+_crop_interface(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'slices/crop_interface', by_channel: true],
        [pattern: 'slice_z\\d+_crop_interface(?:_c(\\d+(?:cos|sin)?))?\\.metrics\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.ome\\.zarr', folder: 'slices/normalize', by_channel: true],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.png', folder: 'previews', by_channel: false],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.metrics\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'z\\d+_z\\d+_transform(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_z\\d+_transform(?:_c(\\d+(?:cos|sin)?))?\\.tfm', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_z\\d+_failure(?:_c(\\d+(?:cos|sin)?))?\\.json', folder: 'tables', by_channel: false],
        [pattern: 'acquisition(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'shifts_xy(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'shifts_xy_clean(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'slice_config(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'slice_config_final(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'rehoming_config(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'rehoming_report(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'illumination(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'focal_curvature(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'stage_model(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'tile_distortion(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'tile_distortion(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'previews', by_channel: false],
        [pattern: 'alignment(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'depth_profile(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z_matches(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'stacking_decisions(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'stack_z_intensity(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'layout(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'previews', by_channel: false],
        [pattern: 'tile_positions(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'previews', by_channel: false],
        [pattern: 'run(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'pipeline_info', by_channel: false],
        [pattern: 'main(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'pipeline_info', by_channel: false],
        [pattern: 'report(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: '', by_channel: false],
        [pattern: 'README(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: '', by_channel: false],
        [pattern: 'ro\\-crate\\-metadata(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: '', by_channel: false],
        [pattern: 'z\\d+_tiles(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_links(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_stage(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_windows(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tile_positions(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_link_residuals(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_transform_xy(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_TileConfiguration(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_tiles(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'z\\d+_failure(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_resampled(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_illum_fix(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_focal_fix(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'mosaic_grids', by_channel: false],
        [pattern: 'mosaic_grid_3d_z\\d+_focal_fix(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'slice_z\\d+_stitch_3d(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'slices/stitch_3d', by_channel: true],
        [pattern: 'slice_z\\d+_stitch_3d(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'previews', by_channel: false],
        [pattern: 'slice_z\\d+_axial_corr(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'slices/axial_corr', by_channel: true],
        [pattern: 'slice_z\\d+_crop_interface(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'slices/crop_interface', by_channel: true],
        [pattern: 'slice_z\\d+_crop_interface(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'slices/normalize', by_channel: true],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'previews', by_channel: false],
        [pattern: 'slice_z\\d+_normalize(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'metrics', by_channel: false],
        [pattern: 'z\\d+_z\\d+_transform(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_z\\d+_transform(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'transforms', by_channel: false],
        [pattern: 'z\\d+_z\\d+_failure(?:_c(\\d+(?:cos|sin)?))?\\.crc32c\\.json', folder: 'tables', by_channel: false],
        [pattern: '.*\\.metrics\\.json', folder: 'metrics', by_channel: false],
        [pattern: '.*_(?:tiles|slices)(?:\\.xml|_TileConfiguration\\.txt)', folder: 'exports', by_channel: false],
        [pattern: '.*\\.(?:mrc|nii|ome\\.tif|ply|stl|obj|glb|pickle)|.*_export\\.crc32c\\.json', folder: 'exports', by_channel: false],
        [pattern: '.*\\.ome\\.zarr(?:\\.address)?|.*\\.crc32c\\.json', folder: '', by_channel: false],
        [pattern: '.*\\.png', folder: 'previews', by_channel: false],
        [pattern: '.*\\.(?:json|csv|npz)', folder: 'tables', by_channel: false],
        [pattern: '.*\\.txt', folder: '', by_channel: false],
    ]
}

// At the top of the output tree.
def outputFolders() {
    return [
        'exports', 'metrics', 'mosaic_grids', 'pipeline_info', 'previews', 'slices', 'tables',
        'transforms'
    ]
}

// Of grids and slices.
def storeFolders() {
    return ['mosaic_grids', 'slices/']
}

// What to see how good a result is by.
def foldersToJudge() {
    return ['slices/normalize', 'transforms', 'previews']
}

// What the report reads.
def reportedNames() {
    return '(?!.*\\.crc32c\\.json).*\\.(?:json|csv|png)'
}

// Parameters that change no result.
def noSettings() {
    return [
        'input', 'simulate', 'schema', 'output', 'publish_mode', 'container', 'granularity', 'help',
        'version', 'on_end'
    ]
}
