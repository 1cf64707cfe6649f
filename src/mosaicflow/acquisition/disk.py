"""Check that there is a place to write to, and enough of it."""

from __future__ import annotations

import math
import shutil
import tempfile
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["check_free_space", "check_writable", "grid_bytes"]

_FLOAT_BYTES = 4
_GIB = 2**30


def grid_bytes(slices: Sequence[SliceTiles]) -> int:
    """Count the bytes of all mosaic grids before compression."""
    tiles = (math.prod(s.tile_shape) * len(s.used) for s in slices if not s.failure)
    return _FLOAT_BYTES * sum(tiles)


def check_writable(folder: Path) -> None:
    """Make the output folder and write to it once.

    Raises
    ------
    InputError
        When either fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise InputError(
            f"{folder}: the output folder cannot be written ({error.strerror})",
            remedy="choose another one or change its permissions",
        ) from error


def check_free_space(folder: Path, needed: int) -> None:
    """Compare the free space of the folder's disk with the size of the grids to come.

    Parameters
    ----------
    folder : Path
        An existing folder.
    needed : int
        Bytes.

    Raises
    ------
    InputError
        When the grids alone would not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: not enough disk, {free / _GIB:.1f} GiB are free and the mosaic grids need "
            f"up to {needed / _GIB:.1f} GiB",
            remedy="free some, choose another disk, or run fewer slices (--debug_slices)",
        )
