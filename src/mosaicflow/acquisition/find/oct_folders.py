"""Find the tile folders of a serial-OCT acquisition, by name only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import with_retries
from mosaicflow.io.remote_files import scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mosaicflow.acquisition.settings import Layout

__all__ = ["TileFolder", "find_tile_folders"]

_TILE = re.compile(r"tile_x(?P<x>\d+)_y(?P<y>\d+)_z(?P<z>\d+)", re.IGNORECASE)
_SORTED_SLICE = re.compile(r"z(\d+)", re.IGNORECASE)
_ACQUIRED_SLICE = re.compile(r"slice_z(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TileFolder:
    """One tile folder.

    Parameters
    ----------
    path : str
        Relative to the root.
    index : tuple of int or None
        Lattice indices (y, x) in the name; None for a whole slice folder that cannot be read.
    z : int
        Slice id in the name.
    container_z : int or None
        Slice id of the enclosing folder.
    layout : str
        ``flat``, ``per_slice``, ``acquisition`` or ``archived``.
    fault : str
        Why it cannot be looked into; empty when it can.
    """

    path: str
    index: tuple[int, int] | None
    z: int
    container_z: int | None
    layout: str
    fault: str = ""


def find_tile_folders(root: Path, layout: Layout = "auto") -> list[TileFolder]:
    """List every tile folder of the known layouts.

    Parameters
    ----------
    root : Path
        The raw folder.
    layout : str
        ``auto`` accepts every layout, also several side by side, because a folder is sometimes
        re-organised half way; another name accepts only that one.

    Returns
    -------
    list of TileFolder
        Sorted by slice, row, column and path. Archived metadata is listed only when no layout with
        data was found.
    """
    found = [*_children(root, "", None, "flat")]
    for name in _folders(root):
        if match := _SORTED_SLICE.fullmatch(name):
            found += _children(root / name, name, int(match[1]), "per_slice")
        elif match := _ACQUIRED_SLICE.fullmatch(name):
            tiles = root / name / "tiles"
            found += _children(tiles, f"{name}/tiles", int(match[1]), "acquisition")
        elif name.lower() == "metadata":
            found += _archived(root / name, name)
    if layout != "auto":
        found = [folder for folder in found if folder.layout == layout]
    elif any(folder.layout != "archived" for folder in found):
        found = [folder for folder in found if folder.layout != "archived"]
    return sorted(found, key=lambda f: (f.z, f.index or (-1, -1), f.path))


def _archived(metadata: Path, name: str) -> Iterator[TileFolder]:
    for child in _folders(metadata):
        if match := _ACQUIRED_SLICE.fullmatch(child):
            prefix = f"{name}/{child}"
            yield from _children(metadata / child, prefix, int(match[1]), "archived")
            tiles = metadata / child / "tiles"
            yield from _children(tiles, f"{prefix}/tiles", int(match[1]), "archived")


def _folders(parent: Path) -> list[str]:
    with with_retries(lambda: scan(parent)) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and _is_folder(e))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _children(parent: Path, prefix: str, number: int | None, layout: str) -> Iterator[TileFolder]:
    try:
        with with_retries(lambda: scan(parent)) as entries:
            listed = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if number is None:
            raise
        fault = f"the folder cannot be read ({error.strerror})"
        yield TileFolder(prefix, None, number, number, layout, fault)
        return
    for entry in listed:
        match = _TILE.fullmatch(entry.name)
        broken = entry.is_symlink() and not os.path.exists(entry.path)
        if match is None or not (broken or _is_folder(entry)):
            continue
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        x, y, z = (int(match[key]) for key in "xyz")
        fault = "the folder is a broken link" if broken else ""
        yield TileFolder(path, (y, x), z, number, layout, fault)
