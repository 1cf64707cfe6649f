"""What is known about each slice, in one row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.report.records import worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.report.records import Lost, Measured, RunFiles

__all__ = ["SliceRow", "slice_rows"]


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice; None is "not measured".

    Parameters
    ----------
    slice_id : int
        Its number.
    status : str
        The worst of all that was measured on it, and of numbers about the whole run that were
        found on it; ``error`` for a slice that failed.
    lost : Lost or None
        Why it has no image in the volume.
    tiles, tiles_found : int or None
        Tiles in its grid, and on disk.
    by_evidence : int or None
        Tiles placed by what overlaps show; the others follow the stage.
    by_hand : int or None
        Tiles placed by somebody.
    links, links_possible : int or None
        Overlaps used, and overlaps there are.
    residual_px, island_sigma_px : float or None
        What the placement leaves of the links, rms; standard error of tiles that nothing joins.
    moved_islands : int
        Parts of it that no overlap joins and that lie where a neighbouring slice shows them.
    seam_ratio : float or None
        Brightness gradient across seams over elsewhere.
    shading_percent, shading_chance_percent : float or None
        What the flat field left of the shading that repeats with the tiles, rms; what the specimen
        alone leaves of tiles at random places.
    correlation : float or None
        With the next slice, after registration.
    held_out_stage, held_out : float or None
        Correlation of parts not used for the fit, by the stage alone and as placed.
    moved_px : (float, float) or None
        Departure from the stage (y, x).
    rotation_deg, loop_px : float or None
        Rotation found; by how much pairs miss this place when predicted without it.
    thickness_um, thickness_sigma_um : float or None
        Of the section above it.
    thickness_source : str
        ``measured`` or ``assumed``.
    below_display, above_display : float or None
        Shares of tissue voxels outside the display range.
    confidence : float or None
        Trust in its place.
    hand_note : str or None
        Why somebody placed it by hand, in their words; empty where they gave none.
    """

    slice_id: int
    status: str
    lost: Lost | None = None
    tiles: int | None = None
    tiles_found: int | None = None
    by_evidence: int | None = None
    by_hand: int | None = None
    links: int | None = None
    links_possible: int | None = None
    residual_px: float | None = None
    island_sigma_px: float | None = None
    moved_islands: int = 0
    seam_ratio: float | None = None
    shading_percent: float | None = None
    shading_chance_percent: float | None = None
    correlation: float | None = None
    held_out_stage: float | None = None
    held_out: float | None = None
    moved_px: tuple[float, float] | None = None
    rotation_deg: float | None = None
    loop_px: float | None = None
    thickness_um: float | None = None
    thickness_sigma_um: float | None = None
    thickness_source: str = ""
    below_display: float | None = None
    above_display: float | None = None
    confidence: float | None = None
    hand_note: str | None = None


def slice_rows(
    files: RunFiles, measured: Sequence[Measured], lost: Sequence[Lost]
) -> tuple[SliceRow, ...]:
    """Gather what all files say about each slice.

    Parameters
    ----------
    files : RunFiles
        Of a run.
    measured : sequence of Measured
        All its metrics files.
    lost : sequence of Lost
        Slices without image.

    Returns
    -------
    tuple of SliceRow
        By id.
    """
    of_slice: dict[int, list[Measured]] = {}
    for one in measured:
        if one.slice_id is not None:
            of_slice.setdefault(one.slice_id, []).append(one)
    extremes = _extremes(measured)
    placed = {one["slice_id"]: one for one in files.json(names.ALIGNMENT.of()).get("slices", ())}
    gone = {one.slice_id: one for one in lost}
    onward = _correlations(measured, gone)
    return tuple(
        SliceRow(
            slice_id,
            worst([_status(of_slice.get(slice_id, ()), gone.get(slice_id)), *extremes[slice_id]]),
            gone.get(slice_id),
            correlation=onward.get(slice_id),
            **_of_tiles(of_slice.get(slice_id, ())),
            **_of_place(placed.get(slice_id, {})),
        )
        for slice_id in sorted({*of_slice, *placed, *gone})
    )


def _extremes(measured: Sequence[Measured]) -> dict[int, list[str]]:
    """Give each slice the verdicts on numbers about the whole run that were found on it."""
    found: dict[int, list[str]] = defaultdict(list)
    for one in measured:
        for metric in one.metrics.values():
            if metric.slice_id is not None and metric.status in ("warning", "error"):
                found[metric.slice_id].append(metric.status)
    return found


def _status(measured: Sequence[Measured], lost: Lost | None) -> str:
    if lost is not None and lost.kind == "failed":
        return "error"
    own = ["warning"] if lost is not None and lost.kind == "excluded automatically" else []
    return worst([*own, *(one.status for one in measured)])


def _correlations(measured: Sequence[Measured], gone: Mapping[int, Lost]) -> dict[int, float]:
    """Correlation of each slice with the next one in the volume that shares tissue."""
    found: dict[int, float] = {}
    pairs = {one.pair: one for one in measured if one.pair is not None}
    for pair in sorted(pairs):
        one = pairs[pair]
        value = one.number("correlation")
        if value is None or gone.keys() & set(pair):
            continue
        if one.metrics["correlation"].status != "not_used":
            found.setdefault(pair[0], value)
    return found


# Column -> (end of the output's name, metric).
_COUNTS = {
    "tiles": ("mosaic_grid_3d_z", "tiles_placed"),
    "tiles_found": ("mosaic_grid_3d_z", "tiles_found"),
    "links": ("_tile_positions", "links_used"),
    "links_possible": ("_tile_positions", "links_possible"),
    "by_hand": ("_tile_positions", "overrides"),
}
_NUMBERS = {
    "residual_px": ("_tile_positions", "rms_residual"),
    "island_sigma_px": ("_tile_positions", "island_sigma"),
    "seam_ratio": ("_stitch_3d", "seam_ratio"),
    "shading_percent": ("_stitch_3d", "lattice_shading"),
    "shading_chance_percent": ("_stitch_3d", "lattice_shading_chance"),
    "below_display": ("_normalize", "below_display"),
    "above_display": ("_normalize", "above_display"),
}


def _of_tiles(measured: Sequence[Measured]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column, (part, name) in (_COUNTS | _NUMBERS).items():
        values = [one.number(name) for one in measured if part in one.stem]
        known = [value for value in values if value is not None]
        if known:
            found[column] = int(known[0]) if column in _COUNTS else known[0]
    alone = [one.number("tiles_without_link") for one in measured if "_tile_positions" in one.stem]
    if found.get("tiles") is not None and alone and alone[0] is not None:
        found["by_evidence"] = found["tiles"] - int(alone[0])
    return found


def _of_place(placed: Mapping[str, Any]) -> dict[str, Any]:
    evidence = placed.get("evidence", {})
    moved = evidence.get("moved_from_stage_px")
    return {
        "held_out_stage": evidence.get("held_out_correlation_stage"),
        "held_out": evidence.get("held_out_correlation_graph"),
        "moved_px": None if moved is None else (float(moved[0]), float(moved[1])),
        "moved_islands": len(placed.get("island_moves_yx") or ()),
        "rotation_deg": placed.get("angle_deg"),
        "loop_px": evidence.get("loop_error_graph_px"),
        "thickness_um": placed.get("thickness_um"),
        "thickness_sigma_um": placed.get("thickness_sigma_um"),
        "thickness_source": placed.get("thickness_source") or "",
        "confidence": placed.get("confidence"),
        "hand_note": evidence.get("note"),
    }
