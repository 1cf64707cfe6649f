"""Stage `solve_alignment`: one transform and one depth per slice, from all evidence at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mosaicflow import names
from mosaicflow.limits import ABOVE_0, FRACTION, FROM_0, FROM_1, Limit
from mosaicflow.measures import Measure, each
from mosaicflow.stages._contract import ChosenTable, Reads, stage
from mosaicflow.stages._options import FirstGuess, ResolutionUm, SliceMotion, Turn

if TYPE_CHECKING:
    from mosaicflow.alignment.pair_record import PairRecord
    from mosaicflow.io.report import StageReport

__all__ = ["solve_alignment"]


_MISS = "median distance by which links miss when predicted without themselves"
METRICS = (
    *each("slices_by_{}", ("graph", "manual", "stage", "previous"), "slices placed by {}"),
    Measure("slices_placed", "slices in the volume"),
    Measure("slices_left_out", "slices listed with a reason"),
    Measure("links_used", "pairs used in full"),
    Measure("links", "pairs registered"),
    Measure("unjoined_neighbours", "neighbours that no pair with common tissue joins"),
    *each(
        "held_out_correlation{}",
        ("_stage", ""),
        "median over the pairs used, on parts not used for the fit",
    ),
    Measure("loop_error_stage_px", _MISS, "px"),
    # Pairs of common tissue agree to a tenth of this.
    Measure("loop_error_graph_px", _MISS, "px", warning=1.0),
    Measure("max_rotation", "largest rotation", "deg"),
    # Simulated stages that err by 12 um rms per axis give 60 um, by 30 um 130 (nine sets); a slice
    # that lies 400 um beside its report gives 430. At twice this a tile's width would pass on small
    # fields of view.
    Measure(
        "max_correction",
        "largest departure from the stage",
        "px",
        warning=200.0,
        scaled="in um: divided by the pitch",
    ),
    Measure("z_offset_std", "spread of measured depths", "voxels"),
    Measure("z_offset_range", "range of measured depths", "voxels"),
    Measure("gap_planes", "empty planes", "planes"),
    Measure("sections_measured", "faces whose depth below the last is measured"),
    Measure("sections", "faces below the first"),
    Measure("stage_sigma", "error of the stage, measured", "um"),
)


@stage(
    "run",
    label="table",
    title="Alignment",
    icon="project-diagram",
    makes=(names.ALIGNMENT, names.FINAL_LEDGER),
    metrics=METRICS,
)
def solve_alignment(
    report: StageReport,
    *,
    shifts: Annotated[Path, Reads(names.CLEAN_SHIFTS, names.SHIFTS)],
    slice_config: Annotated[Path, Reads(names.LEDGER)],
    slices: Annotated[tuple[Path, ...], Reads(newest=names.SLICE_STORES)],
    transforms: Annotated[tuple[Path, ...], Reads(names.TRANSFORM)] = (),
    failures: Annotated[tuple[Path, ...], Reads(names.FAILURE, names.PAIR_FAILURE)] = (),
    config_fragments: Annotated[tuple[Path, ...], Reads(names.REHOMING_LEDGER)] = (),
    output_dir: Path,
    overrides: ChosenTable = None,
    alignment_preset: Literal["conservative", "standard", "aggressive", "minimal"] = "standard",
    resolution_um: ResolutionUm = 10.0,
    slicing_interval_mm: Annotated[float, ABOVE_0] = 0.2,
    skip_error_transforms: bool = True,
    max_rotation_deg: Turn = 5.0,
    load_transform_min_zcorr: Annotated[float, FRACTION] = 0.0,
    stage_sigma_um: Annotated[float, ABOVE_0] = 15.0,
    use_expected_z_overlap: bool = False,
    moving_slice_first_index: Annotated[int, FROM_0] = 4,
    registration_transform: SliceMotion = "euler",
    registration_max_translation: Annotated[float, ABOVE_0] = 200.0,
    registration_max_rotation: Turn = 5.0,
    registration_initial_alignment: FirstGuess = "both",
    common_space_excluded_slice_mode: Literal[
        "auto", "keep", "local_median", "median", "zero"
    ] = "auto",
    common_space_excluded_slice_window: Annotated[int, FROM_1] = 2,
    auto_exclude_enabled: bool = True,
    auto_exclude_consecutive: Annotated[int, FROM_1] = 3,
    auto_exclude_z_corr: Annotated[float, Limit(least=-1, most=1)] = 0.4,
    strict: bool = False,
    threads: int = 1,
) -> None:
    """Weigh the stage's positions and the registered pairs, and decide where every slice goes.

    Slices on either side of a gap, whose pairs were put off, are compared here.

    Parameters
    ----------
    shifts : Path
        Stage steps (shifts_xy_clean.csv).
    slice_config : Path
        Ledger of the slices (slice_config.csv).
    slices : tuple[Path, ...]
        All slices that reached alignment (slice_zNN_normalize.ome.zarr).
    transforms : tuple[Path, ...]
        Registered pairs (zII_zJJ_transform.json).
    failures : tuple[Path, ...]
        Records of slices and pairs that failed on the way (zNN_failure.json).
    config_fragments : tuple[Path, ...]
        What stages found out about slices, for the ledger (rehoming_config.csv).
    output_dir : Path
        Folder for alignment.json and slice_config_final.csv.
    overrides : Path | None
        Table of places that somebody knows better (kind, slice_id, iy, ix, dy_px, dx_px, angle_deg,
        sigma_px, lock, exclude): rows of kind tile count when tiles are placed, rows of kind slice
        when slices are.
    alignment_preset : {'conservative', 'standard', 'aggressive', 'minimal'}
        How much images count against the stage: only pairs that beat it by 3 standard errors on
        parts not used for the fit; pairs that know more than it does; every pair with a standard
        error; or none, with faces at their interval and, in a run, grey values as recorded.
    resolution_um : float
        Pitch of the volume [um]; -1: that of the slices.
    slicing_interval_mm : float
        Thickness of a section [mm].
    skip_error_transforms : bool
        Leave out pairs whose registration failed; otherwise what it found and turned down is
        judged by its standard errors like any other pair.
    max_rotation_deg : float
        A pair with a larger rotation is not used [deg].
    load_transform_min_zcorr : float
        A pair with a lower correlation is not used; 0: all are.
    stage_sigma_um : float
        Standard error of a reliable stage position [um]; pairs that show the same tissue correct
        it.
    use_expected_z_overlap : bool
        Place the faces by slice number and interval; otherwise by the measured depths, fitted
        jointly.
    moving_slice_first_index : int
        First plane of the lower slice that the knife has left intact.
    registration_transform : {'translation', 'euler'}
        Whether the slice may turn.
    registration_max_translation : float
        Largest departure from the expected position [px].
    registration_max_rotation : float
        Largest rotation [deg].
    registration_initial_alignment : {'none', 'gradient', 'com', 'both'}
        Where the first guess comes from, besides the expected position: a search over all shifts
        and angles, the centres of mass, or both.
    common_space_excluded_slice_mode : {'auto', 'keep', 'local_median', 'median', 'zero'}
        What a stage step at an excluded slice counts: itself, a median of others, or nothing; auto
        keeps reliable stage readings and takes the local median for others.
    common_space_excluded_slice_window : int
        Rows on either side that the local median looks at.
    auto_exclude_enabled : bool
        Leave out runs of slices that match nothing.
    auto_exclude_consecutive : int
        Bad pairs in a row that make a run.
    auto_exclude_z_corr : float
        A pair below this correlation is bad.
    strict : bool
        Refuse incomplete tables instead of assuming.
    threads : int
        Number of blocks of slices read at the same time.
    """
    from dataclasses import replace

    from mosaicflow.alignment.inputs import AlignmentInputs
    from mosaicflow.alignment.links import LinkRules
    from mosaicflow.alignment.pair import DepthLimits, measure_pair
    from mosaicflow.alignment.pair_fit import RegistrationSettings
    from mosaicflow.alignment.rules import AlignmentRules, ExcludeRules, StepRules
    from mosaicflow.alignment.settle import align_slices, write_alignment
    from mosaicflow.ledger.overrides import read_overrides

    rules = AlignmentRules(
        resolution_um=resolution_um,
        skip_error=skip_error_transforms and alignment_preset != "aggressive",
        interval_um=1000 * slicing_interval_mm,
        stage_sigma_um=stage_sigma_um,
        links=LinkRules(
            max_rotation_deg,
            load_transform_min_zcorr,
            alignment_preset,
        ),
        steps=StepRules(common_space_excluded_slice_mode, common_space_excluded_slice_window),
        exclude=ExcludeRules(auto_exclude_enabled, auto_exclude_consecutive, auto_exclude_z_corr),
        expected_depths=use_expected_z_overlap or alignment_preset == "minimal",
        strict=strict,
    )
    inputs = AlignmentInputs.read(
        shifts, slice_config, config_fragments, slices, transforms, failures
    )
    if overrides is not None:
        inputs = replace(inputs, overrides=read_overrides(overrides))
    registration = RegistrationSettings(
        registration_transform,
        registration_max_translation,
        registration_max_rotation,
        registration_initial_alignment,
    )
    depth = DepthLimits(rules.interval_um, first_index=moving_slice_first_index)

    def compare(fixed_id: int, moving_id: int) -> PairRecord:
        pair = inputs.slices[fixed_id], inputs.slices[moving_id]
        found = measure_pair(*pair, shifts, registration, depth, at_once=True, threads=threads)
        return found.record()

    result = align_slices(inputs, rules, compare, report)
    write_alignment(result, inputs, output_dir)
    report.write(output_dir / names.ALIGNMENT.of())
