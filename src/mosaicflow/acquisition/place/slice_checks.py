"""The tiles of one slice against each other: one geometry, a place each, none far off."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.drafts import Draft
    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings
    from mosaicflow.acquisition.tiles import (
        Geometry,
    )

__all__ = [
    "agree_on_geometry",
    "check_extent",
    "check_lines",
    "check_missing",
    "check_pitch",
    "stop_on_shared_place",
    "unplace_absurd",
]

# Share by which a tile may be longer or shorter than the others, and is padded or cropped; by
# judgement. Doubled, 4 % of a tile may be padding.
_SHAPE_TOLERANCE = 0.02
# Share by which its pitch may differ: over 500 px it moves the edges by 2.5 px each. Doubled, by
# 5.
_PITCH_TOLERANCE = 0.01
# Places, or areas of a tile, per tile: a mosaic that is 99 % empty is a mistake in a number. Real
# ones stay below 3; doubled, the longest wait before the mistake shows doubles.
_MOST_AREA = 100
# Beyond, sums of indices are not exact; what is merely far off is told as such.
_LARGEST_INDEX = 10**15
# OCT resolves no less, so that less is a unit mistaken; an electron beam is 0.0005 um wide, and a
# tenth of that is no pixel size. Ten times either bound, and real acquisitions would be stopped.
_PLAUSIBLE_PITCH_UM = (0.05, 1000.0)
# Pixels of images that no tile sizes say more of: from an atom's size (0.05 nm) to 1 mm.
_PLAUSIBLE_PIXEL_UM = (5e-5, 1000.0)


def unplace_absurd(drafts: Sequence[Draft], log: ProblemLog) -> None:
    """Take the place from tiles whose number cannot be an index."""
    for draft in drafts:
        if draft.index is not None and max(map(abs, draft.index)) > _LARGEST_INDEX:
            draft.unplace(
                log, "its number is no lattice index",
                "correct the name, or the table, that gives this index",
            )  # fmt: skip


def check_extent(placed: Sequence[Draft], fov_mm: tuple[float, float], log: ProblemLog) -> None:
    """Stop where one wild position would make a mosaic that is nearly all empty."""
    known = [d for d in placed if d.centre_mm is not None]
    centres = np.array([d.centre_mm for d in known])
    told = bool(placed) and log.first_of(placed[0].slice_id, "stop") is not None
    if told or len(known) < 2 or not min(fov_mm) > 0:
        return
    times = float(np.prod(np.ptp(centres, axis=0) / fov_mm + 1)) / len(known)
    if times > _MOST_AREA:
        off = np.abs(centres - np.median(centres, axis=0)).max(axis=1)
        farthest = known[int(off.argmax())]
        y, x = farthest.centre_mm or (0.0, 0.0)
        farthest.stop(
            log, "implausible_lattice",
            f"the mosaic would be {times:.3g} times the area of its {len(known)} tiles, expected "
            f"at most {_MOST_AREA} times; this tile lies farthest off, at ({y:.6g}, {x:.6g}) mm",
            remedy="correct its position or leave it out",
        )  # fmt: skip


def stop_on_shared_place(drafts: Sequence[Draft], log: ProblemLog) -> None:
    """Stop where two tiles claim one place in the lattice."""
    first: dict[tuple[int, int], Draft] = {}
    for draft in drafts:
        if draft.index is None:
            continue
        other = first.setdefault(draft.index, draft)
        if other is not draft:
            other.stop(
                log, "two_tiles_at_one_place",
                f"{draft.path} has the same place in the lattice (row {draft.index[0]}, column "
                f"{draft.index[1]})", remedy="correct the positions or remove one of the two",
            )  # fmt: skip


def agree_on_geometry(drafts: Sequence[Draft], log: ProblemLog) -> Geometry | None:
    """Find the geometry that most tiles have, and fit or skip the others; None without any."""
    # An archived slice gives no image, but its geometry still tells how far the stage moved.
    usable = [
        (d, d.geometry)
        for d in drafts
        if (d.is_used or d.layout == "archived") and d.geometry is not None
    ]
    placed = [(d, g) for d, g in usable if d.index is not None] or usable
    if not any(d.index is not None for d, _ in placed):
        return None
    counts = Counter(_shape(g) for _, g in placed)
    shape = max(sorted(counts), key=lambda key: counts[key])
    same = [g for _, g in placed if _shape(g) == shape]
    tops = Counter(g.top_z for g in same)
    top_z = min(tops, key=lambda top: (-tops[top], top))
    common = next(g for g in same if g.top_z == top_z)
    for draft, geometry in usable:
        _fit_to(draft, geometry, common, log)
    return common


def _shape(geometry: Geometry) -> tuple[int, int, int, float, float]:
    return (
        geometry.n_z, geometry.n_alines, geometry.n_bscans,
        round(geometry.pitch_fast_um, 6), round(geometry.pitch_slow_um, 6),
    )  # fmt: skip


def _fit_to(draft: Draft, geometry: Geometry, common: Geometry, log: ProblemLog) -> None:
    z_shift = geometry.top_z - common.top_z
    sizes = [(geometry.n_z, common.n_z, abs(z_shift))]
    sizes += [(geometry.n_alines, common.n_alines, 0), (geometry.n_bscans, common.n_bscans, 0)]
    pitches = [
        (geometry.pitch_fast_um, common.pitch_fast_um),
        (geometry.pitch_slow_um, common.pitch_slow_um),
    ]
    found = f"tile of {geometry.n_z} x {geometry.n_bscans} x {geometry.n_alines} samples (depth, "
    found += f"slow, fast), the slice has {common.n_z} x {common.n_bscans} x {common.n_alines}"
    # A tile stored from another depth may well be longer or shorter by that shift.
    if any(abs(a - b) > _SHAPE_TOLERANCE * b + shift for a, b, shift in sizes):
        draft.skip(log, "odd_tile_shape", found)
    elif any(abs(a - b) > _PITCH_TOLERANCE * b for a, b in pitches):
        draft.skip(
            log, "odd_tile_pitch",
            f"pitch {pitches[0][0]:.4g} x {pitches[1][0]:.4g} um, the slice has "
            f"{pitches[0][1]:.4g} x {pitches[1][1]:.4g} um",
        )  # fmt: skip
    else:
        if any(a != b for a, b, _ in sizes):
            draft.repair(log, "tile_shape_differs", f"{found}: padded or cropped to it")
        if z_shift:
            draft.z_offset = z_shift
            draft.repair(
                log, "depth_offset",
                f"stored from depth {geometry.top_z}, the slice from {common.top_z}: moved by "
                f"{z_shift} planes",
            )  # fmt: skip


def check_missing(
    drafts: Sequence[Draft], slice_id: int, settings: InspectSettings, log: ProblemLog
) -> None:
    """Fail the slice of which more tiles are lost than is allowed."""
    lost = [d for d in drafts if d.status in ("skipped", "unplaced")]
    share = len(lost) / len(drafts)
    if share > settings.max_missing_fraction:
        unplaced = sum(d.status == "unplaced" for d in lost)
        without = f", {unplaced} of them without a place" if unplaced else ""
        log.add(
            "too_many_missing", "fail",
            f"{len(lost)} of {len(drafts)} tiles cannot be used{without} ({share:.0%}, allowed "
            f"{settings.max_missing_fraction:.0%}); the first: {lost[0].problem}",
            slice_id=slice_id, path=lost[0].path,
            remedy="raise --max_missing_fraction" if len(lost) < len(drafts) else "",
        )  # fmt: skip


def check_lines(geometry: Geometry, slice_id: int, draft: Draft, log: ProblemLog) -> None:
    """Fail a slice of single lines."""
    if min(geometry.n_alines, geometry.n_bscans) > 1:
        return
    log.add(
        "single_line_tile", "fail",
        f"tiles of {geometry.n_alines} x {geometry.n_bscans} A-lines and B-scans (columns and "
        "rows) are lines, expected at least 2 of each: lines do not overlap sideways",
        slice_id=slice_id, path=draft.path,
        remedy="check nx and ny of info.txt (or --nx, --ny); single B-scans are no mosaic",
    )  # fmt: skip


def check_pitch(geometry: Geometry, draft: Draft, log: ProblemLog) -> None:
    """Warn of a pitch that no microscope has."""
    is_image = bool(draft.channels)
    low, high = _PLAUSIBLE_PIXEL_UM if is_image else _PLAUSIBLE_PITCH_UM
    remedy = "width and height of info.txt (or --width_um, --height_um) are in um"
    if is_image:
        remedy = "give the right pixel size with --pixel_size_um"
    for pitch, axis in ((geometry.pitch_fast_um, "fast"), (geometry.pitch_slow_um, "slow")):
        if not low <= pitch <= high:
            draft.stop(
                log, "implausible_pitch",
                f"the pitch along the {axis} axis would be {pitch:.4g} um, expected {low} to "
                f"{high:g}",
                remedy=remedy,
            )  # fmt: skip
            return
