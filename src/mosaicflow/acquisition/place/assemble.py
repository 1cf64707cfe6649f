"""Check the tiles of one slice against each other and lay out its lattice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from mosaicflow.acquisition.place.slice_checks import (
    _MOST_AREA,
    _PITCH_TOLERANCE,
    agree_on_geometry,
    check_extent,
    check_lines,
    check_missing,
    check_pitch,
    stop_on_shared_place,
    unplace_absurd,
)
from mosaicflow.acquisition.place.stage_model import place_tiles
from mosaicflow.acquisition.stage import StageAxis, StageModel
from mosaicflow.acquisition.tiles import (
    Geometry,
    Positions,
    Reader,
    SliceTiles,
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
# Places of one lattice: a thousand tiles by a thousand. Doubled, a wild index takes twice the
# memory before it is refused.
_MOST_PLACES = 1_000_000
# What is known of a stage without tiles: nothing.
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
    unplace_absurd(drafts, log)
    stop_on_shared_place(drafts, log)
    geometry = agree_on_geometry(drafts, log)
    check_missing(drafts, context.slice_id, settings, log)
    if geometry is None:
        return _empty_slice(drafts, context, log)
    orientation = context.reader.orientation
    check_lines(geometry, context.slice_id, drafts[0], log)
    check_pitch(geometry, drafts[0], log)
    tile_yx = orientation.yx(geometry.n_alines, geometry.n_bscans)
    pitch_yx = orientation.yx(geometry.pitch_fast_um, geometry.pitch_slow_um)
    fov_mm = (tile_yx[0] * pitch_yx[0] / 1000, tile_yx[1] * pitch_yx[1] / 1000)
    placed = [d for d in drafts if d.index is not None]
    n_z = _depth_extent(placed, geometry.n_z, log)
    z_um, spacing = _depth_spacing(drafts, geometry, settings, log)
    stage = place_tiles(placed, fov_mm, context.overlap, log)
    origin, shape = _lattice(placed, context.slice_id, log)
    check_extent(placed, fov_mm, log)
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
    problem = log.first_of(slice_id, "fail")
    if problem is None:
        return "", ""
    place = f"{problem.path}: " if problem.path else ""
    return place + problem.message, problem.remedy


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
