"""Read a tile table: the one input that can describe any arrangement of tiles."""

from __future__ import annotations

import functools
import math
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import Draft, by_slice
from mosaicflow.acquisition.find.oct_folders import TileFolder
from mosaicflow.acquisition.find.oct_source import collect_folders
from mosaicflow.acquisition.find.tiff_source import describe_image, image_names
from mosaicflow.acquisition.image_sources import is_folder_tile
from mosaicflow.acquisition.place.file_names import FileNames
from mosaicflow.acquisition.place.lattice import index_positions
from mosaicflow.errors import InputError
from mosaicflow.io.remote_files import is_remote
from mosaicflow.io.tables import read_csv
from mosaicflow.names import parse_slice_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["TABLE_NAME", "collect_table_tiles"]

TABLE_NAME = "tile_table.csv"


def collect_table_tiles(
    root: Path, table: Path, settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    """List the tiles of a table with the columns ``path,slice,iy,ix,y_mm,x_mm[,z_mm]``.

    Parameters
    ----------
    root : Path
        Folder that the paths start from.
    table : Path
        The CSV. ``slice`` may be left out (0); either the indices or the positions may be empty.
    settings : InspectSettings
        How to read the tiles.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    list of Draft
        One per row.

    Raises
    ------
    InputError
        When a cell cannot be read or a path appears twice.
    """
    rows = read_csv(table, required=("path",))
    if not rows:
        raise InputError(f"{table.name}: the table has no row, expected one per tile")
    drafts = _rows(root, rows, table)
    drafts = [draft for draft in drafts if settings.wants(draft.slice_id)]
    counts = Counter(draft.path for draft in drafts)
    if repeated := sorted(path for path, count in counts.items() if count > 1):
        raise InputError(f"{table.name}: {repeated[0]} is listed more than once")
    _check_inside(root, counts, table)
    return _described(root, drafts, settings, log)


def _check_inside(root: Path, paths: Iterable[str], table: Path) -> None:
    if is_remote(root):  # where there are no links
        return
    whole, folders = os.path.realpath(root), functools.cache(os.path.realpath)
    inside = os.path.join(whole, "")
    for path in paths:
        place = os.path.join(root, path)
        # Links are few, and folders as well.
        if os.path.islink(place):
            target = os.path.realpath(place)
        else:
            target = os.path.join(folders(os.path.dirname(place)), os.path.basename(place))
        if target != whole and not target.startswith(inside):
            raise InputError(
                f"{table.name}: {path} is a link to {target}, expected a tile in the raw folder",
                remedy="give the folder that holds the tiles as input, and the table as"
                " --tile_table",
            )


def _rows(root: Path, rows: Sequence[Mapping[str, str]], table: Path) -> list[Draft]:
    @functools.cache  # all rows may be spelled strangely, and a folder hold all their tiles
    def names_in(folder: Path) -> FileNames:
        return FileNames(entry.name for entry in folder.iterdir())

    drafts = []
    for number, row in enumerate(rows, start=2):
        listed = row["path"]
        path = PurePosixPath("." if "\0" in listed else _found(root, listed, names_in))
        drafts.append(_row(path, row, f"{table.name}, row {number}"))
    return drafts


def _row(path: PurePosixPath, row: Mapping[str, str], place: str) -> Draft:
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise InputError(
            f"{place}: path is {row['path']!r}, expected one relative to the raw folder",
            remedy="give the folder that holds the tiles as input, and the table as --tile_table",
        )
    draft = Draft(parse_slice_id(row.get("slice") or "0"), str(path), "table")
    iy, ix = _number(row, "iy", place), _number(row, "ix", place)
    y_mm, x_mm = _number(row, "y_mm", place), _number(row, "x_mm", place)
    if iy is not None and ix is not None:
        draft.index = (int(iy), int(ix))
    if y_mm is not None and x_mm is not None:
        draft.centre_mm, draft.positions = (y_mm, x_mm), "stage"
    draft.z_mm = _number(row, "z_mm", place)
    return draft


def _found(root: Path, listed: str, names_in: Callable[[Path], FileNames]) -> str:
    """Return a path as the disk has it: a table may spell it the way another system does."""
    if not listed or listed.startswith("/") or ".." in listed:
        return listed
    if (root / listed).exists() if is_remote(root) else os.path.lexists(f"{root}/{listed}"):
        return listed
    folder = root
    for part in (p for p in listed.replace("\\", "/").split("/") if p not in ("", ".")):
        name = names_in(folder).find(part)
        if name is None:
            return listed.replace("\\", "/")
        folder /= name
        if not folder.is_dir():
            break
    return folder.relative_to(root).as_posix()


def _number(row: Mapping[str, str], column: str, place: str) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (column in ("iy", "ix") and value != int(value)):
        raise InputError(f"{place}: {column} is {text!r}, expected a number")
    return value


def _described(
    root: Path, drafts: list[Draft], settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    folders = set()
    for draft in drafts:
        path = root / draft.path
        if path.is_dir() and not _is_image(path):
            folders.add(draft.path)
        else:
            describe_image(draft, path, settings, log)
    found = {d.path: d for d in _oct_drafts(root, drafts, folders, settings, log)}
    drafts = [_merged(draft, found.get(draft.path)) for draft in drafts]
    for _, tiles in by_slice(drafts):
        _index_slice(tiles, log)
    return drafts


def _is_image(path: Path) -> bool:
    try:
        return is_folder_tile(path) or bool(image_names(path))
    except OSError:  # reading the folder reports it, with the reason
        return False


def _oct_drafts(
    root: Path,
    drafts: Sequence[Draft],
    folders: set[str],
    settings: InspectSettings,
    log: ProblemLog,
) -> list[Draft]:
    found = [
        TileFolder(draft.path, draft.index, draft.slice_id, None, "table")
        for draft in drafts
        if draft.path in folders
    ]
    return collect_folders(root, found, settings, log) if found else []


def _merged(row: Draft, found: Draft | None) -> Draft:
    if found is None:
        return row
    found.index = row.index
    if row.centre_mm is not None:
        found.centre_mm, found.positions = row.centre_mm, "stage"
    found.z_mm = row.z_mm if row.z_mm is not None else found.z_mm
    return found


def _index_slice(drafts: Sequence[Draft], log: ProblemLog) -> None:
    loose = [d for d in drafts if d.index is None and d.centre_mm is not None]
    sizes = [d.geometry for d in drafts if d.geometry is not None]
    if loose and len(loose) == len(drafts) and sizes:
        size = (
            sizes[0].n_bscans * sizes[0].pitch_slow_um / 1000,
            sizes[0].n_alines * sizes[0].pitch_fast_um / 1000,
        )
        points = [d.centre_mm for d in loose if d.centre_mm is not None]
        for draft, index in zip(loose, index_positions(points, size), strict=True):
            draft.index = index
    for draft in drafts:
        if draft.index is None and draft.status != "skipped":
            draft.unplace(log, "the table gives it neither iy and ix nor a position")
