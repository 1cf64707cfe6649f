"""The values of an exported volume: their type and statistics, and the MRC file of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.formats.volumes.density import Moments
from mosaicflow.formats.volumes.mrc import HEADER_BYTES, MODES, mrc_header
from mosaicflow.io.convert.volume import RawVoxels, VolumeSource, finished_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.exports import ExportedLevel
    from mosaicflow.io.zarr.grid import Region

__all__ = ["ANGSTROM_PER_UM", "as_exported", "write_mrc_volume"]

ANGSTROM_PER_UM = 1e4
_LARGEST_UINT16 = 65535  # of the type itself


def _statistics_of(source: VolumeSource) -> tuple[float, float, float, float]:
    """Return smallest, largest and mean value of a volume and the deviation, read box by box."""
    moments = Moments()
    for region in source.regions():
        voxels = source.read(region)
        if voxels.any():
            moments.add(voxels)
        else:
            moments.add_zeros(voxels.size)
    return moments.summary()


def _scaled_to_uint16(source: VolumeSource, smallest: float, largest: float) -> VolumeSource:
    """Return a volume in whole numbers; 0 is no data, and what has data does not become it.

    Parameters
    ----------
    source : VolumeSource
        Exactly 0 where there is no data.
    smallest, largest : float
        Of its values. Without negative ones 0 is also the value 0, otherwise `smallest` becomes 1.

    Returns
    -------
    VolumeSource
        Its `slope` times a number plus its `intercept` is the value.
    """
    reach = largest - smallest if smallest < 0 else largest
    slope = reach / (_LARGEST_UINT16 - (smallest < 0)) if reach > 0 else 1.0
    intercept = smallest - slope if smallest < 0 else 0.0

    def read(region: Region) -> NDArray[Any]:
        values = source.read(region)
        known = (values != 0) & ~np.isnan(values)
        numbers = np.rint(
            (np.nan_to_num(values, posinf=largest, neginf=smallest) - intercept) / slope
        )
        scaled: NDArray[np.uint16] = np.clip(numbers, 1, _LARGEST_UINT16).astype(np.uint16)
        return np.where(known, scaled, np.uint16(0))

    shift = f" {intercept:+.9g}" if intercept else ""
    notes = (f"value = number x {slope:.9g}{shift}, 0 is no data", *source.notes)
    return replace(
        source, dtype=np.dtype(np.uint16), read=read, slope=slope, intercept=intercept, notes=notes
    )


def as_exported(
    level: ExportedLevel, dtype: str
) -> tuple[VolumeSource, tuple[float, float, float, float]]:
    """Return a level's values as ``float32`` or ``uint16``, and their statistics in that type."""
    source = level.source()
    statistics = _statistics_of(source)
    if dtype == "float32":
        return source, statistics
    scaled = _scaled_to_uint16(source, statistics[0], statistics[1])
    return scaled, _statistics_of(scaled)


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
