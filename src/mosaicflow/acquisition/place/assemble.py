"""Check the tiles of one slice against each other and lay out its lattice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.acquisition.place.stage_model import place_tiles
from mosaicflow.acquisition.tiles import (
    Geometry,
    Positions,
    Reader,
    SliceTiles,
    StageAxis,
    StageModel,
    Tile,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.drafts import Draft
    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["SliceContext", "assemble_slice"]

# Depth spacing of the systems this began with; no OCT file carries one.
OCT_SPACING_UM = 1.36
# Depths of a tile between the highest and the lowest one: a tilted face takes one or two. Doubled,
# a coordinate in micrometres is told later.
_MOST_DEPTHS = 4
_SHAPE_TOLERANCE = 0.02
_PITCH_TOLERANCE = 0.01
_MOST_PLACES = 1_000_000
# Places, or areas of a tile, per tile: a mosaic that is 99 % empty is a mistake in a number. Real
# ones stay below 3; doubled, the longest wait before the mistake shows doubles.
_MOST_AREA = 100
# Beyond, sums of indices are not exact; what is merely far off is told as such.
_LARGEST_INDEX = 10**15
# OCT resolves no less, so that less is a unit mistaken; an electron beam is 0.0005 um wide, and a
# tenth of that is no pixel size. Ten times either bound, and real acquisitions would be stopped.
_PLAUSIBLE_PITCH_UM = (0.05, 1000.0)
_PLAUSIBLE_PIXEL_UM = (5e-5, 1000.0)
_UNKNOWN_AXIS = StageAxis(sign=0, step_mm=None, overlap=None)
_NOWHERE = StageModel(_UNKNOWN_AXIS, _UNKNOWN_AXIS, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))


@dataclasses.dataclass(frozen=True, slots=True)
class SliceContext:
    """What a slice shares with the others of its acquisition.

    Parameters
    ----------
    slice_id : int
        The slice.
    root_name, layout : str
        Where the tiles come from.
    reader : Reader
        How their files are read.
    overlap : float
        Nominal overlap.
    """

    slice_id: int
    root_name: str
    layout: str
    reader: Reader
    overlap: float


def assemble_slice(
    drafts: Sequence[Draft], context: SliceContext, settings: InspectSettings, log: ProblemLog
) -> SliceTiles:
    """Turn the tiles found for one slice into its tile list.

    Parameters
    ----------
    drafts : sequence of Draft
        All tiles of the slice; changed in place.
    context : SliceContext
        Facts of the acquisition.
    settings : InspectSettings
        Limits and pitches.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    SliceTiles
        Every tile found is in it, used or not. When nothing can be built, `failure` says why.
    """
    _unplace_absurd(drafts, log)
    _stop_on_shared_place(drafts, log)
    geometry = _agree_on_geometry(drafts, log)
    _check_missing(drafts, context.slice_id, settings, log)
    if geometry is None:
        return _empty_slice(drafts, context, log)
    orientation = context.reader.orientation
    _check_lines(geometry, context.slice_id, drafts[0], log)
    _check_pitch(geometry, drafts[0], log)
    tile_yx = orientation.yx(geometry.n_alines, geometry.n_bscans)
    pitch_yx = orientation.yx(geometry.pitch_fast_um, geometry.pitch_slow_um)
    fov_mm = (tile_yx[0] * pitch_yx[0] / 1000, tile_yx[1] * pitch_yx[1] / 1000)
    placed = [d for d in drafts if d.index is not None]
    n_z = _depth_extent(placed, geometry.n_z, log)
    z_um, spacing = _depth_spacing(drafts, geometry, settings, log)
    stage = place_tiles(placed, fov_mm, context.overlap, log)
    origin, shape = _lattice(placed, context.slice_id, log)
    _check_extent(placed, fov_mm, log)
    failure, remedy = _failure(context.slice_id, log)
    return SliceTiles(
        slice_id=context.slice_id,
        layout=context.layout,
        root_name=context.root_name,
        reader=context.reader,
        grid_shape=shape,
        index_origin=origin,
        tile_shape=(n_z, int(tile_yx[0]), int(tile_yx[1])),
        pitch_um=(z_um, _clean(pitch_yx[0]), _clean(pitch_yx[1])),
        positions=_kind(placed),
        overlap_fraction=_overlap(stage, context.overlap),
        stage=_clean_stage(stage),
        tiles=_tiles(drafts, origin),
        failure=failure,
        remedy=remedy,
        channels=next((d.channels for d in placed if d.channels), ()),
        depth_spacing=spacing,
    )


def _empty_slice(drafts: Sequence[Draft], context: SliceContext, log: ProblemLog) -> SliceTiles:
    if not _failure(context.slice_id, log)[0]:
        log.add(
            "no_usable_tile", "fail",
            f"none of {len(drafts)} tiles can be used; the first: {drafts[0].problem}",
            slice_id=context.slice_id, path=drafts[0].path,
        )  # fmt: skip
    failure, remedy = _failure(context.slice_id, log)
    return SliceTiles(
        slice_id=context.slice_id,
        layout=context.layout,
        root_name=context.root_name,
        reader=context.reader,
        grid_shape=(0, 0),
        index_origin=(0, 0),
        tile_shape=(0, 0, 0),
        pitch_um=(0.0, 0.0, 0.0),
        positions="nominal",
        overlap_fraction=context.overlap,
        stage=_NOWHERE,
        tiles=_tiles(drafts, (0, 0)),
        failure=failure,
        remedy=remedy,
    )


def _failure(slice_id: int, log: ProblemLog) -> tuple[str, str]:
    for problem in log.problems:
        if problem.action == "fail" and problem.slice_id == slice_id:
            place = f"{problem.path}: " if problem.path else ""
            return place + problem.message, problem.remedy
    return "", ""


def _unplace_absurd(drafts: Sequence[Draft], log: ProblemLog) -> None:
    for draft in drafts:
        if draft.index is not None and max(map(abs, draft.index)) > _LARGEST_INDEX:
            draft.unplace(
                log, "its number is no lattice index",
                "correct the name, or the table, that gives this index",
            )  # fmt: skip


def _check_extent(placed: Sequence[Draft], fov_mm: tuple[float, float], log: ProblemLog) -> None:
    """Stop where one wild position would make a mosaic that is nearly all empty."""
    known = [d for d in placed if d.centre_mm is not None]
    centres = np.array([d.centre_mm for d in known])
    told = any(
        p.action == "stop" and p.slice_id == d.slice_id for d in placed[:1] for p in log.problems
    )
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


def _stop_on_shared_place(drafts: Sequence[Draft], log: ProblemLog) -> None:
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


def _agree_on_geometry(drafts: Sequence[Draft], log: ProblemLog) -> Geometry | None:
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


def _check_missing(
    drafts: Sequence[Draft], slice_id: int, settings: InspectSettings, log: ProblemLog
) -> None:
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


def _check_lines(geometry: Geometry, slice_id: int, draft: Draft, log: ProblemLog) -> None:
    if min(geometry.n_alines, geometry.n_bscans) > 1:
        return
    log.add(
        "single_line_tile", "fail",
        f"tiles of {geometry.n_alines} x {geometry.n_bscans} A-lines and B-scans (columns and "
        "rows) are lines, expected at least 2 of each: lines do not overlap sideways",
        slice_id=slice_id, path=draft.path,
        remedy="check nx and ny of info.txt (or --nx, --ny); single B-scans are no mosaic",
    )  # fmt: skip


def _check_pitch(geometry: Geometry, draft: Draft, log: ProblemLog) -> None:
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


def _lattice(
    placed: Sequence[Draft], slice_id: int, log: ProblemLog
) -> tuple[tuple[int, int], tuple[int, int]]:
    indices = [d.index for d in placed if d.index is not None]
    origin = (min(iy for iy, _ in indices), min(ix for _, ix in indices))
    shape = (
        max(iy for iy, _ in indices) - origin[0] + 1,
        max(ix for _, ix in indices) - origin[1] + 1,
    )
    most = min(_MOST_PLACES, _MOST_AREA * len(indices))
    if shape[0] * shape[1] > most:
        log.add(
            "implausible_lattice", "stop",
            f"the tile indices span {shape[0]} x {shape[1]} places for {len(indices)} tiles, "
            f"expected at most {most} places",
            slice_id=slice_id, path=max(placed, key=lambda d: d.index or (0, 0)).path,
            remedy="correct the name, or the table, that gives this index",
        )  # fmt: skip
        return origin, shape
    for axis, name in enumerate(("row", "column")):
        present = {index[axis] - origin[axis] for index in indices}
        gone = [n for n in range(shape[axis]) if n not in present]
        if gone:
            listed = ", ".join(str(n + origin[axis]) for n in gone[:5])
            log.add(
                "empty_line", "keep",
                f"no tile at all in {name} {listed}{' ...' if len(gone) > 5 else ''}; the place "
                "is kept empty", slice_id=slice_id,
            )  # fmt: skip
    return origin, shape


def _kind(placed: Sequence[Draft]) -> Positions:
    counts = Counter(d.positions for d in placed if d.positions != "nominal")
    return counts.most_common(1)[0][0] if counts else "nominal"


def _depth_spacing(
    drafts: Sequence[Draft], geometry: Geometry, settings: InspectSettings, log: ProblemLog
) -> tuple[float, str]:
    """Return the spacing of samples along z [um], and where it comes from."""
    if settings.axial_resolution_um is not None:
        return _clean(settings.axial_resolution_um), "as given by axial_resolution_um"
    found = [d.pitch_z_um for d in drafts if d.pitch_z_um is not None]
    if found:
        _check_same_spacing(drafts, found, log)
        return _clean(found[0]), "from the files"
    if not any(draft.channels for draft in drafts):
        return OCT_SPACING_UM, "not given: the default of OCT tiles (set it: axial_resolution_um)"
    if geometry.n_z > 1:
        first = next(draft for draft in drafts if draft.channels)
        first.stop(
            log, "no_depth_spacing", "the file does not say how far its planes are apart",
            "give the distance with --axial_resolution_um",
        )  # fmt: skip
    return _clean(geometry.pitch_slow_um), "not given: as the rows of pixels are apart"


def _check_same_spacing(drafts: Sequence[Draft], found: Sequence[float], log: ProblemLog) -> None:
    if max(found) <= min(found) * (1 + _PITCH_TOLERANCE):
        return
    odd = next(d for d in drafts if d.pitch_z_um == max(found))
    odd.stop(
        log, "mixed_depth_spacing",
        f"its planes are {max(found):.4g} um apart, those of other tiles of the slice "
        f"{min(found):.4g} um",
        "give the right distance with --axial_resolution_um",
    )  # fmt: skip


def _depth_extent(placed: Sequence[Draft], n_z: int, log: ProblemLog) -> int:
    """Place tiles that start at different depths; return the planes that all take together."""
    starts = [(d, d.z_start) for d in placed if d.z_start is not None and d.is_used]
    first = min((z for _, z in starts), default=0.0)
    offsets = [(draft, round(z - first)) for draft, z in starts]
    deepest = max((offset for _, offset in offsets), default=0)
    if not deepest or n_z == 1:
        return n_z
    if deepest > _MOST_DEPTHS * n_z:
        draft = max(offsets, key=lambda pair: pair[1])[0]
        draft.stop(
            log, "implausible_depth",
            f"starts {deepest} planes below the first tile, tiles have {n_z} planes; expected at "
            f"most {_MOST_DEPTHS} times that",
            "the third coordinate counts planes: correct it, or use dim = 2",
        )  # fmt: skip
        return n_z
    for draft, offset in offsets:
        draft.z_offset = offset
    placed[0].note(
        log, "tiles_in_depth",
        f"tiles start up to {deepest} planes below the first: the mosaic has {n_z + deepest}",
    )  # fmt: skip
    return n_z + deepest


def _overlap(stage: StageModel, nominal: float) -> float:
    measured = [axis.overlap for axis in (stage.y, stage.x) if axis.overlap is not None]
    return round(sum(measured) / len(measured), 4) if measured else nominal


def _clean(value: float) -> float:
    return round(float(value), 9)


def _clean_stage(stage: StageModel) -> StageModel:
    def axis(value: StageAxis) -> StageAxis:
        if value.step_mm is None or value.overlap is None:
            return value
        return StageAxis(value.sign, _clean(value.step_mm), round(value.overlap, 6))

    def pair(value: tuple[float, float]) -> tuple[float, float]:
        return (_clean(value[0]), _clean(value[1]))

    return StageModel(
        axis(stage.y), axis(stage.x), pair(stage.origin_mm), pair(stage.min_mm), pair(stage.max_mm)
    )


def _tiles(drafts: Sequence[Draft], origin: tuple[int, int]) -> tuple[Tile, ...]:
    tiles = []
    for draft in drafts:
        index = draft.index and (draft.index[0] - origin[0], draft.index[1] - origin[1])
        centre = draft.centre_mm and (_clean(draft.centre_mm[0]), _clean(draft.centre_mm[1]))
        tile = Tile(
            path=draft.path, files=draft.files, geometry=draft.geometry, index=index,
            centre_mm=centre, z_mm=draft.z_mm, z_offset=draft.z_offset, status=draft.status,
            problem=draft.problem, position_source=draft.positions, item=draft.item,
        )  # fmt: skip
        tiles.append(tile)
    return tuple(sorted(tiles, key=lambda t: (t.index is None, t.index or (0, 0), t.path, t.item)))
