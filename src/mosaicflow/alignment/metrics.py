"""What the alignment says of itself: metrics and warnings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.links import SliceLink, unjoined
from mosaicflow.reasons import Concern, decided_by_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.alignment.solution import (
        Alignment,
    )
    from mosaicflow.io.report import StageReport

__all__ = ["report_alignment"]


def report_alignment(report: StageReport, alignment: Alignment, links: Sequence[SliceLink]) -> None:
    """Tell who was left out and why, what placed the others, and how well the pairs agree."""
    for one in alignment.left_out:
        is_wish = one.status == "excluded" and not decided_by_images(one.reason)
        text = f"slice {one.slice_id} {one.status}: {one.reason}"
        report.warn_unless(is_wish, text, Concern.LEFT_OUT)
    sources = [one.source for one in alignment.slices]
    for name in ("graph", "manual", "stage", "previous"):
        report.metric(f"slices_by_{name}", sources.count(name))
    report.metric("slices_placed", len(sources))
    report.metric("slices_left_out", len(alignment.left_out))
    _report_links(report, alignment, links)
    placed = alignment.slices
    angles = [one.transform.angle_deg for one in placed]
    report.metric("max_rotation", max(angles, key=abs))
    moved = np.array([one.evidence["moved_from_stage_px"] for one in placed], np.float64)
    # Places are counted from one slice: where that is the one that lies apart, all others would.
    away = np.hypot(*(moved - np.median(moved, axis=0)).T)
    farthest = int(away.argmax())
    report.metric(
        "max_correction",
        float(away[farthest]),
        of=f"slice {placed[farthest].slice_id}",
        scale=1 / alignment.pitch_um[1],
    )
    drifts = [
        link.drift[0] / alignment.pitch_um[0] for link in links if math.isfinite(link.drift[1])
    ]
    if drifts:
        report.metric("z_offset_std", float(np.std(drifts)))
        report.metric("z_offset_range", float(np.ptp(drifts)))
    empty = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", empty)
    sections = [one.section for one in alignment.slices if one.section is not None]
    measured = sum(one.source == "measured" for one in sections)
    report.metric("sections_measured", measured)
    report.metric("sections", len(sections))


def _report_links(report: StageReport, alignment: Alignment, links: Sequence[SliceLink]) -> None:
    """Say how far the pairs fix the slices, and where nothing does."""
    report.metric("links_used", sum(link.counts for link in links))
    report.metric("links", len(links))
    loose = unjoined(links, [one.slice_id for one in alignment.slices])
    report.metric("unjoined_neighbours", len(loose))
    for gap in alignment.gaps:
        if gap.sigma_px is not None and (gap.fixed_id, gap.moving_id) in loose:
            deep = "" if gap.sigma_um is None else f" and {gap.sigma_um:.1f} um in depth"
            report.warn(
                f"slices {gap.fixed_id}-{gap.moving_id} are joined by no pair that shows the same "
                f"tissue: their places are known to {gap.sigma_px:.1f} px per axis{deep}",
                Concern.UNSEEN_GAP,
            )
    used = [link.held_out for link in links if link.counts]
    seen = [values for values in used if all(map(math.isfinite, values))]
    for row, how in ((0, "_stage"), (1, "")) if seen else ():
        value = float(np.median([values[row] for values in seen]))
        report.metric(f"held_out_correlation{how}", value)
    for name in ("loop_error_stage_px", "loop_error_graph_px"):
        values = [one.evidence[name] for one in alignment.slices]
        known = [value for value in values if value is not None]
        if known:
            report.metric(name, float(np.median(known)))
