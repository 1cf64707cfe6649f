"""A volume that is read box by box, whatever file it is in, and boxes of raw voxels on disk."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.copying import copy_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mosaicflow.io.convert.orientation import SpaceAffine

__all__ = ["RawVoxels", "VolumeSource", "finished_path", "spool_file"]


@dataclass(frozen=True)
class VolumeSource:
    """A volume with axes (z, y, x), read box by box.

    Parameters
    ----------
    shape : tuple of int
        Extent.
    dtype : numpy.dtype
        Element type of what `read` returns.
    chunks : tuple of int
        Extent of what is decoded as a whole whatever part of it is read.
    read : callable
        Returns the voxels of one region.
    resolution_mm : tuple of float or None
        Pitch per axis; None when the file does not tell.
    orientation : SpaceAffine or None
        Where the voxels lie in the world, when the file tells.
    slope, intercept : float
        Factor from the stored numbers to the values they stand for, and what is added then.
    notes : tuple of str
        What a reader of a copy should know, in short lines.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read: Callable[[grid.Region], NDArray[Any]]
    resolution_mm: tuple[float, ...] | None = None
    orientation: SpaceAffine | None = None
    slope: float = 1.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()

    def regions(self) -> list[grid.Region]:
        """Return regions that cover the volume, each some tens of megabytes."""
        step = copy_step(self.shape, self.chunks, self.chunks, self.dtype.itemsize)
        return grid.regions(self.shape, step)


@dataclass(frozen=True)
class RawVoxels:
    """Voxels that lie in a file one after the other, x fastest.

    The file is mapped for each access anew, so that what was read or written does not pile up in
    the memory of this process.

    Parameters
    ----------
    path : Path
        The file.
    dtype : numpy.dtype
        Element type with its byte order.
    shape : tuple of int
        Extent, the slowest axis first.
    offset : int
        Bytes before the first voxel.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int = 0

    def __getitem__(self, region: grid.Region) -> NDArray[Any]:
        return np.array(self._mapped("r")[region])

    def __setitem__(self, region: grid.Region, voxels: NDArray[Any]) -> None:
        self._mapped("r+")[region] = voxels

    def allocate(self) -> None:
        """Make the file as long as it will be."""
        with self.path.open("ab") as file:
            file.truncate(self.end)

    def fill(self, source: VolumeSource) -> None:
        """Make the file as long as it will be and write every voxel of a volume into it.

        What is zero anyway takes no room on the disk, where the file system allows that.
        """
        self.allocate()
        for region in source.regions():
            self._write_rows(region, source.read(region))

    def _write_rows(self, region: grid.Region, voxels: NDArray[Any]) -> None:
        """Write of each plane the rows between the first and the last that is not all zero."""
        rows = np.asarray(voxels.any(axis=-1))
        if not rows.any():
            return
        target = self._mapped("r+")[region]
        for plane in np.flatnonzero(rows.any(axis=-1)):
            filled = np.flatnonzero(rows[plane])
            part = slice(int(filled[0]), int(filled[-1]) + 1)
            target[plane, part] = voxels[plane, part]

    @property
    def end(self) -> int:
        """Bytes of the file up to and with the last voxel."""
        return self.offset + int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def _mapped(self, mode: Any) -> np.memmap[Any, Any]:  # noqa: ANN401  # numpy's literals
        return np.memmap(self.path, self.dtype, mode, self.offset, self.shape)


@contextmanager
def spool_file(folder: Path) -> Iterator[Path]:
    """Give a file for voxels that can only be had in another order than they are needed."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".spool.") as file:
        yield Path(file.name)


@contextmanager
def finished_path(output: Path) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes its name when all went well."""
    partial = output.with_name(f".tmp.{output.name}")  # the suffix decides about compression
    try:
        yield partial
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
