"""What a list of tiles may say: it lies in a folder of results, and that may come from anywhere."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check_list"]

# Samples of a tile, or tiles of a mosaic, along one axis: no camera has a twentieth. Ten times as
# many, and the divisors of a chunk take seconds to count.
_MOST = 10**6


def check_list(value: Mapping[str, Any]) -> None:
    """Check types, sizes and paths of ``zNN_tiles.json``.

    Parameters
    ----------
    value : mapping
        The document.

    Raises
    ------
    ValueError, TypeError, KeyError, IndexError
        Something in it cannot be, or a file lies outside the raw folder.
    """
    for row in value["tiles"]:
        _check_paths(row)
    if value["reason"]:  # a slice that cannot be built has no sizes
        return
    shape = value["lattice"]["shape"]
    for numbers, count in ((shape, 2), (value["tile_shape"], 3)):
        if len(numbers) != count or not all(_is_whole(n, 1) for n in numbers):
            raise ValueError(f"sizes {numbers!r:.80}")
    if not all(0 < pitch < math.inf for pitch in value["pitch_um"]):
        raise ValueError(f"pitch_um {value['pitch_um']!r:.80}")
    for row in value["tiles"]:
        if row["status"] in ("ok", "repaired"):
            _check_used(row, shape)


def _check_paths(row: Mapping[str, Any]) -> None:
    for path in (row["path"], *(file["name"] for file in row["files"])):
        if not isinstance(path, str) or "\0" in path:
            raise TypeError(f"path {path!r:.80}")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"path {path!r:.80}, which lies outside the raw folder")


def _check_used(row: Mapping[str, Any], lattice: Sequence[int]) -> None:
    limits = {"nz": 1, "n_alines": 1, "n_bscans": 1, "n_repeat": 1, "n_extra": 0, "top_z": 0}
    wrong = [name for name, least in limits.items() if not _is_whole(row[name], least)]
    wrong += [] if _is_whole(row["z_offset"], -_MOST) else ["z_offset"]
    for name, size in zip(("iy", "ix"), lattice, strict=True):
        if not (_is_whole(row[name], 0) and row[name] < size):
            wrong.append(name)
    wrong += ["files"] * any(not _is_whole(file["bytes"], 0, 2**63) for file in row["files"])
    if wrong:
        raise ValueError(f"{wrong[0]} of tile {row['path']:.80}")


def _is_whole(number: object, least: int, most: int = _MOST) -> bool:
    if not isinstance(number, int) or isinstance(number, bool):
        return False
    return least <= number <= most
