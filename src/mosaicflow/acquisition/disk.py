"""Check that there is a place to write to, and enough of it."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from rich.filesize import decimal

from mosaicflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["check_free_space", "check_writable", "grid_bytes"]

_FLOAT_BYTES = 4  # of a float32 voxel, as every grid holds them


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
            f"{_disk_of(folder)}: not enough disk, {decimal(free)} are free and the mosaic "
            f"grids need up to {decimal(needed)}",
            remedy="free some, choose another disk, or run fewer slices (--debug_slices)",
        )


def _disk_of(folder: Path) -> Path:
    """Name what is full: the folder is one that an engine made for this task."""
    whole = folder.resolve()
    return next((path for path in (whole, *whole.parents) if os.path.ismount(path)), whole)
