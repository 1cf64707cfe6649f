"""The tables beside the volume: seams, how slices were placed, how bright they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.io.tables import write_csv
from mosaicflow.stacking.plan import Seam, layers_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.alignment.solution import Alignment
    from mosaicflow.stacking.gains import SeamLevel
    from mosaicflow.stacking.levels import PlaneLevels
    from mosaicflow.stacking.light import (
        Balance,
    )
    from mosaicflow.stacking.slice_plan import SlicePlan

__all__ = ["DrawnVolume", "write_tables"]


@dataclass(frozen=True, slots=True)
class DrawnVolume:
    """What was drawn, for the tables."""

    alignment: Alignment
    plans: Sequence[SlicePlan]
    seams: Sequence[Seam]
    matches: Sequence[SeamLevel]
    balance: Balance
    levels: PlaneLevels


def write_tables(drawn: DrawnVolume, folder: Path, channel: str) -> None:
    """Write the tables of seams, decisions and brightness of a volume."""
    write_csv(
        folder / names.channel_name(names.MATCHES.of(), channel),
        (
            "fixed_id",
            "moving_id",
            "overlap_voxels",
            "blend_overlap_voxels",
            "moving_z_start",
            "correlation",
            "correlation_fallback_used",
            "thickness_um",
            "thickness_sigma_um",
            "thickness_source",
        ),
        [
            {
                "fixed_id": seam.fixed.slice_id,
                "moving_id": seam.moving.slice_id,
                "overlap_voxels": seam.overlap,
                "blend_overlap_voxels": seam.blend,
                "moving_z_start": 0,
                "correlation": round(match.correlation, 6),
                "correlation_fallback_used": False,
                **_thickness(seam, drawn.alignment),
            }
            for seam, match in zip(drawn.seams, drawn.matches, strict=True)
        ],
    )
    table = folder / names.channel_name(names.DECISIONS.of(), channel)
    write_csv(table, _DECISION_COLUMNS, _decisions(drawn))
    write_csv(
        folder / names.channel_name(names.INTENSITIES.of(), channel),
        ("z_index", "slice_id", "raw_level", "applied_gain"),
        _intensities(drawn),
    )


def _thickness(seam: Seam, alignment: Alignment) -> dict[str, object]:
    """Give the tissue between the faces of neighbours in id; others have none of their own."""
    by_id = {one.slice_id: one for one in alignment.slices}
    known = by_id[seam.moving.slice_id].section
    ids = sorted(by_id)
    before = ids[ids.index(seam.moving.slice_id) - 1]
    if known is None or before != seam.fixed.slice_id:
        return {}
    return known.to_json()


_DECISION_COLUMNS = (
    "slice_id",
    "fixed_id",
    "transform_loaded",
    "transform_source",
    "manual_override",
    "confidence",
    "overlap_source",
    "overlap_voxels",
    "blend_overlap_voxels",
    "correlation",
    "applied_ty_px",
    "applied_tx_px",
    "applied_rot_deg",
    "skip_reason",
)


def _decisions(drawn: DrawnVolume) -> list[dict[str, object]]:
    aligned = {one.slice_id: one for one in drawn.alignment.slices}
    sources = {"expected": "expected", "measured": "registration"}
    rows: list[dict[str, object]] = []
    for index, plan in enumerate(drawn.plans):
        one = aligned[plan.span.slice_id]
        manual = one.source == "manual"
        loaded = one.source in ("reference", "graph", "rotation", "manual") and one.confidence > 0
        moved = one.evidence.get("moved_from_stage_px", (0.0, 0.0))
        row: dict[str, object] = {
            "slice_id": plan.span.slice_id,
            "transform_loaded": loaded,
            "transform_source": ("manual" if manual else "automated") if loaded else "none",
            "manual_override": manual,
            "confidence": round(one.confidence, 4),
            "overlap_source": sources[drawn.alignment.depths],
            "applied_ty_px": round(float(moved[0]), 4),
            "applied_tx_px": round(float(moved[1]), 4),
            "applied_rot_deg": round(one.transform.angle_deg, 4),
            "skip_reason": one.skip or "",
        }
        if index:
            seam, match = drawn.seams[index - 1], drawn.matches[index - 1]
            row |= {
                "fixed_id": seam.fixed.slice_id,
                "overlap_voxels": seam.overlap,
                "blend_overlap_voxels": seam.blend,
                "correlation": round(match.correlation, 6),
            }
        rows.append(row)
    return rows


def _intensities(drawn: DrawnVolume) -> list[dict[str, object]]:
    """List the mean level of every plane before its factor, and the factor, of the ruling slice."""
    spans = [plan.span for plan in drawn.plans]
    light, display = drawn.balance.light, drawn.balance.light.display
    rows: list[dict[str, object]] = []
    for plane, (total, filled) in enumerate(
        zip(drawn.levels.total, drawn.levels.filled, strict=True)
    ):
        layers = layers_of(plane, spans, drawn.seams)
        row: dict[str, object] = {"z_index": plane}
        if layers:
            ruling = max(layers[:2], key=lambda layer: layer.share)
            factor = float(light.tones[ruling.index].factor[ruling.plane])
            shown = float(total) / max(int(filled), 1) * (display.white - display.black)
            row |= {
                "slice_id": spans[ruling.index].slice_id,
                "raw_level": float(f"{(shown + display.black) / factor:.6g}"),
                "applied_gain": float(f"{factor:.6g}"),
            }
        rows.append(row)
    return rows
