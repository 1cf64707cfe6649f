"""What the volume says of itself: metrics."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport
    from mosaicflow.stacking.tables import DrawnVolume

__all__ = ["report_volume"]


def report_volume(report: StageReport, drawn: DrawnVolume, *, is_light: bool) -> None:
    """Count slices, gaps and coverage; say how well neighbours match and how bright they are."""
    alignment = drawn.alignment
    if all(plan.store.shape[0] == 1 for plan in drawn.plans):
        report.note("the slices are one plane deep: the volume has one plane per slice")
    if len(drawn.plans) == 1:
        report.note("there is one slice only: nothing was stacked")
    report.metric("slices_stacked", len(drawn.plans), "", "slices in the volume")
    report.metric("slices_left_out", len(alignment.left_out), "", "slices without image")
    gaps = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", gaps, "planes", "planes that no slice covers")
    area = math.prod(alignment.canvas_yx)
    shares = [
        float(drawn.levels.filled[plan.span.first : plan.span.stop].max(initial=0)) / area
        for plan in drawn.plans
    ]
    least = min(shares)
    report.metric(
        "min_slice_coverage", least, "fraction", "canvas filled, worst slice",
        warning=0.02, error=0.005, good="high",
    )  # fmt: skip
    report.metric("std_slice_coverage", float(np.std(shares)), "fraction", "spread of the same")
    correlations = [m.correlation for m in drawn.matches if math.isfinite(m.correlation)]
    if correlations:
        text = "median correlation of neighbours at their seam"
        median = statistics.median(correlations)
        report.metric("seam_correlation", median, "", text, warning=0.5, good="high")
        report.metric("worst_seam_correlation", min(correlations), "", "of the worst seam")
    if is_light:
        _report_brightness(report, drawn)


# Share of the voxels above 1 from which the picture has lost its bright end. Three sound simulated
# stacks: at most 0.00004; white at half of its value: 0.004.
_OUTSIDE = 0.002
# Factor by which a slice may be made brighter or darker than the others without a word. Nine sound
# simulated sets: 0.90 to 1.13; a slice with a tenth of the light: 6.6; with 25 times the camera's
# noise: 0.45. At twice this the noisy one would pass.
_GAIN = 1.5


def _report_brightness(report: StageReport, drawn: DrawnVolume) -> None:
    steps = np.abs(drawn.balance.steps[np.isfinite(drawn.balance.steps)])
    if steps.size:
        text = "median relative step of brightness at a seam, after the gains"
        report.metric("seam_step", math.expm1(float(np.median(steps))), "", text, warning=0.1)
    gains, levels = drawn.balance.gains, drawn.levels
    least, most, darkest = float(gains.min()), float(gains.max()), int(gains.argmax())
    text = "smallest brightness factor of a slice"
    report.metric("gain_min", least, "", text, warning=1 / _GAIN, good="high")
    text = f"largest brightness factor of a slice (slice {drawn.plans[darkest].span.slice_id})"
    report.metric("gain_max", most, "", text, warning=_GAIN)
    filled = max(int(levels.filled.sum()), 1)
    above, below = (int(counts.sum()) / filled for counts in (levels.above, levels.below))
    text = "voxels {}, stored as they are, that a display from 0 to 1 shows as {}"
    limit = _OUTSIDE if drawn.balance.light.recorded else None
    name = "above_display"
    report.metric(name, above, "fraction", text.format("above 1", "white"), warning=limit)
    report.metric("below_display", below, "fraction", text.format("below 0", "black"))
