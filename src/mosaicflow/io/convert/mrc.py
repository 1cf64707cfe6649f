"""MRC: x fastest, which is the memory order of (z, y, x); angstrom; an origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.formats.volumes.mrc import HEADER_BYTES, MODES, mrc_header
from mosaicflow.io.convert.volume import RawVoxels, finished_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.io.convert.volume import VolumeSource

__all__ = ["ANGSTROM_PER_UM", "write_mrc_volume"]

ANGSTROM_PER_UM = 1e4


def write_mrc_volume(
    output: Path,
    source: VolumeSource,
    place_um: tuple[Sequence[float], Sequence[float]],
    statistics: tuple[float, float, float, float],
) -> None:
    """Write a volume as MRC2014, box by box.

    Parameters
    ----------
    output : Path
        File to write.
    source : VolumeSource
        Axes (z, y, x), of a type that MRC has.
    place_um : (sequence of float, sequence of float)
        Pitch, and position of the first voxel's centre, (z, y, x).
    statistics : tuple of float
        Smallest, largest and mean value and the deviation, of the numbers as stored.
    """
    if source.dtype not in MODES.values():
        raise InputError(
            f"{output}: MRC has no type {source.dtype}",
            remedy=f"use {', '.join(dtype.name for dtype in MODES.values())}",
        )
    rate, origin = ([ANGSTROM_PER_UM * value for value in reversed(zyx)] for zyx in place_um)
    n_z, n_y, n_x = source.shape
    header = mrc_header(
        (n_x, n_y, n_z),
        source.dtype,
        ((rate[0], rate[1], rate[2]), (origin[0], origin[1], origin[2])),
        statistics,
        notes=source.notes,
    )
    with finished_path(output) as partial:
        partial.write_bytes(header)
        RawVoxels(partial, source.dtype.newbyteorder("<"), source.shape, HEADER_BYTES).fill(source)
