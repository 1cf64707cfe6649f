"""Arrays of a group that says nothing about images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr.info import read_array_info
from mosaicflow.io.zarr.location import locate
from mosaicflow.io.zarr.reader import LevelReader, open_levels
from mosaicflow.io.zarr.root import find_root

if TYPE_CHECKING:
    from mosaicflow.io.zarr.location import Location, StorePath
    from mosaicflow.io.zarr.root import Root

__all__ = ["open_arrays"]


def open_arrays(path: StorePath | Location) -> dict[str, LevelReader]:
    """Open all arrays of a group, or the one array that a store is.

    Parameters
    ----------
    path : path or URL
        Folder, `.zip` file or fsspec URL.

    Returns
    -------
    dict of str to LevelReader
        By name, numbers in the order of their value; arrays with fewer than 2 or more than 5 axes
        are no images and left out. The name of a bare array is empty.
    """
    root = find_root(locate(path))
    names = [""] if root.is_array else sorted(_array_names(root), key=_natural)
    found = {name: read_array_info(root, name) for name in names}
    return {name: open_levels(info)[0] for name, info in found.items() if info is not None}


def _array_names(root: Root) -> set[str]:
    """Return the names of what may be arrays, also where a web server lists no folders."""
    names = set(root.location.children())
    if root.zarr_format == 2:
        entries = _metadata(root.location.read_json(".zmetadata"))
        return names | {n.removesuffix("/.zarray") for n in entries if n.endswith("/.zarray")}
    document = root.location.read_json("zarr.json") or {}
    return names | set(_metadata(document.get("consolidated_metadata")))


def _metadata(consolidated: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever the JSON holds
    entries = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    return entries if isinstance(entries, dict) else {}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(d or 0), text) for d, text in re.findall(r"(\d+)|(\D+)", name)]
