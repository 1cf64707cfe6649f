"""The levels of a pyramid: their arrays, and where their chunks and voxels lie."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Box", "Level", "Triple", "parse_level", "pick_level"]

Triple: TypeAlias = tuple[float, float, float]
Index: TypeAlias = tuple[int, int, int]
# Half-open, along z, y and x.
Box: TypeAlias = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a pyramid.

    Parameters
    ----------
    array : object
        Anything that gives a numpy array for three slices (z, y, x).
    shape : tuple of int
        Voxels along z, y and x.
    spacing : tuple of float
        Distance of voxels along z, y and x.
    translation : tuple of float
        Position of the first voxel's centre along z, y and x, in the unit of `spacing`.
    borders : tuple of ndarray of int
        First voxel of each chunk along z, y and x, and the end of the last one.
    dtype : numpy.dtype
        Type of the voxels, in native byte order.
    """

    array: Any
    shape: Index
    spacing: Triple
    translation: Triple
    borders: tuple[NDArray[np.int64], ...]
    dtype: np.dtype[Any]

    def chunks_of(self, box: Box) -> list[Index]:
        """Return the indices of all chunks that a box touches, in C order."""
        return [(z, y, x) for z, y, x in itertools.product(*self.chunk_ranges(box))]

    def chunk_ranges(self, box: Box) -> tuple[range, ...]:
        """Return the indices along each axis of the chunks that a box touches."""
        return tuple(self._chunk_range(axis, part) for axis, part in enumerate(box))

    def box_of(self, index: Index) -> Box:
        """Return the voxels of a chunk."""
        z, y, x = (
            slice(int(edges[i]), int(edges[i + 1]))
            for edges, i in zip(self.borders, index, strict=True)
        )
        return z, y, x

    def bytes_of(self, index: Index) -> int:
        """Return the decoded size of a chunk."""
        return size_of(self.box_of(index)) * self.dtype.itemsize

    def read_chunk(self, index: Index) -> NDArray[Any]:
        """Return the voxels of a chunk, in native byte order, read-only."""
        box = self.box_of(index)
        direct = getattr(self.array, "read_chunk", None)
        return self.read(box) if direct is None else self._checked(direct(index), box)

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box, in native byte order, read-only."""
        return self._checked(np.asarray(self.array[box]), box)

    def _checked(self, found: NDArray[Any], box: Box) -> NDArray[Any]:
        expected = tuple(part.stop - part.start for part in box)
        if found.shape != expected:
            raise ValueError(f"the array gave shape {found.shape} for {box}, expected {expected}")
        # A mapped file would be read when it is shown, not now.
        copied = found.astype(self.dtype, copy=isinstance(self.array, np.memmap))
        view = copied.view()
        view.flags.writeable = False
        return view

    def nearest_in(self, other: Level, box: Box) -> list[NDArray[np.int64]]:
        """Return for each voxel of a box the nearest voxel of another level, axis by axis.

        Where two are equally near it is the first: in a pyramid of factor 2, the one that covers
        this voxel.
        """
        return [self._nearest_on(axis, part, other) for axis, part in enumerate(box)]

    def _nearest_on(self, axis: int, part: slice, other: Level) -> NDArray[np.int64]:
        positions = self.translation[axis] + np.arange(part.start, part.stop) * self.spacing[axis]
        there = (positions - other.translation[axis]) / other.spacing[axis]
        # Rounded first: a quotient such as 1.4999999999999998 is half way, too.
        nearest = np.ceil(np.round(there, 6) - 0.5).astype(np.int64)
        return np.clip(nearest, 0, other.shape[axis] - 1)

    def _chunk_range(self, axis: int, part: slice) -> range:
        edges = self.borders[axis]
        first = int(np.searchsorted(edges, part.start, side="right")) - 1
        return range(first, int(np.searchsorted(edges, part.stop, side="left")))


def size_of(box: Box) -> int:
    """Return the number of voxels of a box."""
    return math.prod(part.stop - part.start for part in box)


def parse_level(entry: Mapping[str, Any]) -> Level:
    """Return a level from the dict that describes it.

    Parameters
    ----------
    entry : mapping
        `array`, `shape`, `spacing` and, optionally, `translation`, all (z, y, x).

    Raises
    ------
    ValueError
        Shape, spacing or chunks make no sense.
    """
    array = entry["array"]
    z, y, x = (operator.index(n) for n in _three(entry["shape"], "shape"))
    if min(z, y, x) < 1:
        raise ValueError(f"shape {(z, y, x)} of a level is empty")
    spacing = _triple(entry["spacing"], "spacing")
    if min(spacing) <= 0:
        raise ValueError(f"spacing {spacing} of a level is not positive")
    given = getattr(array, "dtype", None)
    dtype = np.dtype(np.asarray(array[:1, :1, :1]).dtype if given is None else given)
    if dtype.kind not in "biufc":
        raise ValueError(f"voxels of type {dtype} are no numbers")
    return Level(
        array=array,
        shape=(z, y, x),
        spacing=spacing,
        translation=_triple(entry.get("translation", (0, 0, 0)), "translation"),
        borders=_borders(getattr(array, "chunks", None), (z, y, x)),
        dtype=dtype.newbyteorder("="),
    )


def pick_level(spacings: Sequence[Sequence[float]], world_per_pixel: float) -> int:
    """Return the level to show at a zoom: the coarsest one that loses nothing on the screen.

    Parameters
    ----------
    spacings : sequence of (float, float, float)
        Spacing of each level, finest first.
    world_per_pixel : float
        Length that a pixel of the screen shows, in the unit of the spacings.

    Returns
    -------
    int
        The coarsest level whose largest spacing is at most `world_per_pixel`; 0 if there is none.
    """
    fine = [number for number, spacing in enumerate(spacings) if max(spacing) <= world_per_pixel]
    return fine[-1] if fine else 0


def _borders(chunks: Any, shape: Index) -> tuple[NDArray[np.int64], ...]:  # noqa: ANN401
    """Return the borders of chunks given as sizes per axis (zarr), as lists (dask) or not."""
    per_axis = shape if chunks is None else _three(chunks, "chunks")
    return tuple(_axis_borders(entry, n) for entry, n in zip(per_axis, shape, strict=True))


def _axis_borders(entry: Any, extent: int) -> NDArray[np.int64]:  # noqa: ANN401  # int or list
    if isinstance(entry, Sequence):
        borders = np.cumsum([0, *entry], dtype=np.int64)
    elif entry < 1:
        raise ValueError(f"chunks of {entry} voxels")
    else:
        borders = np.minimum(np.arange(0, extent + entry, entry, dtype=np.int64), extent)
    if borders[-1] != extent or np.any(np.diff(borders) < 1):
        raise ValueError(f"chunks {entry} do not make up an axis of {extent} voxels")
    return borders


def _three(values: Sequence[Any], what: str) -> tuple[Any, Any, Any]:
    if len(values) != 3:
        raise ValueError(f"{what} {tuple(values)} of a level does not have 3 entries (z, y, x)")
    return values[0], values[1], values[2]


def _triple(values: Sequence[float], what: str) -> Triple:
    z, y, x = (float(value) for value in _three(values, what))
    if not all(map(math.isfinite, (z, y, x))):
        raise ValueError(f"{what} {(z, y, x)} of a level is not finite")
    return z, y, x
