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
    report.metric("slices_stacked", len(drawn.plans))
    report.metric("slices_left_out", len(alignment.left_out))
    gaps = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", gaps)
    area = math.prod(alignment.canvas_yx)
    shares = [
        float(drawn.levels.filled[plan.span.first : plan.span.stop].max(initial=0)) / area
        for plan in drawn.plans
    ]
    least = min(shares)
    report.metric("min_slice_coverage", least)
    report.metric("std_slice_coverage", float(np.std(shares)))
    correlations = [m.correlation for m in drawn.matches if math.isfinite(m.correlation)]
    if correlations:
        report.metric("seam_correlation", statistics.median(correlations))
        report.metric("worst_seam_correlation", min(correlations))
    if is_light:
        _report_brightness(report, drawn)


def _report_brightness(report: StageReport, drawn: DrawnVolume) -> None:
    steps = np.abs(drawn.balance.steps[np.isfinite(drawn.balance.steps)])
    if steps.size:
        report.metric("seam_step", math.expm1(float(np.median(steps))))
    gains, levels = drawn.balance.gains, drawn.levels
    for name, place in (("gain_min", gains.argmin()), ("gain_max", gains.argmax())):
        slice_id = drawn.plans[int(place)].span.slice_id
        report.metric(name, float(gains[place]), of=f"slice {slice_id}")
    filled = max(int(levels.filled.sum()), 1)
    above, below = (int(counts.sum()) / filled for counts in (levels.above, levels.below))
    # Levels that were changed slice by slice have no white of their own to lose.
    report.metric("above_display", above, scale=1 if drawn.balance.light.recorded else math.inf)
    report.metric("below_display", below)
