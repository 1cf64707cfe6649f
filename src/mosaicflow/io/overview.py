"""A whole volume at a pitch at which it fits into memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.averages import known_means
from mosaicflow.io.exports import ExportedLevel, open_export
from mosaicflow.io.zarr import read_omezarr_info
from mosaicflow.io.zarr.copying import copy_step
from mosaicflow.io.zarr.grid import regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.location import StorePath

__all__ = ["Overview", "read_overview"]


@dataclass(frozen=True)
class Overview:
    """A volume in voxels that may each be the mean of several.

    Parameters
    ----------
    values : ndarray, shape (z, y, x), float32
        0 where there is no data.
    pitch_um, origin_um : tuple of float
        Voxel pitch, and centre of the first voxel, (z, y, x).
    level : ExportedLevel
        What it was read from.
    """

    values: NDArray[np.float32]
    pitch_um: tuple[float, float, float]
    origin_um: tuple[float, float, float]
    level: ExportedLevel


def read_overview(volume: StorePath, level: int, most_voxels: int) -> Overview:
    """Read the finest level with few enough voxels; the coarsest in blocks if all have more.

    Parameters
    ----------
    volume : path or URL
        OME-Zarr store of three axes (z, y, x).
    level : int
        Finest level to look at.
    most_voxels : int
        Largest number of voxels of the result.
    """
    found = open_export(volume, level)
    for number in range(level + 1, len(read_omezarr_info(volume).levels)):
        if math.prod(found.shape) <= most_voxels:
            break
        found = open_export(volume, number)
    factors = _factors(found, most_voxels)
    pitch = [p * f for p, f in zip(found.pitch_um, factors, strict=True)]
    # The corners of the first voxels coincide, their centres do not.
    origin = [
        o + p * (f - 1) / 2
        for o, p, f in zip(found.origin_um, found.pitch_um, factors, strict=True)
    ]
    return Overview(
        _mean_blocks(found, factors),
        (pitch[0], pitch[1], pitch[2]),
        (origin[0], origin[1], origin[2]),
        found,
    )


def _factors(level: ExportedLevel, most_voxels: int) -> tuple[int, int, int]:
    """Voxels that become one, along each axis: the axis with the finest pitch grows first."""
    factors = [1, 1, 1]
    while _count(level.shape, factors) > most_voxels:
        pitches = [p * f for p, f in zip(level.pitch_um, factors, strict=True)]
        longer = [axis for axis in range(3) if level.shape[axis] > factors[axis]]
        factors[min(longer, key=lambda axis: pitches[axis])] += 1
    return (factors[0], factors[1], factors[2])


def _count(shape: tuple[int, int, int], factors: list[int]) -> int:
    return math.prod(-(-n // f) for n, f in zip(shape, factors, strict=True))


def _mean_blocks(level: ExportedLevel, factors: tuple[int, int, int]) -> NDArray[np.float32]:
    reader = level.reader
    values = np.zeros([-(-n // f) for n, f in zip(level.shape, factors, strict=True)], np.float32)
    # Whole blocks and, where memory allows, whole chunks at a time.
    step = copy_step(level.shape, factors, reader.chunks, reader.dtype.itemsize)
    for region in regions(level.shape, step):
        part = reader[region]
        if part.any():
            place = tuple(
                slice(side.start // f, -(-side.stop // f))
                for side, f in zip(region, factors, strict=True)
            )
            values[place] = known_means(_known(part), factors)
    return values


def _known(part: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 with 0, which is no data, in place of what is no number or infinite."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        values = part.astype(np.float32, copy=False)
    known: NDArray[np.float32] = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
    return known
