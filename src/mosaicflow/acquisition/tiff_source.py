"""List TIFF tiles and place them: by a tile configuration, a running number or their names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import Draft, raw_file, with_retries
from mosaicflow.acquisition.lattice import index_positions
from mosaicflow.acquisition.tiff_files import TiffHeader, read_tiff_header
from mosaicflow.acquisition.tile_configuration import (
    CONFIGURATION_NAME,
    read_tile_configuration,
)
from mosaicflow.acquisition.tile_numbers import find_numbers
from mosaicflow.acquisition.tiles import Geometry
from mosaicflow.errors import FormatError
from mosaicflow.io.tables import natural_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["collect_tiff_tiles", "describe_image", "image_names"]

_SLICE_FOLDER = re.compile(r"(?:slice_)?z(\d+)", re.IGNORECASE)
_SUFFIXES = (".tif", ".tiff")
_NAME_INDEX = re.compile(r"(?:^|[_\-. ])x(?P<x>\d+)[_\-. ]?y(?P<y>\d+)", re.IGNORECASE)
_NO_PITCH = "give the lateral pixel pitch with --pixel_size_um"


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    prefix: str
    slice_id: int


def collect_tiff_tiles(root: Path, settings: InspectSettings, log: ProblemLog) -> list[Draft]:
    """List the TIFF tiles of a folder, or of its ``zNN`` sub-folders, one slice each.

    A tile is an image, or, where there is none, a folder with one image per plane of depth.

    Parameters
    ----------
    root : Path
        The raw folder.
    settings : InspectSettings
        Pixel pitch, positions and numbering.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    list of Draft
        Every image found or listed; empty when there is none.
    """
    drafts: list[Draft] = []
    for folder in _slice_folders(root):
        if not settings.wants(folder.slice_id):
            continue
        try:
            names = _tile_names(folder.path)
        except OSError as error:
            draft = Draft(folder.slice_id, folder.prefix.rstrip("/"), "tiff")
            fault = f"the folder cannot be read ({error.strerror})"
            draft.skip(log, "unreadable_tile", fault)
            drafts.append(draft)
            continue
        images = [_draft(folder, name, settings, log) for name in names]
        drafts += _place(folder, images, settings, log)
    return drafts


def _slice_folders(root: Path) -> list[_Folder]:
    found = []
    for child in sorted(root.iterdir()):
        match = _SLICE_FOLDER.fullmatch(child.name)
        if match and child.is_dir() and _may_hold_tiles(child):
            found.append(_Folder(child, f"{child.name}/", int(match[1])))
    if found:
        return sorted(found, key=lambda folder: folder.slice_id)
    return [_Folder(root, "", 0)] if _tile_names(root) else []


def _may_hold_tiles(folder: Path) -> bool:
    try:
        return bool(_tile_names(folder))
    except OSError:  # listing it again reports it, with the reason
        return True


def _tile_names(path: Path) -> list[str]:
    images = image_names(path)
    if images:
        return images
    names = [e.name for e in path.iterdir() if not e.name.startswith(".") and e.is_dir()]
    folders = [n for n in names if not _SLICE_FOLDER.fullmatch(n) and _may_hold_images(path / n)]
    return sorted(folders, key=natural_order)


def _may_hold_images(folder: Path) -> bool:
    try:
        return bool(image_names(folder))
    except OSError:  # describing it reports it, with the reason
        return True


def image_names(folder: Path) -> list[str]:
    """List the TIFF files of a folder, numbers in their names counted as numbers."""
    names = (entry.name for entry in folder.iterdir())
    images = [n for n in names if n.lower().endswith(_SUFFIXES) and not n.startswith(".")]
    return sorted(images, key=natural_order)


def _draft(folder: _Folder, name: str, settings: InspectSettings, log: ProblemLog) -> Draft:
    draft = Draft(folder.slice_id, folder.prefix + name, "tiff")
    describe_image(draft, folder.path / name, settings, log)
    return draft


def describe_image(draft: Draft, path: Path, settings: InspectSettings, log: ProblemLog) -> None:
    """Fill in files, size and pitch of an image tile.

    Parameters
    ----------
    draft : Draft
        Changed in place; skipped when the file cannot be used.
    path : Path
        The image, or a folder with one image per plane.
    settings : InspectSettings
        A given pixel size wins over the file's.
    log : ProblemLog
        Takes what was wrong.
    """
    try:
        planes = [path / name for name in image_names(path)] if path.is_dir() else [path]
        if not planes:
            draft.skip(log, "unreadable_tile", "is a folder without images")
            return
        draft.files = tuple(raw_file(plane) for plane in planes)
        if empty := [file.name for file in draft.files if not file.bytes]:
            draft.skip(log, "empty_image", f"{empty[0]} has no bytes")
            return
        header = with_retries(lambda: read_tiff_header(planes[0]))
        if len(planes) > 1:
            header = replace(header, n_z=header.n_z * len(planes))
    except FormatError as error:
        draft.skip(log, "unreadable_tile", str(error))
        return
    except OSError as error:
        draft.skip(log, "unreadable_tile", f"cannot be read ({error.strerror})")
        return
    _apply_header(draft, header, settings, log)


def _apply_header(
    draft: Draft, header: TiffHeader, settings: InspectSettings, log: ProblemLog
) -> None:
    z_um, y_um, x_um = header.pitch_um
    y_um, x_um = settings.pixel_size_um or y_um, settings.pixel_size_um or x_um
    if y_um is None or x_um is None:
        draft.stop(log, "no_pixel_size", "the file does not say its pixel size", _NO_PITCH)
        return
    draft.pitch_z_um = z_um
    draft.geometry = Geometry(
        n_z=header.n_z, n_alines=header.n_x, n_bscans=header.n_y, n_extra=0, n_repeat=1,
        pitch_fast_um=x_um, pitch_slow_um=y_um,
    )  # fmt: skip


def _place(
    folder: _Folder, images: list[Draft], settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    corners = _corners(folder, settings)
    by_name = {draft.path.removeprefix(folder.prefix): draft for draft in images}
    numbered = _numbered(by_name, settings)
    for name, index in numbered.items():
        by_name[name].index = index
    if corners is not None:
        images = images + _listed_only(folder, corners, by_name, log)
        _apply_corners(images, by_name, corners, with_index=not numbered, settings=settings)
    for draft in images:
        if draft.index is None and draft.status != "skipped":
            draft.unplace(log, _why_unplaced(corners is not None, bool(numbered)))
    return images


def _why_unplaced(has_corners: bool, has_numbers: bool) -> str:
    if has_numbers:
        return "its number lies outside the path given by tile_pattern, tile_order and tile_grid"
    if has_corners:
        return (
            f"not listed in {CONFIGURATION_NAME}, and no tile_pattern, tile_order and tile_grid "
            "to place it by its number"
        )
    return (
        f"no position: no {CONFIGURATION_NAME}, no tile_table, no tile_pattern with tile_grid, "
        "no x and y in the name"
    )


def _corners(folder: _Folder, settings: InspectSettings) -> dict[str, tuple[float, ...]] | None:
    beside = folder.path / CONFIGURATION_NAME
    if settings.positions_file is not None:
        listed = read_tile_configuration(settings.positions_file)
    elif beside.is_file():
        listed = read_tile_configuration(beside)
    else:
        return None
    # One file may list the tiles of all slices, by their path from the root.
    return {name.removeprefix(folder.prefix): corner for name, corner in listed.items()}


def _numbered(
    by_name: Mapping[str, Draft], settings: InspectSettings
) -> dict[str, tuple[int, int]]:
    expression = settings.numbering.expression
    if settings.numbering.is_given:
        numbers = find_numbers(list(by_name), expression)
        first = settings.numbering.first_number
        first = min(numbers.values(), default=0) if first is None else first
        path = settings.numbering.path
        places = {name: path.index(number - first) for name, number in numbers.items()}
        return {name: place for name, place in places.items() if place is not None}
    if expression is None or not {"x", "y"} <= expression.groupindex.keys():
        expression = _NAME_INDEX
    matches = {name: expression.search(name) for name in by_name}
    return {name: (int(m["y"]), int(m["x"])) for name, m in matches.items() if m is not None}


def _listed_only(
    folder: _Folder,
    corners: Mapping[str, tuple[float, ...]],
    by_name: dict[str, Draft],
    log: ProblemLog,
) -> list[Draft]:
    missing = []
    for name in corners:
        if name not in by_name and "/" not in name:
            draft = Draft(folder.slice_id, folder.prefix + name, "tiff")
            draft.skip(log, "listed_tile_absent", "is listed with a position but does not exist")
            by_name[name] = draft
            missing.append(draft)
    return missing


def _apply_corners(
    images: Sequence[Draft],
    by_name: Mapping[str, Draft],
    corners: Mapping[str, tuple[float, ...]],
    *,
    with_index: bool,
    settings: InspectSettings,
) -> None:
    geometry = _usual_geometry(images)
    placed = {name: corners[name][-2:] for name in corners if name in by_name}
    if geometry is None or not placed:
        return
    fast_um, slow_um = geometry.pitch_fast_um, geometry.pitch_slow_um
    for name, (row, column) in placed.items():
        by_name[name].centre_mm = (
            (row + geometry.n_bscans / 2) * slow_um / 1000,
            (column + geometry.n_alines / 2) * fast_um / 1000,
        )
        by_name[name].positions = "file"
    if with_index:
        size = (float(geometry.n_bscans), float(geometry.n_alines))
        points = [(corner[0], corner[1]) for corner in placed.values()]
        for name, index in zip(placed, index_positions(points, size), strict=True):
            by_name[name].index = index


def _usual_geometry(images: Sequence[Draft]) -> Geometry | None:
    found = Counter(replace(d.geometry, n_z=1) for d in images if d.geometry is not None)
    return found.most_common(1)[0][0] if found else None
