"""What usually lies behind a symptom, and what to look at or to change."""

from __future__ import annotations

from dataclasses import dataclass

from mosaicflow.reasons import Concern

__all__ = ["ADVICE", "Advice"]


@dataclass(frozen=True, slots=True)
class Advice:
    """Likely cause of a symptom, and the switch to try.

    Parameters
    ----------
    cause : str
        What usually lies behind it.
    remedy : str
        What to look at or to change.
    """

    cause: str
    remedy: str


ADVICE: dict[str, Advice] = {
    "bin_truncated": Advice(
        "a file that ends early: an interrupted copy or acquisition",
        "copy the file again; until then what is missing is 0",
    ),
    "blank_tile": Advice(
        "the light was off, or the file was written without an image",
        "look at the slice's preview; image or copy the tile again, or correct its file",
    ),
    "no_positions": Advice(
        "the files carry no stage positions",
        "tiles are placed by what they show; a tile table, or stitch_overlap_fraction, says more",
    ),
    "correlation": Advice(
        "one of the two slices is damaged, or they share little tissue",
        "look at both previews; set use to false in slice_config.csv",
    ),
    "registration_confidence": Advice(
        "the two slices look alike in too few places",
        "look at both previews; a larger graph_span bridges a bad slice",
    ),
    "rms_residual": Advice(
        "tiles are distorted, or a repeated texture misled links",
        "look at the link residuals; mosaicflow align puts right what lies wrong",
    ),
    "seam_ratio": Advice(
        "shading is left in the tiles, or tiles are misplaced",
        "look at flat_field_error and rms_residual; fix_illum_enabled: true",
    ),
    "lattice_shading": Advice(
        "the flat field does not fit this slice: light that changed, or too few tiles for it",
        "compare with fix_illum_enabled: false; image more tiles, or the slice again",
    ),
    "empty_fraction": Advice(
        "tiles are missing or blank", "look at the list of exclusions and at layout.png"
    ),
    "tissue_coverage": Advice(
        "the slice shows almost no tissue", "look at its preview; exclude it if it is empty"
    ),
    "below_display": Advice(
        "the dark level lies above dark tissue, or there is no gel",
        "normalize_enabled: false keeps the recorded values",
    ),
    "above_display": Advice(
        "very bright structures, or a slice brighter than the others",
        "values are stored as they are: widen the display; clip_percentile_upper",
    ),
    "std_background": Advice(
        "tissue or dirt was taken for gel", "look at the preview; normalize_enabled: false"
    ),
    "interface_min_depth": Advice(
        "the block face leaves the imaged depth at the top", "image with more water above it"
    ),
    "interface_max_depth_fraction": Advice(
        "the block face lies deep in the image", "move the focus down, or give surface"
    ),
    "flat_field_error": Advice(
        "too few tiles for a flat field, or light that changes from tile to tile",
        "more tiles; compare with fix_illum_enabled: false",
    ),
    "max_correction": Advice(
        "the stage is worse than it says, or a slice was matched wrongly",
        "look at the slice with the largest correction; stage_sigma_um, max_rotation_deg",
    ),
    "seam_correlation": Advice(
        "neighbouring slices do not continue each other",
        "check the slicing interval (slicing_interval_mm) and crop_depth_um",
    ),
    "seam_step": Advice(
        "brightness differs from slice to slice", "stack_overlap_z_gain: true; bleaching, lamp"
    ),
    "profile_sigma": Advice(
        "too little common tissue to tell light from specimen",
        "brightness along z is uncertain; cut thinner or image deeper",
    ),
    "loop_error_graph_px": Advice(
        "pairs of slices contradict each other", "look at the pairs with a low confidence"
    ),
    "gain_max": Advice(
        "a slice was imaged with far less light than the others",
        "look at the plot of brightness factors; check the lamp; its noise was raised alike",
    ),
    "gain_min": Advice(
        "a slice was imaged with far more light or noise than the others",
        "look at the plot of brightness factors, and at the slice's preview",
    ),
    "largest_step": Advice(
        "the stage was moved or lost its zero", "look at shifts_xy.csv; detect_rehoming: true"
    ),
    "max_step": Advice("the stage was moved or lost its zero", "look at rehoming_report.json"),
    "median_step": Advice(
        "the stage drifts from slice to slice, or its positions are in another unit",
        "look at shifts_xy.csv; detect_rehoming: true",
    ),
    "unreliable_shifts": Advice(
        "the files carry no stage positions", "slices are placed by their images alone"
    ),
    "unreliable_fraction": Advice(
        "the files carry no stage positions", "slices are placed by their images alone"
    ),
    "mean_intensity_change": Advice(
        "resampling changed the mean brightness", "report it: this should not happen"
    ),
    "min_slice_coverage": Advice(
        "a slice fills almost nothing of the volume", "look at its preview and its place"
    ),
    Concern.LOOSE_TILES: Advice(
        "gel, blank or missing tiles: these overlaps show nothing to compare",
        "look at the slice's preview; mosaicflow align puts right what lies wrong",
    ),
    Concern.OFF_PITCH: Advice(
        "the pixel size, or the steps of the stage, are declared wrong",
        "compare with the microscope's settings; mosaicflow inspect says what was taken",
    ),
    Concern.NO_NUMBER: Advice(
        "there was nothing to measure it on", "report it with the metrics folder"
    ),
    Concern.UNREPORTED_TILES: Advice(
        "the files carry no stage positions",
        "tiles are placed by what they show; a tile table, or stitch_overlap_fraction, says more",
    ),
    Concern.NO_CONTRAST: Advice(
        "every tile is empty or saturated", "look at the previews; check lamp and exposure"
    ),
    Concern.REPEATED_TILES: Advice(
        "the camera stood still, or a slice was copied under a second name",
        "compare the files of these slices; set use to false for one that is none",
    ),
    Concern.NO_SHADING: Advice(
        "the light is even, or there are too few tiles to tell",
        "compare with fix_illum_enabled: false; image more tiles",
    ),
    Concern.OTHER_TILES: Advice(
        "the table was made of another acquisition", "leave it out, or make it of these tiles"
    ),
    Concern.NOT_TAKEN: Advice(
        "that run lost the slice", "look at that run's report; place this slice by its images"
    ),
    Concern.THIN: Advice(
        "the slice is too few planes deep for this stage", "nothing, where so few were imaged"
    ),
    Concern.NO_BEAM_PROFILE: Advice(
        "little gel beside the tissue, or its light is no profile of depth",
        "image more gel; compensate_psf_enabled: false",
    ),
    Concern.NO_WATER: Advice(
        "the block face lies above the imaged depth, or nothing was imaged below it",
        "image with more water above it, or give surface",
    ),
    Concern.SHALLOW: Advice(
        "the face is tilted, or lies deep in the image", "lower crop_depth_um, or image deeper"
    ),
    Concern.STEPS: Advice(
        "steps between slices are missing or contradict each other", "look at shifts_xy.csv"
    ),
    Concern.LEDGER: Advice(
        "the table is of another run, or was edited", "compare slice_config.csv with the raw folder"
    ),
    Concern.IDLE_OVERRIDE: Advice(
        "the slice has another id, or is not in the volume", "correct the id in the table"
    ),
    Concern.GEL_ONLY: Advice(
        "the slice lies beyond the specimen, or was imaged beside it",
        "look at its preview; set use to false in slice_config.csv",
    ),
    Concern.NOT_REGISTERED: Advice(
        "one of the two slices is damaged, or they share little tissue",
        "look at both previews; mosaicflow align puts right what lies wrong",
    ),
    Concern.PAIR_FAILED: Advice(
        "a slice of another pitch, or a bug", "look at the reason; resolution_um makes pitches one"
    ),
    Concern.TURNED_STAGE: Advice(
        "the acquisition was set up anew in between",
        "run mosaicflow check-orientation; give orientation",
    ),
    Concern.UNLIKE_KEPT: Advice(
        "the order of slices is wrong, or many are damaged",
        "look at their previews; correct the numbering",
    ),
    Concern.UNLIKE_LEFT_OUT: Advice(
        "these slices are damaged, or out of order",
        "look at their previews; set use to true in slice_config.csv for those that are sound",
    ),
    Concern.LEFT_OUT: Advice(
        "its image is damaged or lost, or it shows other tissue than its neighbours",
        "look at its preview and at the notes on it below; image it again, or correct its file",
    ),
    Concern.UNSEEN_GAP: Advice(
        "a slice between them is lost, or sections are thicker than what is imaged",
        "image deeper than slicing_interval_mm; mosaicflow align says where they lie",
    ),
    Concern.NO_COMMON_TISSUE: Advice(
        "sections are thicker than what is imaged, or slices are lost between",
        "compare brightness within a slice only; image deeper than slicing_interval_mm",
    ),
    Concern.EMPTY_PLANES: Advice(
        "the slice has no such channel, or failed in this run", "look at what was left out"
    ),
    Concern.COARSE: Advice(
        "pyramid_resolutions begins above resolution_um", "add the slices' pitch to it"
    ),
    Concern.PYRAMID: Advice(
        "a level is no multiple of the finest, or larger than the volume", "pyramid_resolutions"
    ),
    Concern.ROUNDED: Advice(
        "labels, or counts beyond what float32 tells apart", "read them from the OME-Zarr store"
    ),
    Concern.NO_SURFACE: Advice(
        "the volume is empty, or shows gel alone", "look at the volume's picture"
    ),
    Concern.NOT_WRITTEN: Advice(
        "the format has no place for it", "look at the reason; choose another format"
    ),
}
"""By metric, or by the code of a sentence; the stage's page (docs/stages/STAGE.md) says more."""
