"""``mosaicflow evaluate``: the errors of a run against the truth, on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.simulation.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(*, run: Path, truth: Path, output: Path | None = None) -> None:
    """Print the errors of a run on simulated data.

    Parameters
    ----------
    run : Path
        Output folder of the run.
    truth : Path
        The truth folder that ``mosaicflow simulate`` wrote.
    output : Path, optional
        JSON file for the same figures and some more.
    """
    from mosaicflow.simulation.evaluation import evaluate as measure

    sys.stdout.write("\n".join(_lines(measure(run, truth, output=output))) + "\n")


def _lines(result: Evaluation) -> list[str]:
    counts = result.counts
    lines = [
        f"tiles              {counts.tiles_in} in = {counts.tiles_placed} placed"
        f" + {counts.tiles_listed} listed + {counts.tiles_failed} in failed slices"
        f" + {counts.tiles_unaccounted} unaccounted for",
        f"slices             {counts.slices_in} in = {counts.slices_aligned} aligned"
        f" + {counts.slices_excluded} excluded + {counts.slices_failed} failed with a record",
    ]
    if (tiles := result.tiles) is not None:
        lines.append(
            f"tile positions     median {tiles.median_px:.3f} px, 95 % {tiles.p95_px:.3f} px,"
            f" worst {tiles.worst_px:.3f} px (tile {tiles.worst_tile})"
        )
    if (slices := result.slices) is not None:
        lines.append(
            f"slice transforms   median {slices.shift_median_px:.3f} px and"
            f" {slices.rotation_median_deg:.3f} deg, worst {slices.shift_worst_px:.3f} px and"
            f" {slices.rotation_worst_deg:.3f} deg between neighbours"
        )
    if (field := result.flatfield) is not None:
        lines.append(
            f"flat field         rms error {field.rms_percent:.2f} %"
            f" (uncorrected: {field.rms_percent_uncorrected:.2f} %)"
        )
    lines += _optics(result)
    if (volume := result.volume) is not None:
        lines.append(
            f"volume             correlation with the truth {volume.correlation:.3f},"
            f" {100 * volume.filled:.1f} % of the imaged voxels filled"
        )
    missing = [
        name for name in ("tiles", "slices", "flatfield", "volume") if getattr(result, name) is None
    ]
    return lines + [f"{name:<18} not published by this run" for name in missing]


def _optics(result: Evaluation) -> list[str]:
    """Say what only some runs have something to say about."""
    lines = []
    if (distortion := result.distortion) is not None:
        lines.append(
            f"tile distortion    rms error {distortion.rms_px:.3f} px, worst"
            f" {distortion.worst_px:.3f} px (uncorrected: {distortion.rms_px_uncorrected:.3f} px)"
        )
    if (curvature := result.curvature) is not None:
        lines.append(
            f"field curvature    {curvature.left_percent:.0f} % of {curvature.true_um:.1f} um left"
        )
    return lines
