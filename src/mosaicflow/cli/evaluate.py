"""``mosaicflow evaluate``: the errors of a run against the truth, on the terminal."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.simulation.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(*, run: Path, truth: Path, output: Path | None = None) -> None:
    """Print the errors of a run on simulated data.

    Examples: ``mosaicflow evaluate --run OUT --truth SIM/truth``;
    ``mosaicflow evaluate --run OUT --truth SIM/truth --output errors.json``;
    ``mosaicflow evaluate --run OTHER --truth SIM/truth``.

    Parameters
    ----------
    run : Path
        Output folder of the run.
    truth : Path
        The truth folder that ``mosaicflow simulate`` wrote.
    output : Path, optional
        JSON file for the same figures and some more.
    """
    from mosaicflow.cli.strangers import reading
    from mosaicflow.simulation.evaluation import evaluate as measure

    with reading(run, truth):
        found = measure(run, truth, output=output)
    sys.stdout.write("\n".join(_lines(found)) + "\n")


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
    lines += _placement(result)
    lines += _slices(result)
    lines += _pairs(result)
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
        if (tissue := volume.tissue) is not None:
            lines.append(
                f"tissue             NCC {tissue.ncc:.4f}, SSIM {tissue.ssim:.4f}, planes"
                f" {tissue.plane_ncc_mean:.4f}, worst {tissue.plane_ncc_worst:.4f}"
                f" (plane {tissue.worst_plane})"
            )
    missing = [
        name for name in ("tiles", "slices", "flatfield", "volume") if getattr(result, name) is None
    ]
    return lines + [f"{name:<18} not published by this run" for name in missing]


def _placement(result: Evaluation) -> list[str]:
    """Say what places rest on: all slices in one line, and those with something to mend."""
    placed = result.placement
    if not placed:
        return []
    due, met = sum(one.n_due for one in placed), sum(one.n_due_by_evidence for one in placed)
    wrong = sum(len(one.false_tiles) for one in placed)
    lines = [
        f"placed by evidence {met} of {due} tiles whose overlaps show tissue, {wrong} of those"
        f" called measured off by more than 1 px, {sum(one.n_islands for one in placed)} islands"
    ]
    lines += [
        f"  z{one.slice_id:02d}              {one.n_due_by_evidence} of {one.n_due}, 95 %"
        f" {one.evidence_p95_px:.2f} px, worst {one.evidence_worst_px:.2f} px, by the stage worst"
        f" {one.stage_worst_px:.1f} px; missed {_some(one.missed_tiles)}; wrong"
        f" {_some(one.false_tiles)}"
        for one in placed
        if one.missed_tiles or one.false_tiles
    ]
    known = [one.link_calibration for one in placed if math.isfinite(one.link_calibration)]
    if known:
        rms = math.sqrt(math.fsum(value**2 for value in known) / len(known))
        lines.append(f"error / sigma      of links {rms:.2f} (rms)")
    return lines


def _slices(result: Evaluation) -> list[str]:
    """Say how neighbours lie on each other."""
    if (slices := result.slices) is None:
        return []
    lines = [
        f"slice transforms   median {slices.shift_median_px:.3f} px and"
        f" {slices.rotation_median_deg:.3f} deg, worst {slices.shift_worst_px:.3f} px and"
        f" {slices.rotation_worst_deg:.3f} deg between neighbours",
        f"slice depths       worst step {slices.depth_step_worst_um:.2f} um,"
        f" spread {slices.depth_spread_um:.2f} um",
    ]
    if slices.gap_shift_rms_px is not None:
        lines.append(
            f"across gaps        rms {slices.gap_shift_rms_px:.2f} px per axis over {slices.n_gaps}"
        )
    return lines


def _pairs(result: Evaluation) -> list[str]:
    """Say whether the standard errors of registered pairs are right."""
    if (links := result.links) is None:
        return []
    known = {
        "shift": links.shift_calibration,
        "rotation": links.rotation_calibration,
        "depth": links.depth_calibration,
    }
    parts = [f"of their {name} {value:.2f}" for name, value in known.items() if value is not None]
    return [f"pairs              error / sigma {', '.join(parts)} (rms)"] if parts else []


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "") or "none"


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
