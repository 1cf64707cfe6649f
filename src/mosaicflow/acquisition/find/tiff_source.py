"""List image tiles: files, or folders with one file per plane."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import Draft, raw_file, with_retries
from mosaicflow.acquisition.find import tiff_files
from mosaicflow.acquisition.image_sources import (
    check_reads_remotely,
    has_source,
    is_folder_tile,
    source_of,
    tile_rank,
)
from mosaicflow.acquisition.place.file_names import FileNames
from mosaicflow.acquisition.place.image_places import ImageFolder, listed_tiles, place_images
from mosaicflow.acquisition.tiles import Geometry, RawFile
from mosaicflow.errors import FormatError, MissingExtraError
from mosaicflow.io.remote_files import is_remote
from mosaicflow.io.tables import natural_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.acquisition.image_header import ImageHeader
    from mosaicflow.acquisition.image_sources import SourceTile
    from mosaicflow.acquisition.place.tile_configuration import ListedTile
    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["collect_tiff_tiles", "describe_image", "image_names"]

_SLICE_FOLDER = re.compile(r"(?:slice_)?z(\d+)", re.IGNORECASE)
_TIFF = (".tif", ".tiff")
# What acquisition programs and mosaicflow itself leave beside tiles.
_PREVIEW = re.compile(r"(?:quick_stitch|roi_z|tile_cleaning|layout|preview|thumb)", re.IGNORECASE)
_NO_PITCH = "give the lateral pixel pitch with --pixel_size_um"


def collect_tiff_tiles(root: Path, settings: InspectSettings, log: ProblemLog) -> list[Draft]:
    """List the image tiles of a folder, or of its ``zNN`` sub-folders, one slice each.

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
        listed = listed_tiles(folder, settings)
        series = _listed_series(names, listed or ())
        images = [d for name in names for d in _drafts(folder, name, series[name], settings, log)]
        images = place_images(folder, images, listed, settings, log)
        _tell_notes(images, log)
        drafts += images
    return drafts


def _tell_notes(images: Sequence[Draft], log: ProblemLog) -> None:
    """Say what all files have in common once, not for every tile."""
    counts = Counter(note for draft in images for note in draft.notes)
    for note, count in counts.items():
        first = next(draft for draft in images if note in draft.notes)
        others = f" (and {count - 1} more tiles)" if count > 1 else ""
        first.note(log, "image_note", f"{note}{others}")


def _slice_folders(root: Path) -> list[ImageFolder]:
    found = []
    for child in sorted(root.iterdir()):
        match = _SLICE_FOLDER.fullmatch(child.name)
        if match and child.is_dir() and _may_hold_tiles(child):
            found.append(ImageFolder(child, f"{child.name}/", int(match[1])))
    if found:
        return sorted(found, key=lambda folder: folder.slice_id)
    return [ImageFolder(root, "", 0)] if _tile_names(root) else []


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
    """List the image files of a folder, numbers in their names counted as numbers.

    Where files of a tile format lie beside pictures of them or results, those are no tiles.
    """
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    images = [name for name in names if has_source(name)]
    rank = min((tile_rank(name) for name in images), default=0)
    images = [name for name in images if tile_rank(name) == rank]
    if rank > 0:
        images = [name for name in images if not _PREVIEW.match(name)]
    return sorted(images, key=natural_order)


def _drafts(
    folder: ImageFolder,
    name: str,
    series: list[int],
    settings: InspectSettings,
    log: ProblemLog,
) -> list[Draft]:
    draft = Draft(folder.slice_id, folder.prefix + name, "tiff")
    path = folder.path / name
    tiles = _scanned(draft, path, series, log)
    if len(tiles) > 1 or series:
        files = draft.files
        drafts = [Draft(draft.slice_id, draft.path, "tiff", item=tile.item) for tile in tiles]
        for one, tile in zip(drafts, tiles, strict=True):
            own = tuple(file for file in files if file.name.startswith(f"{tile.item}/"))
            one.files = own or files
            _apply(one, tile, settings, log)
        return drafts
    for tile in tiles:
        _apply(draft, tile, settings, log)
    return [draft]


def _listed_series(names: Sequence[str], listed: Sequence[ListedTile]) -> dict[str, list[int]]:
    """Return, for every file, which of its images a list of tiles names."""
    places, found = FileNames(names), {name: set[int]() for name in names}
    for tile in listed:
        if tile.series is not None and (name := places.find(tile.name)):
            found[name].add(tile.series)
    return {name: sorted(series) for name, series in found.items()}


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
    for tile in _scanned(draft, path, [], log)[:1]:
        _apply(draft, tile, settings, log)
        draft.item = tile.item


def _scanned(
    draft: Draft, path: Path, series: Sequence[int], log: ProblemLog
) -> Sequence[SourceTile]:
    """Describe the tiles of a file, or the one of a folder; a file that cannot be is skipped."""
    if is_remote(path):
        check_reads_remotely(path)
    try:
        if is_folder_tile(path):
            draft.files = _files_below(path)
            return with_retries(lambda: source_of(path.name).list_tiles(path))
        planes = [path / name for name in image_names(path)] if path.is_dir() else [path]
        if not planes:
            draft.skip(log, "unreadable_tile", "is a folder without images")
            return ()
        draft.files = tuple(raw_file(plane) for plane in planes)
        if empty := [file.name for file in draft.files if not file.bytes]:
            draft.skip(log, "empty_image", f"{empty[0]} has no bytes")
            return ()
        return with_retries(lambda: _tiles_of(planes, series))
    except (FormatError, MissingExtraError) as error:
        draft.skip(log, "unreadable_tile", str(error))
    except OSError as error:
        draft.skip(log, "unreadable_tile", f"cannot be read ({error.strerror})")
    return ()


def _files_below(folder: Path) -> tuple[RawFile, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        replace(raw_file(path), name=path.relative_to(folder).as_posix()) for path in paths
    )


def _tiles_of(planes: Sequence[Path], series: Sequence[int]) -> Sequence[SourceTile]:
    if series and planes[0].name.lower().endswith(_TIFF):
        count = tiff_files.count_images(planes[0])
        found = ((n, tiff_files.list_tiles(planes[0], n)[0]) for n in series if n < count)
        return [replace(tile, item=str(n)) for n, tile in found]
    tiles = source_of(planes[0].name).list_tiles(planes[0])
    if len(planes) == 1:
        return tiles
    header = tiles[0].header
    # An XML that every plane carries describes all of them.
    notes = tuple(note for note in header.notes if f"speaks of {len(planes)} planes" not in note)
    whole = replace(header, n_z=header.n_z * len(planes), notes=notes)
    return [replace(tiles[0], header=whole)]


def _apply(draft: Draft, tile: SourceTile, settings: InspectSettings, log: ProblemLog) -> None:
    _apply_header(draft, tile.header, settings, log)
    if tile.centre_um is not None:
        y_um, x_um = tile.centre_um
        draft.centre_mm, draft.positions = (y_um / 1000, x_um / 1000), "stage"


def _apply_header(
    draft: Draft, header: ImageHeader, settings: InspectSettings, log: ProblemLog
) -> None:
    z_um, y_um, x_um = header.pitch_um
    y_um, x_um = settings.pixel_size_um or y_um, settings.pixel_size_um or x_um
    draft.channels, draft.notes = header.channels, header.notes
    if y_um is None or x_um is None:
        draft.stop(log, "no_pixel_size", "the file does not say its pixel size", _NO_PITCH)
        return
    draft.pitch_z_um = z_um
    draft.geometry = Geometry(
        n_z=header.n_z, n_alines=header.n_x, n_bscans=header.n_y, n_extra=0, n_repeat=1,
        pitch_fast_um=x_um, pitch_slow_um=y_um,
    )  # fmt: skip
