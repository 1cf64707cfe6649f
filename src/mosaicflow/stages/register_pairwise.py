"""Stage `register_pairwise`: how one slice lies on another, measured from their images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mosaicflow import names
from mosaicflow.limits import ABOVE_0, FROM_0
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._options import FirstGuess, SliceMotion, Turn

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["register_pairwise"]


METRICS = (
    Measure("registration_error", "1 - correlation"),
    # Pairs that share tissue: 0.85 and more where they match, below 0.5 where they do not.
    Measure(
        "correlation", "inside the tissue, after registration", warning=0.7, error=0.5, good="high"
    ),
    Measure("correlation_before", "as the stage places it"),
    Measure("translation_magnitude", "correction of the stage's position", "px"),
    Measure("rotation", "rotation of the moving slice", "deg"),
    # Chosen by judgement, and checked on few simulated runs (tests/pipeline/test_thresholds.py).
    Measure("registration_confidence", "trust in this pair", warning=0.4, error=0.3, good="high"),
    Measure("held_out_correlation", "parts not used for the fit, refined"),
    Measure("held_out_correlation_stage", "parts not used for the fit, stage"),
    Measure("z_drift", "depth found minus expected", "planes"),
)


@stage(
    "pair",
    label="pair",
    title="Registration of slices",
    icon="arrows-alt",
    makes=(names.TRANSFORM, names.MOTION),
    metrics=METRICS,
)
def register_pairwise(
    report: StageReport,
    *,
    fixed: Annotated[Path, Reads(newest=names.SLICE_STORES)],
    moving: Annotated[Path, Reads(newest=names.SLICE_STORES)],
    output: Path,
    shifts: Annotated[Path | None, Reads(names.CLEAN_SHIFTS, names.SHIFTS)] = None,
    slicing_interval_mm: Annotated[float, ABOVE_0] = 0.2,
    allowed_drift_mm: Annotated[float, FROM_0] = 0.1,
    moving_slice_first_index: Annotated[int, FROM_0] = 4,
    registration_transform: SliceMotion = "euler",
    registration_max_translation: Annotated[float, ABOVE_0] = 200.0,
    registration_max_rotation: Turn = 5.0,
    registration_initial_alignment: FirstGuess = "both",
    threads: int = 1,
) -> None:
    """Register a slice on one a few cuts above it, by the tissue that both show.

    Two that share none, with others between them, are put off: `solve_alignment` compares them
    where the others do not join them.

    Parameters
    ----------
    fixed : Path
        Upper slice (slice_zII_normalize.ome.zarr).
    moving : Path
        Lower slice (slice_zJJ_normalize.ome.zarr).
    output : Path
        Transform to write (zII_zJJ_transform.json); the same as ITK text goes beside it (.tfm).
    shifts : Path | None
        Stage steps (shifts_xy_clean.csv) as the expected position; empty: the position stored in
        the slices.
    slicing_interval_mm : float
        Thickness of a section [mm].
    allowed_drift_mm : float
        How far the depth of a slice may depart from its number times the interval [mm].
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
    threads : int
        Number of blocks read at the same time.
    """
    from mosaicflow.alignment.pair import DepthLimits, measure_pair
    from mosaicflow.alignment.pair_fit import RegistrationSettings
    from mosaicflow.io.tables import write_document, write_text
    from mosaicflow.slices.stored import check_near_pitch, open_slice

    pair = open_slice(fixed), open_slice(moving)
    check_near_pitch(*pair)
    settings = RegistrationSettings(
        registration_transform,
        registration_max_translation,
        registration_max_rotation,
        registration_initial_alignment,
    )
    depth = DepthLimits(
        interval_um=1000 * slicing_interval_mm,
        allowed_um=1000 * allowed_drift_mm,
        first_index=moving_slice_first_index,
    )
    found = measure_pair(*pair, shifts, settings, depth, threads=threads)
    record = found.to_json()
    write_document(output, record)
    write_text(output.with_suffix(".tfm"), found.to_tfm())
    _report(report, record)
    report.write(output)


def _report(report: StageReport, record: dict[str, Any]) -> None:
    import math

    from mosaicflow.reasons import Doubt

    if record["failure"] == Doubt.NO_TISSUE:
        report.warn(
            f"{record['reason']}: the stage alone places it against the other", Concern.GEL_ONLY
        )
        return
    if record["status"] == "put_off":
        report.set_aside(record["reason"])
        return
    if record["distance_planes"]:
        apart = f"planes {record['distance_planes']:.1f} apart were compared"
        report.set_aside(f"the slices share no tissue: {apart}")
    if record["status"] == "error":
        text = f"registration not usable: {record['reason']}"
        if report.is_used:
            report.error(text, Concern.NOT_REGISTERED)
        else:
            report.note(text)
    report.metric("registration_error", 1 - record["correlation"])
    report.metric("correlation", record["correlation"])
    report.metric("correlation_before", record["correlation_before"])
    size = math.hypot(*record["translation_yx"])
    report.metric("translation_magnitude", size)
    report.metric("rotation", record["angle_deg"])
    report.metric("registration_confidence", record["confidence"])
    for name, key in (("held_out_correlation", "refined"), ("held_out_correlation_stage", "stage")):
        value = record[f"held_out_{key}"]
        if not math.isnan(value):
            report.metric(name, value)
    report.metric("z_drift", record["z_drift_planes"])
