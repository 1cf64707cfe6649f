"""Give image tiles a place: by a list of tiles, a running number, their names or their files."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import Draft
from mosaicflow.acquisition.place.file_names import FileNames
from mosaicflow.acquisition.place.lattice import index_positions
from mosaicflow.acquisition.place.tile_configuration import (
    CONFIGURATION_NAME,
    ListedTile,
    read_tile_configuration,
)
from mosaicflow.acquisition.tile_numbers import NAME_INDICES, find_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings
    from mosaicflow.acquisition.tiles import Geometry

__all__ = ["ImageFolder", "index_by_centre", "listed_tiles", "place_images"]

# Steps, in tiles, of names that count pixels: tiles that overlap by 2 to 80 %. Half as much would
# take every second number of a lattice of tiny tiles for pixels.
_PIXEL_STEP = (0.2, 1.0)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder of image tiles, one slice.

    Parameters
    ----------
    path : Path
        The folder.
    prefix : str
        Its path from the raw folder, with a slash; empty for the raw folder itself.
    slice_id : int
        The slice.
    """

    path: Path
    prefix: str
    slice_id: int

    def name_of(self, draft: Draft) -> str:
        """Name of a tile inside the folder."""
        return draft.path.removeprefix(self.prefix)


def place_images(
    folder: ImageFolder,
    images: list[Draft],
    listed: Sequence[ListedTile] | None,
    settings: InspectSettings,
    log: ProblemLog,
) -> list[Draft]:
    """Give every image a lattice index and, where one is known, a position.

    Parameters
    ----------
    folder : ImageFolder
        Where the tiles lie, with or without a list of tiles.
    images : list of Draft
        The tiles found; changed in place.
    listed : sequence of ListedTile, optional
        The list of tiles that there is (`listed_tiles`).
    settings : InspectSettings
        Positions and numbering.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    list of Draft
        The tiles, with those that are only listed; planes that are one tile by the list are one.
    """
    by_key: dict[tuple[str, str], Draft] = {(folder.name_of(d), d.item): d for d in images}
    corners: dict[tuple[str, str], tuple[float, ...]] = {}
    if listed is not None:
        corners = _corners(folder, listed, by_key, log)
        corners = _join_planes(corners, by_key)
        images = list(by_key.values())
    numbered = _numbered(folder, images, settings, log)
    if corners:
        points = {id(by_key[key]): corner for key, corner in corners.items()}
        _apply_corners(images, points, with_index=not numbered, log=log)
    else:
        _forget_one_place(images)
        if not numbered and images and all(d.centre_mm is not None for d in images if d.is_used):
            index_by_centre(images)
    for draft in images:
        if draft.index is None and draft.status != "skipped":
            is_numbered = bool(numbered) and settings.numbering.is_given
            draft.unplace(log, _why_unplaced(listed is not None, is_numbered))
    return images


def _forget_one_place(images: Sequence[Draft]) -> None:
    """Take places that are all the same for none: the files were written without the stage's."""
    places = {draft.centre_mm for draft in images if draft.is_used}
    if len(images) > 1 and len(places) == 1:
        for draft in images:
            draft.centre_mm, draft.positions = None, "nominal"


def _why_unplaced(has_corners: bool, has_numbers: bool) -> str:
    if has_numbers:
        return (
            "its number lies outside the path given by tile_pattern, tile_order and tile_grid; "
            "if another number in the names counts, say which with --tile_name"
        )
    if has_corners:
        return (
            f"not listed in {CONFIGURATION_NAME}, and no tile_pattern, tile_order and tile_grid "
            "to place it by its number"
        )
    return (
        f"no position: no {CONFIGURATION_NAME}, no tile_table, no tile_pattern with tile_grid, "
        "no x and y in the name"
    )


def listed_tiles(folder: ImageFolder, settings: InspectSettings) -> tuple[ListedTile, ...] | None:
    """Read the list of tiles that a folder has, or that was given; None without one."""
    beside = folder.path / CONFIGURATION_NAME
    if settings.positions_file is not None:
        return read_tile_configuration(settings.positions_file)
    return read_tile_configuration(beside) if beside.is_file() else None


def _corners(
    folder: ImageFolder,
    listed: Sequence[ListedTile],
    by_key: dict[tuple[str, str], Draft],
    log: ProblemLog,
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Find the tiles that are listed; those that are not there become tiles without data."""
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    names = FileNames(name for name, _ in by_key)
    whole_paths = FileNames(folder.prefix + name for name, _ in by_key)
    for tile in listed:
        # One file may list the tiles of all slices, by their path from the root.
        name = names.find(tile.name) or whole_paths.find(tile.name) or tile.name
        name = name.removeprefix(folder.prefix)
        item = "" if tile.series is None else str(tile.series)
        if (name, item) not in by_key:
            if "/" in name:
                continue
            draft = Draft(folder.slice_id, folder.prefix + name, "tiff", item=item)
            fault = "is listed with a position but does not exist"
            if item:
                fault = f"is listed with a position, but holds no image of number {item}"
            draft.skip(log, "listed_tile_absent", fault)
            by_key[name, item] = draft
        found[name, item] = tile.corner_px
    return found


def _join_planes(
    corners: dict[tuple[str, str], tuple[float, ...]], by_key: dict[tuple[str, str], Draft]
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Make one tile of files that are listed at one place in different depths.

    Only where every place has as many of them, in the same depths: else two tiles lie at one
    place, which is told later.
    """
    places: dict[tuple[float, ...], list[tuple[float, tuple[str, str]]]] = defaultdict(list)
    for key, corner in corners.items():
        depth = corner[0] if len(corner) == 3 else 0.0
        places[corner[-2:]].append((depth, key))
    depths = {tuple(sorted(z for z, _ in members)) for members in places.values()}
    planes = depths.pop() if len(depths) == 1 else ()
    is_plane = all(
        draft.geometry is None or draft.geometry.n_z == 1
        for draft in (by_key[key] for key in corners)
    )
    if len(planes) < 2 or len(set(planes)) < len(planes) or not is_plane:
        return corners
    joined = {}
    for corner, members in places.items():
        keys = [key for _, key in sorted(members)]
        _join(by_key[keys[0]], [by_key.pop(key) for key in keys[1:]])
        joined[keys[0]] = corner
    return joined


def _join(first: Draft, others: list[Draft]) -> None:
    first.files += tuple(file for draft in others for file in draft.files)
    lost = [draft for draft in (first, *others) if draft.status == "skipped"]
    if lost:
        first.status, first.problem = "skipped", f"its plane {lost[0].path}: {lost[0].problem}"
    if first.geometry is not None:
        first.geometry = replace(first.geometry, n_z=len(others) + 1)


def _numbered(
    folder: ImageFolder, images: Sequence[Draft], settings: InspectSettings, log: ProblemLog
) -> bool:
    """Set the indices that numbers in the names give; whether there are any."""
    by_name = {folder.name_of(draft): draft for draft in images if not draft.item}
    places = _places(by_name, settings)
    if not settings.numbering.is_given and places:
        places = _checked_lattice(by_name, places, log)
    for name, place in places.items():
        by_name[name].index = place
    return bool(places)


def _places(by_name: Mapping[str, Draft], settings: InspectSettings) -> dict[str, tuple[int, int]]:
    expression = settings.numbering.expression
    if settings.numbering.is_given:
        path = settings.numbering.path
        first = settings.numbering.first_number
        numbers = find_numbers(list(by_name), expression, path.n_rows * path.n_columns, first)
        first = min(numbers.values(), default=0) if first is None else first
        places = {name: path.index(number - first) for name, number in numbers.items()}
        return {name: place for name, place in places.items() if place is not None}
    is_named = expression is not None and {"x", "y"} <= expression.groupindex.keys()
    expressions = (expression,) if expression is not None and is_named else NAME_INDICES
    found = {name: [m for e in expressions if (m := e.search(name))] for name in by_name}
    return {name: (int(ms[0]["y"]), int(ms[0]["x"])) for name, ms in found.items() if ms}


def _checked_lattice(
    by_name: Mapping[str, Draft], places: dict[str, tuple[int, int]], log: ProblemLog
) -> dict[str, tuple[int, int]]:
    """Tell names that count tiles from names that count pixels, and from any others."""
    geometry = _usual_geometry(list(by_name.values()))
    steps = [_step({place[axis] for place in places.values()}) for axis in (0, 1)]
    if geometry is None or max(steps) < 2:
        return places
    sizes = (geometry.n_bscans, geometry.n_alines)
    first = by_name[next(iter(places))]
    if all(step == 0 or _PIXEL_STEP[0] <= step / n <= _PIXEL_STEP[1]
           for step, n in zip(steps, sizes, strict=True)):  # fmt: skip
        first.note(
            log, "names_hold_pixels",
            f"x and y in the names go on in steps of {_or(steps)}: they are taken for the "
            "positions of the tiles in pixels",
        )  # fmt: skip
        points = {id(by_name[name]): (float(y), float(x)) for name, (y, x) in places.items()}
        _apply_corners(list(by_name.values()), points, with_index=True, log=log)
        return {name: by_name[name].index or place for name, place in places.items()}
    if max(steps) > 2:
        first.stop(
            log, "names_are_no_lattice",
            f"x and y in the names go on in steps of {_or(steps)}, expected 1, or pixels of tiles "
            f"that overlap ({sizes[0]} x {sizes[1]} px)",
            "give the positions in a tile_table, or the names of the indices with --tile_name",
        )  # fmt: skip
    return places


def _step(values: set[int]) -> float:
    gaps = [b - a for a, b in pairwise(sorted(values))]
    return float(statistics.median(gaps)) if gaps else 0.0


def _or(steps: Sequence[float]) -> str:
    return " and ".join(f"{step:g}" for step in steps if step)


def _apply_corners(
    images: Sequence[Draft],
    corners: Mapping[int, tuple[float, ...]],
    *,
    with_index: bool,
    log: ProblemLog,
) -> None:
    geometry = _usual_geometry(images)
    placed = [draft for draft in images if id(draft) in corners]
    if geometry is None or not placed:
        return
    fast_um, slow_um = geometry.pitch_fast_um, geometry.pitch_slow_um
    for draft in placed:
        *depth, row, column = corners[id(draft)]
        draft.centre_mm = (
            (row + geometry.n_bscans / 2) * slow_um / 1000,
            (column + geometry.n_alines / 2) * fast_um / 1000,
        )
        draft.positions = "file"
        draft.z_start = depth[0] if depth else None
    if with_index:
        index_by_centre(placed)


def index_by_centre(images: Sequence[Draft]) -> None:
    """Give tiles of one slice their lattice index by where their middles lie; changed in place."""
    geometry = _usual_geometry(images)
    known = [(draft, draft.centre_mm) for draft in images if draft.centre_mm is not None]
    if geometry is None or not known:
        return
    size = (
        geometry.n_bscans * geometry.pitch_slow_um / 1000,
        geometry.n_alines * geometry.pitch_fast_um / 1000,
    )
    indices = index_positions([centre for _, centre in known], size)
    for (draft, _), index in zip(known, indices, strict=True):
        draft.index = index


def _usual_geometry(images: Sequence[Draft]) -> Geometry | None:
    found = Counter(replace(d.geometry, n_z=1) for d in images if d.geometry is not None)
    return found.most_common(1)[0][0] if found else None
