"""Lazy images that still know which part of a store they are."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Protocol

import dask.array as da
import numpy as np
from dask.base import get_scheduler
from dask.callbacks import Callback

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr import grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Source", "StoreArray", "align_blocks", "lazy_image"]

Part = tuple[int | slice, ...]

# Chunks along one axis: dask holds each boundary, and a million take half a second. A brain at 1 um
# has some hundred; only spoiled metadata has more, and would fill the memory.
_MOST_CHUNKS = 1_000_000


class Source(Protocol):
    """What a lazy image is read from: a level of a store."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    @property
    def location(self) -> object:
        """Where it lies, for messages."""
        ...

    def __getitem__(self, key: Any) -> NDArray[Any]:  # noqa: ANN401  # whatever the level takes
        """Read a box of voxels into a new array."""
        ...


class StoreArray(da.Array):
    """A dask array that is a box of voxels of one level.

    It is a dask array in all respects. Computed as it is, it is read in one go into the array
    that is returned; dask would run a task per chunk and copy all results once more to join them.
    """

    _reader: Source
    _part: Part
    _own_name: str

    @property
    def reader(self) -> Source | None:
        """What the voxels are read from; None once something was assigned to the array."""
        return self._reader if self.name == self._own_name else None

    def read(self, region: grid.Region) -> NDArray[Any]:
        """Read a box of these voxels straight into a new array."""
        part = self._narrowed(region)
        if part is None or self.reader is None:
            return np.asarray(self[region])
        return self._reader[part]

    def __getitem__(self, index: Any) -> da.Array:  # noqa: ANN401  # whatever dask takes
        """Cut, lazily."""
        found: da.Array = super().__getitem__(index)  # type: ignore[no-untyped-call]
        part = self._narrowed(index)
        if part is None or self.reader is None or found is self:
            return found
        return _attached(found, self._reader, part)

    def compute(self, **kwargs: Any) -> Any:  # noqa: ANN401  # an array or one number
        """Return the voxels.

        Parameters
        ----------
        **kwargs
            As for any dask array; with these, with a scheduler of the user's choice, or while a
            dask callback (a progress bar) is active, dask does the work.
        """
        if kwargs or self.reader is None or _dask_is_wanted():
            return super().compute(**kwargs)  # type: ignore[no-untyped-call]
        found = self._reader[self._part]
        return found if found.ndim else found[()]

    def _narrowed(self, index: Any) -> Part | None:  # noqa: ANN401
        """Return which part of the level remains, or None if it is not a box."""
        given = index if isinstance(index, tuple) else (index,)
        if not all(_is_plain(entry) for entry in given):
            return None
        entries = iter(grid.expand_key(given, self.ndim))
        return tuple(
            kept if isinstance(kept, int) else _cut(kept, next(entries)) for kept in self._part
        )


def lazy_image(reader: Source) -> StoreArray:
    """Return a level as a dask array, one dask chunk per chunk of the store.

    Raises
    ------
    FormatError
        The shape holds a million chunks along one axis.
    """
    if any(n > size * _MOST_CHUNKS for n, size in zip(reader.shape, reader.chunks, strict=True)):
        raise FormatError(
            f"{reader.location}: found shape {reader.shape} in chunks of {reader.chunks},"
            f" expected at most {_MOST_CHUNKS} chunks along an axis",
            remedy="write the store again: its metadata is spoiled",
        )
    # A name of its own for every call: the same path may hold other data a moment later.
    image = da.from_array(  # type: ignore[no-untyped-call]
        reader,
        chunks=reader.chunks,
        name=f"omezarr-{uuid.uuid4().hex}",
        meta=np.empty((0,) * reader.ndim, dtype=reader.dtype),
        asarray=False,
    )
    return _attached(image, reader, tuple(slice(0, n) for n in reader.shape))


def _attached(image: da.Array, reader: Source, part: Part) -> StoreArray:
    found: StoreArray = StoreArray(  # type: ignore[no-untyped-call]
        image.dask, image.name, image.chunks, meta=image._meta
    )
    found._reader, found._part, found._own_name = reader, part, image.name
    return found


def _dask_is_wanted() -> bool:
    return bool(Callback.active) or get_scheduler() is not None  # type: ignore[no-untyped-call]


def _is_plain(entry: object) -> bool:
    if isinstance(entry, slice):
        return entry.step in {None, 1}
    return entry is Ellipsis or (
        isinstance(entry, int | np.integer) and not isinstance(entry, bool)
    )


def _cut(kept: slice, entry: int | slice) -> int | slice:
    found = range(kept.start, kept.stop)[entry]
    return slice(found.start, max(found.start, found.stop)) if isinstance(found, range) else found


def align_blocks(data: da.Array, block: Sequence[int]) -> da.Array:
    """Rechunk so that every dask block covers whole files; larger aligned blocks are kept."""
    aligned = tuple(
        sizes if all(size % b == 0 for size in sizes[:-1]) else b
        for sizes, b in zip(data.chunks, block, strict=True)
    )
    rechunked: da.Array = data.rechunk(aligned)  # type: ignore[no-untyped-call]
    return rechunked
