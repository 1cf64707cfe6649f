"""A volume that is read slab by slab, whatever file it is in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["VolumeSource", "finished_path", "storable_dtype"]

# Planes held at a time while a file is written or read.
_SLAB_BYTES = 64 * 2**20


@dataclass(frozen=True)
class VolumeSource:
    """A volume with axes (z, y, x) or a plane with axes (y, x), read along its first axis.

    Parameters
    ----------
    shape : tuple of int
        Extent.
    dtype : numpy.dtype
        Element type of what `read` returns.
    resolution_mm : tuple of float or None
        Pitch per axis; None when the file does not tell.
    read : callable
        Returns the samples from one index of the first axis to another.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    resolution_mm: tuple[float, ...] | None
    read: Callable[[int, int], NDArray[Any]]

    def slabs(self, step: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield start index and samples of slabs along the first axis."""
        row = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        step = step or max(1, _SLAB_BYTES // max(1, row))
        for start in range(0, self.shape[0], step):
            yield start, self.read(start, min(start + step, self.shape[0]))


def storable_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type a store keeps values of another type in without changing them."""
    if dtype.name in {"uint8", "uint16", "float32", "float64", "complex64"}:
        return dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    exact = dtype.kind in "iu" and dtype.itemsize <= 2
    return np.dtype(np.float32 if exact or dtype == np.float16 else np.float64)


@contextmanager
def finished_path(output: Path) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes its name when all went well."""
    partial = output.with_name(f".tmp.{output.name}")  # the suffix decides about compression
    try:
        yield partial
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
