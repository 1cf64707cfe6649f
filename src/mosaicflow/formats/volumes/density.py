"""A volume to be written: its type, its statistics, its sections in file order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Density", "exact_dtype"]

# Voxels of a slab: 16 MB of float32, large for a disk and small in memory. Doubled, twice that.
_BLOCK_VOXELS = 1 << 22


@dataclass(frozen=True, slots=True)
class Density:
    """A volume with its place in space.

    Attributes
    ----------
    values : ndarray, shape (nx, ny, nz)
        Indexed [x, y, z]; may be a memory map.
    dtype : dtype
        Type to be written.
    sampling, origin : tuple of float
        Voxel size and position of the first voxel, (x, y, z), angstrom.
    """

    values: NDArray[Any]
    dtype: np.dtype[Any]
    sampling: tuple[float, float, float]
    origin: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.values.shape
        return (x, y, z)

    def sections(self) -> Iterator[NDArray[Any]]:
        """Yield blocks [z, y, x] of the type to be written, one after another along z."""
        for block in _blocks(self.values):
            yield np.ascontiguousarray(block.transpose(2, 1, 0)).astype(self.dtype, copy=False)

    def statistics(self) -> tuple[float, float, float, float]:
        """Smallest, largest and mean value and the deviation from it; of the finite values only.

        Complex values have none: largest below smallest, which MRC2014 defines as "not known".
        """
        moments = Moments()
        if self.dtype.kind != "c":
            for block in _blocks(self.values):
                moments.add(block)
        return moments.summary()


class Moments:
    """Smallest, largest and mean value and the deviation from it, of blocks as they come."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = 0.0
        self._smallest, self._largest = np.inf, -np.inf

    def add(self, block: NDArray[Any]) -> None:
        """Count the finite values of a block."""
        values = block[np.isfinite(block)].astype(np.float64, copy=False)
        if not values.size:
            return
        self._smallest = min(self._smallest, float(values.min()))
        self._largest = max(self._largest, float(values.max()))
        self._join(values.size, float(values.mean()), float(values.var()))

    def add_zeros(self, count: int) -> None:
        """Count that many zeros."""
        self._smallest, self._largest = min(self._smallest, 0.0), max(self._largest, 0.0)
        self._join(count, 0.0, 0.0)

    def _join(self, count: int, mean: float, variance: float) -> None:
        # Joined block by block: sums of squares would cancel far from zero.
        step = mean - self._mean
        total = self._count + count
        self._squares += variance * count + step**2 * self._count * count / total
        self._mean += step * count / total
        self._count = total

    def summary(self) -> tuple[float, float, float, float]:
        """Return smallest, largest, mean and deviation; as MRC has them where nothing counted."""
        if not self._count:
            return 0.0, -1.0, -2.0, -1.0
        deviation = float(np.sqrt(self._squares / self._count))
        return self._smallest, self._largest, self._mean, deviation


def exact_dtype(values: NDArray[Any], possible: Sequence[str]) -> np.dtype[Any]:
    """Choose the type for a format that cannot hold all types.

    Parameters
    ----------
    values : ndarray
        The volume.
    possible : sequence of str
        Types the format has, smallest integers first, e.g. ``("i1", "i2", "f4")``.

    Returns
    -------
    dtype
        The values' own type; for integers else the first that holds all of them exactly; for
        floats and complex numbers else the widest there is.

    Raises
    ------
    ValueError
        If there is none.
    """
    types = [np.dtype(name) for name in possible]
    native = values.dtype.newbyteorder("=")
    if native in types:
        return native
    if native.kind in "biu":
        return _integer_dtype(values, types)
    of_kind = [dtype for dtype in types if native.kind in "fc" and dtype.kind == native.kind]
    if not of_kind:
        raise ValueError(
            f"values of type {values.dtype} cannot be written in this format, which has "
            f"{', '.join(map(str, types))}"
        )
    widest = max(of_kind, key=lambda dtype: dtype.itemsize)
    _require_range(values, widest)
    return widest


def _integer_dtype(values: NDArray[Any], types: list[np.dtype[Any]]) -> np.dtype[Any]:
    smallest = min(int(block.min()) for block in _blocks(values))
    largest = max(int(block.max()) for block in _blocks(values))
    for dtype in types:
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            if limits.min <= smallest and largest <= limits.max:
                return dtype
    for dtype in types:
        if dtype.kind == "f" and dtype.itemsize >= 4 and _fits(values, dtype):
            return dtype
    raise ValueError(
        f"{values.dtype} values from {smallest} to {largest}: no type of this format holds them "
        "exactly; relabel them, or write h5"
    )


def _fits(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limit = 2.0 ** (np.finfo(dtype).nmant + 1)
    for block in _blocks(values):
        converted = block.astype(dtype)
        # Beyond 2**63 the way back overflows; nothing there needs to be let in.
        if not np.all((np.abs(converted) < 2.0**63) & (converted == block.astype(np.longdouble))):
            return False
        if not np.all((np.abs(converted) <= limit) | (converted.astype(block.dtype) == block)):
            return False
    return True


def _require_range(values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if dtype.itemsize >= values.dtype.itemsize:
        return
    largest = float(np.finfo(dtype).max)
    for block in _blocks(values):
        parts = (block.real, block.imag) if dtype.kind == "c" else (block,)
        for part in parts:
            if np.any(np.isfinite(part) & (np.abs(part) > largest)):
                raise ValueError(f"values beyond {largest:.3g} do not fit {dtype}")


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    n_x, n_y, n_z = values.shape
    thickness = max(1, _BLOCK_VOXELS // (n_x * n_y))
    for start in range(0, n_z, thickness):
        yield values[:, :, start : start + thickness]


def as_triple(
    value: ArrayLike, name: str, *, smallest: float = -np.inf
) -> tuple[float, float, float]:
    """Spread a number or (x, y, z) to three finite numbers.

    Raises
    ------
    ValueError
        If it is neither, or one is below `smallest`.
    """
    try:
        given = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}, a number or (x, y, z) is expected") from error
    if given.shape not in ((), (1,), (3,)) or not np.all(np.isfinite(given)):
        raise ValueError(f"{name} is {value!r}, a number or (x, y, z) is expected")
    if given.min() < smallest:
        raise ValueError(f"{name} is {value!r}, at least {smallest:g} is expected")
    x, y, z = np.broadcast_to(given, 3).tolist()
    return (x, y, z)
