"""Points as a volume of labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.placed_points import (
    angstrom,
    common_sampling,
    enough_voxels,
    voxel_counts,
)
from mosaicflow.formats.volumes.files import write_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from mosaicflow.formats.ground.records import GeometryData
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["write_volume"]


def write_volume(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    *,
    file_format: str | None = None,
    **_: object,
) -> None:
    """Write records as a label volume: index + 1 at each point, later records win.

    Parameters
    ----------
    records : sequence of GeometryData
        Points; those outside are dropped with a `UserWarning`.
    path : str or path-like
        Target.
    sampling : array-like, optional
        Voxel size, angstrom; the records' own if not given.
    shape : array-like, shape (3,), optional
        Voxels along x, y, z; just enough for the points if not given.
    relion_5_format
        Not used.
    file_format : str, optional
        em, h5, nii, nrrd, anything else is MRC; from the extension if not given.

    Raises
    ------
    ValueError
        If there are more records than labels that a volume can hold, 2**24.
    """
    rate = common_sampling(records, sampling)
    size = enough_voxels(records, rate) if shape is None else voxel_counts(shape)
    labels = np.zeros(tuple(size.tolist()), dtype=_label_type(len(records)))
    dropped = 0
    for index, record in enumerate(records):
        places = np.round(angstrom(record) / rate)
        inside = np.all((places >= 0) & (places < size), axis=1)
        dropped += int(np.count_nonzero(~inside))
        x, y, z = places[inside].astype(np.int64).T
        labels[x, y, z] = index + 1
    if dropped:
        warnings.warn(
            f"{path}: {dropped} points lie outside of {size.tolist()} voxels and are dropped",
            stacklevel=2,
        )
    write_density(labels, path, sampling_rate=rate, file_format=file_format)


def _label_type(count: int) -> type[np.number[Any]]:
    """Type of labels up to `count` that every format has."""
    if count < 127:
        return np.int8
    if count < 65535:
        return np.uint16
    # Whole numbers beyond are no longer all different in float32.
    if count > 2**24:
        raise ValueError(f"{count} labels: float32 holds {2**24} at most")
    return np.float32
