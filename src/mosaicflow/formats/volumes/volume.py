"""A volume on disk, read a slab at a time, and the point clouds of its labels."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, NotASegmentationError
from mosaicflow.formats.ground.grouping import split_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = [
    "MAX_CLUSTER",
    "Volume",
    "count_distinct",
    "label_points",
    "points_from_flat_array",
    "require_labels",
    "require_plausible_size",
]

# Labels that a picture can tell apart and a list can show; a density misread has many more.
MAX_CLUSTER = 10_000
# Voxels looked at to tell labels from a density (0.5 MB of float32), and planes they lie in: of any
# volume the same. Doubled, opening reads twice as much.
_SAMPLES = 125_000
_SAMPLED_PLANES = 50
# Temporary arrays of a slab take about 30 bytes a voxel.
_SLAB_VOXELS = 1 << 22
# The background of a compressed file costs nothing on disk, but its voxels must still be visited.
_MOST_VOXELS_PER_BYTE = 1 << 12
# (2**28: 1 GiB of float32) so much fits anywhere; above, the file must be as large
_ALWAYS_ALLOWED_VOXELS = 1 << 28


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume whose voxels stay on disk until they are asked for.

    Attributes
    ----------
    path : str or path-like
        The file, for messages.
    values : array-like, shape (nx, ny, nz)
        Indexed [x, y, z]; a memory map or an HDF5 dataset.
    sampling : tuple of float
        Voxel size along x, y, z in the file's unit, angstrom where the format names one.
    slow_axis : int
        The axis along which a slab is one piece of the file.
    scale : tuple of float
        Slope and intercept that turn stored into meant values.
    """

    path: FilePath
    values: Any
    sampling: tuple[float, float, float]
    slow_axis: int = 2
    scale: tuple[float, float] = (1.0, 0.0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.values.shape
        return (int(x), int(y), int(z))

    def slab(self, start: int, stop: int) -> NDArray[Any]:
        """Return voxels [x, y, z] between two positions on the slow axis."""
        index: list[slice] = [slice(None)] * 3
        index[self.slow_axis] = slice(start, stop)
        return self._scaled(np.asarray(self.values[tuple(index)]))

    def slabs(self, skipping: Collection[int] = ()) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first position on the slow axis, voxels [x, y, z]), less the positions to skip."""
        length = self.shape[self.slow_axis]
        plane = int(np.prod(self.shape, dtype=np.int64)) // length
        thickness = max(1, _SLAB_VOXELS // plane)
        for start in range(0, length, thickness):
            if start in skipping:
                continue
            yield start, self.slab(start, min(start + thickness, length))
            self._forget_pages()

    def sample(self) -> NDArray[Any]:
        """Return at most 125000 values at fixed places all over the volume, shape (n,)."""
        size = int(np.prod(self.shape, dtype=np.int64))
        if size <= _SAMPLES:
            return self.slab(0, self.shape[self.slow_axis]).ravel()
        length = self.shape[self.slow_axis]
        positions = np.unique(np.linspace(0, length - 1, _SAMPLED_PLANES).astype(int))
        share = _SAMPLES // len(positions)
        values = []
        for position in positions.tolist():
            values.append(_thinned(self.slab(position, position + 1), share))
            self._forget_pages()
        return np.concatenate(values)

    def _forget_pages(self) -> None:
        """Give back the memory of what was read, or a map of 10 GB ends up resident as a whole."""
        mapping = getattr(self.values, "_mmap", None)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def _scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        slope, intercept = self.scale
        return values if self.scale == (1.0, 0.0) else values * slope + intercept


def _thinned(plane: NDArray[Any], count: int) -> NDArray[Any]:
    # In the order of memory, which copies only what is taken; and a copy that must be, or the few
    # values would keep their whole plane in memory.
    return plane.ravel(order="K")[:: -(-plane.size // count)].copy()


def require_plausible_size(path: FilePath, voxels: int, file_bytes: int) -> None:
    """Refuse a compressed volume that announces far more than its bytes can hold.

    Raises
    ------
    FormatError
        If it does.
    """
    if voxels > max(_ALWAYS_ALLOWED_VOXELS, file_bytes * _MOST_VOXELS_PER_BYTE):
        raise FormatError(path, f"{voxels} voxels announced by a file of {file_bytes} bytes")


def count_distinct(volume: Volume) -> int:
    """Count the distinct values among those that `Volume.sample` takes."""
    return len(np.unique(volume.sample()))


def require_labels(volume: Volume, max_cluster: int = MAX_CLUSTER) -> None:
    """Refuse a volume that is no segmentation.

    Raises
    ------
    NotASegmentationError
        If its values are complex, or more than `max_cluster` are distinct among those sampled.
    """
    if volume.values.dtype.kind == "c":
        raise NotASegmentationError(volume.path, "complex values: this is no segmentation")
    if volume.values.dtype.kind not in "biuf":
        raise FormatError(volume.path, f"values of type {volume.values.dtype}")
    distinct = count_distinct(volume)
    if distinct > max_cluster:
        raise NotASegmentationError(
            volume.path,
            f"more than {max_cluster} distinct values ({distinct} sampled): a density, no labels",
            remedy="raise max_cluster if it is a segmentation all the same",
        )


def label_points(volume: Volume) -> tuple[list[Any], list[NDArray[np.float32]]]:
    """Collect the voxels of each label, in two passes so that nothing is held twice.

    Parameters
    ----------
    volume : Volume
        Zero and NaN are background.

    Returns
    -------
    labels : list
        Distinct values, ascending.
    points : list of ndarray, shape (N, 3), float32
        Voxel indices (x, y, z) of each, in file order.

    Raises
    ------
    FormatError
        If a voxel is infinite.
    """
    counts, empty = _label_counts(volume)
    _check_background(volume, counts)
    labels = sorted(counts)
    points = {label: np.empty((counts[label], 3), dtype=np.float32) for label in labels}
    filled = dict.fromkeys(labels, 0)
    for start, slab in volume.slabs(skipping=empty):
        for label, rows, coordinates in _grouped(slab, volume.slow_axis, start):
            at = filled[label]
            filled[label] = at + len(rows)
            for axis in range(3):
                points[label][at : at + len(rows), axis] = coordinates[axis][rows]
    return labels, [points[label] for label in labels]


def _check_background(volume: Volume, counts: dict[Any, int]) -> None:
    """Refuse bytes that are stored less 128 without a mark that says so."""
    values = volume.values
    if values.dtype == np.int8 and 2 * counts.get(-128, 0) > math.prod(values.shape):
        raise FormatError(
            volume.path,
            "most voxels are -128: bytes that were stored less 128, as IMOD does, without its mark",
            remedy="save it as 16-bit integers, for example with 'newstack -mode 1'",
        )


def _label_counts(volume: Volume) -> tuple[dict[Any, int], set[int]]:
    """Voxels of each label, and the positions of the slabs that have none."""
    counts: dict[Any, int] = {}
    empty: set[int] = set()
    for start, slab in volume.slabs():
        values, numbers = _distinct(_foreground(_flat(slab, volume.slow_axis))[1])
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise FormatError(volume.path, "a voxel is infinite")
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
        if not len(values):
            empty.add(start)
    return counts, empty


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if values.dtype.kind in "biu" and values.dtype.itemsize <= 2:
        # Counting is linear, sorting is not; most segmentations have such small numbers.
        unsigned = np.dtype(f"u{values.dtype.itemsize}")
        numbers = np.bincount(values.view(unsigned))
        found = np.flatnonzero(numbers)
        return found.astype(unsigned).view(values.dtype), numbers[found]
    return np.unique(values, return_counts=True)


def _flat(slab: NDArray[Any], slow_axis: int) -> NDArray[Any]:
    """Voxels in file order: the slow axis first, then the others as far as they are from x."""
    return np.ascontiguousarray(slab.transpose(_order(slab, slow_axis))).reshape(-1)


def _order(slab: NDArray[Any], slow_axis: int) -> list[int]:
    rest = [axis for axis in range(3) if axis != slow_axis]
    return [slow_axis, *sorted(rest, key=lambda axis: -abs(slab.strides[axis]))]


def _foreground(flat: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    places = np.flatnonzero(flat)
    values = flat[places]
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "f":
        known = ~np.isnan(values)
        if not known.all():
            places, values = places[known], values[known]
    return places, values


def _grouped(
    slab: NDArray[Any], slow_axis: int, start: int
) -> Iterator[tuple[Any, NDArray[np.intp], list[NDArray[Any]]]]:
    """Yield each label of a slab with its rows in the three coordinate arrays."""
    order = _order(slab, slow_axis)
    places, values = _foreground(_flat(slab, slow_axis))
    # Half the width halves the time of the divisions; a slab is small enough.
    rest, fast = np.divmod(places.astype(np.uint32), np.uint32(slab.shape[order[2]]))
    slow, middle = np.divmod(rest, np.uint32(slab.shape[order[1]]))
    coordinates: list[NDArray[Any]] = [fast] * 3
    for axis, column in zip(order, (slow + np.uint32(start), middle, fast), strict=True):
        coordinates[axis] = column
    for value, rows in split_by(values):
        yield value.item(), rows, coordinates


def points_from_flat_array(
    arr: NDArray[Any], dims: tuple[int, int, int], max_cluster: int = MAX_CLUSTER
) -> list[NDArray[np.float32]]:
    """Split the voxels of a label volume by value.

    Parameters
    ----------
    arr : ndarray, shape (nx * ny * nz,)
        Values, x fastest; 0 and NaN are background.
    dims : tuple of int
        (nx, ny, nz).
    max_cluster : int
        Most distinct values of a segmentation.

    Returns
    -------
    list of ndarray, shape (N, 3), float32
        Voxel indices (x, y, z) of each value, values ascending; empty if all is background.

    Raises
    ------
    NotASegmentationError
        If more than `max_cluster` values are distinct.
    ValueError
        If `arr` has another size than `dims` says.
    """
    flat = np.asarray(arr).reshape(-1)
    n_x, n_y, n_z = (int(n) for n in dims)
    if flat.size != n_x * n_y * n_z:
        raise ValueError(f"{flat.size} values for dims {n_x} x {n_y} x {n_z}")
    if flat.size == 0:
        return []
    volume = Volume("array", flat.reshape(n_z, n_y, n_x).transpose(2, 1, 0), (1.0, 1.0, 1.0))
    require_labels(volume, max_cluster)
    return label_points(volume)[1]
