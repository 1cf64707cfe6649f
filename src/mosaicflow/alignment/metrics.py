"""What the alignment says of itself: metrics and warnings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.links import (
    SliceLink,
    unjoined,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.alignment.solution import (
        Alignment,
    )
    from mosaicflow.io.report import StageReport

__all__ = ["report_alignment"]

# Pairs of common tissue agree to a tenth of this.
_LOOP_ERROR_PX = 1.0
# Departure from the stage [um] that is worth a look: simulated stages that err by 12 um rms per
# axis give 60, by 30 um 130 (nine sets); a slice that lies 400 um beside its report gives 430. At
# twice this a tile's width would pass on small fields of view.
_CORRECTION_UM = 200.0


def report_alignment(
    report: StageReport, alignment: Alignment, links: Sequence[SliceLink], warnings: Sequence[str]
) -> None:
    """Tell who was left out and why, what placed the others, and how well the pairs agree."""
    for text in warnings:
        report.warn(text)
    for one in alignment.left_out:
        report.warn(f"slice {one.slice_id} {one.status}: {one.reason}")
    sources = [one.source for one in alignment.slices]
    for name in ("graph", "manual", "stage", "previous"):
        report.metric(f"slices_by_{name}", sources.count(name), "", f"slices placed by {name}")
    report.metric("slices_placed", len(sources), "", "slices in the volume")
    report.metric("slices_left_out", len(alignment.left_out), "", "slices listed with a reason")
    _report_links(report, alignment, links)
    placed = alignment.slices
    angles = [one.transform.angle_deg for one in placed]
    report.metric("max_rotation", max(angles, key=abs), "deg", "largest rotation")
    moved = np.array([one.evidence["moved_from_stage_px"] for one in placed], np.float64)
    # Places are counted from one slice: where that is the one that lies apart, all others would.
    away = np.hypot(*(moved - np.median(moved, axis=0)).T)
    farthest = int(away.argmax())
    text = f"largest departure from the stage (slice {placed[farthest].slice_id})"
    limit = _CORRECTION_UM / alignment.pitch_um[1]
    report.metric("max_correction", float(away[farthest]), "px", text, warning=limit)
    drifts = [
        link.drift[0] / alignment.pitch_um[0] for link in links if math.isfinite(link.drift[1])
    ]
    if drifts:
        report.metric("z_offset_std", float(np.std(drifts)), "voxels", "spread of measured depths")
        report.metric("z_offset_range", float(np.ptp(drifts)), "voxels", "range of measured depths")
    empty = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", empty, "planes", "empty planes")
    sections = [one.section for one in alignment.slices if one.section is not None]
    measured = sum(one.source == "measured" for one in sections)
    report.metric("sections_measured", measured, "", "faces whose depth below the last is measured")
    report.metric("sections", len(sections), "", "faces below the first")


def _report_links(report: StageReport, alignment: Alignment, links: Sequence[SliceLink]) -> None:
    """Say how far the pairs fix the slices, and where nothing does."""
    report.metric("links_used", sum(link.use == "full" for link in links), "", "pairs used in full")
    report.metric("links", len(links), "", "pairs registered")
    loose = unjoined(links, [one.slice_id for one in alignment.slices])
    text = "neighbours that no pair with common tissue joins"
    report.metric("unjoined_neighbours", len(loose), "", text)
    for gap in alignment.gaps:
        if gap.sigma_px is not None and (gap.fixed_id, gap.moving_id) in loose:
            deep = "" if gap.sigma_um is None else f" and {gap.sigma_um:.1f} um in depth"
            report.warn(
                f"slices {gap.fixed_id}-{gap.moving_id} are joined by no pair that shows the same "
                f"tissue: their places are known to {gap.sigma_px:.1f} px per axis{deep}"
            )
    used = [link.held_out for link in links if link.use == "full"]
    seen = [values for values in used if all(map(math.isfinite, values))]
    for row, how in ((0, "_stage"), (1, "")) if seen else ():
        text = "median over the pairs used, on parts not used for the fit"
        value = float(np.median([values[row] for values in seen]))
        report.metric(f"held_out_correlation{how}", value, "", text)
    text = "median distance by which links miss when predicted without themselves"
    for name, limit in (("loop_error_stage_px", None), ("loop_error_graph_px", _LOOP_ERROR_PX)):
        values = [one.evidence[name] for one in alignment.slices]
        known = [value for value in values if value is not None]
        if known:
            report.metric(name, float(np.median(known)), "px", text, warning=limit)
