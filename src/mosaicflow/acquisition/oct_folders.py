"""Find the tile folders of a serial-OCT acquisition, by name only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.acquisition.drafts import with_retries

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
    x, y, z : int
        Lattice indices and slice id in the name.
    container_z : int or None
        Slice id of the enclosing folder.
    layout : str
        ``flat``, ``per_slice``, ``acquisition`` or ``archived``.
    is_readable : bool
        False for a broken link.
    """

    path: str
    x: int
    y: int
    z: int
    container_z: int | None
    layout: str
    is_readable: bool = True


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
    return sorted(found, key=lambda f: (f.z, f.y, f.x, f.path))


def _archived(metadata: Path, name: str) -> Iterator[TileFolder]:
    for child in _folders(metadata):
        if match := _ACQUIRED_SLICE.fullmatch(child):
            prefix = f"{name}/{child}"
            yield from _children(metadata / child, prefix, int(match[1]), "archived")
            tiles = metadata / child / "tiles"
            yield from _children(tiles, f"{prefix}/tiles", int(match[1]), "archived")


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    with with_retries(lambda: os.scandir(parent)) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def _children(parent: Path, prefix: str, number: int | None, layout: str) -> Iterator[TileFolder]:
    if not parent.is_dir():
        return
    with with_retries(lambda: os.scandir(parent)) as entries:
        for entry in entries:
            match = _TILE.fullmatch(entry.name)
            broken = entry.is_symlink() and not os.path.exists(entry.path)
            if match is None or not (entry.is_dir() or broken):
                continue
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            x, y, z = (int(match[key]) for key in "xyz")
            yield TileFolder(path, x, y, z, number, layout, is_readable=not broken)
