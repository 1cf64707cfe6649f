"""Points of records in angstrom, and the voxels that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.formats.ground.records import GeometryData, number_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


__all__ = [
    "angstrom",
    "common_sampling",
    "enough_voxels",
    "points_of",
    "scaled",
    "triple",
    "voxel_counts",
]


def triple(sampling: ArrayLike) -> NDArray[np.float64]:
    """Give a sampling along x, y and z, all positive."""
    rate = np.broadcast_to(np.asarray(sampling, dtype=np.float64), 3)
    if not np.all(np.isfinite(rate) & (rate > 0)):
        raise ValueError(f"sampling {rate.tolist()}, positive numbers are expected")
    return rate


def points_of(record: GeometryData) -> NDArray[np.float64]:
    """Return a record's points (N, 3), all finite, in its own units."""
    vertices = [] if record.vertices is None else record.vertices
    points = number_table(vertices, "vertices", 3, np.float64)
    if not np.all(np.isfinite(points)):
        raise ValueError("a point is not finite and cannot be written")
    return points


def angstrom(record: GeometryData) -> NDArray[np.float64]:
    """Return a record's points (N, 3) in angstrom."""
    return np.asarray(points_of(record) * triple(record.sampling))


def scaled(record: GeometryData, sampling: ArrayLike | None) -> NDArray[np.float64]:
    """Return a record's points (N, 3) in units of `sampling`; as they are without."""
    return (
        points_of(record) if sampling is None else np.asarray(angstrom(record) / triple(sampling))
    )


def common_sampling(
    records: Sequence[GeometryData], sampling: ArrayLike | None
) -> NDArray[np.float64]:
    """Choose one sampling (3,) for all records: the one given, else the coarsest."""
    if sampling is not None:
        return triple(sampling)
    rates = [triple(record.sampling) for record in records]
    return np.asarray(np.max(rates, axis=0)) if rates else np.ones(3)


def enough_voxels(records: Sequence[GeometryData], rate: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the voxels along x, y and z that hold all points."""
    clouds = map(angstrom, records)
    largest = [(points / rate).max(axis=0) for points in clouds if len(points)]
    if not largest:
        return np.ones(3, dtype=np.int64)
    # Rounded first: 3 A / 0.1 A is a little less than 30 in floating point.
    size = np.floor(np.round(np.max(largest, axis=0), 6)).astype(np.int64) + 1
    return np.asarray(np.maximum(size, 1))


def voxel_counts(shape: ArrayLike | None) -> NDArray[np.int64]:
    """Read a shape of voxels along x, y and z, none below 1."""
    counts = number_table(np.atleast_2d(np.asarray(shape)), "shape", 3, np.int64)[0]
    if counts.min() < 1:
        raise ValueError(f"shape {counts.tolist()}, numbers of voxels (x, y, z) are expected")
    return np.asarray(counts)
