"""Whole chunks of an array on this machine: read, compared with checksums and decoded at once.

zarr reads a chunk into fresh memory, decodes it into fresh memory and copies it from there, after a
checksum has read the same file for itself. Four grids of 25 tiles took 1.05 s of processor time
that way and take 0.5 s here, checksums included: memory is used again, and a block of a file is
summed while the processor still holds it.
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.checksums import read_summed
from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.checking import endless_chunk
from mosaicflow.io.zarr.damage import UndecodableError
from mosaicflow.io.zarr.direct import Decoding, decoding_of
from mosaicflow.threads import inner_threads, map_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.checking import ChunkChecks
    from mosaicflow.io.zarr.location import Location

    Bytes = NDArray[np.uint8]

__all__ = ["LocalReader", "local_reader"]

# Share that a selection must have of the chunks it touches: zarr decodes parts of a chunk.
_LEAST_SHARE = 0.5
# Memory that no read uses now, the last used at the end.
_SPARE: list[Bytes] = []
# A buffer of more bytes is not kept, by judgement; chunks of a run have 5 to 20 MB.
_MOST_KEPT = 64 * 2**20
# A pipe is not waited for.
_OPEN = os.O_RDONLY | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class LocalReader:
    """Reads what consists of whole chunks, or nearly so, of one array.

    Parameters
    ----------
    location : Location
        The store, a folder.
    level : str
        Name of the array in it.
    array : zarr.Array
        The array, not sharded.
    decoding : Decoding
        From the stored bytes to numbers.
    checks : ChunkChecks or None
        What the chunks were written as.
    """

    location: Location
    level: str
    array: zarr.Array[Any]
    decoding: Decoding
    checks: ChunkChecks | None

    def read(self, selection: Sequence[int | slice]) -> NDArray[Any] | None:
        """Read a part of the array.

        Parameters
        ----------
        selection : sequence of int or slice
            What is to be read, in the array's own axes.

        Returns
        -------
        ndarray or None
            None where zarr's way is the shorter one, or the only one.

        Raises
        ------
        DamageError
            A chunk is not what was written.
        StoreError
            A chunk is a pipe or a device.
        UndecodableError
            A codec failed on one.
        """
        try:
            key = grid.parse_key(tuple(selection), self.array.shape)
        except IndexError:  # a step, or a place outside
            return None
        zipped = zip(key.region, self.array.shape, self.array.chunks, strict=True)
        touched = [grid.touched(*axis) for axis in zipped]
        if self._share(key.region, touched) < _LEAST_SHARE:
            return None
        found = np.empty(key.shape, self.decoding.dtype)
        indices = list(itertools.product(*touched))
        threads = min(inner_threads(), len(indices))
        map_threads(lambda index: self._fill(found, key.region, index), indices, threads)
        return found.reshape(key.value_shape)

    def _share(self, region: grid.Region, touched: Sequence[range]) -> float:
        """Give the share that a region has of the chunks it touches."""
        zipped = zip(region, touched, self.array.chunks, self.array.shape, strict=True)
        shares = (
            (part.stop - part.start)
            / max(1, min(at.stop * chunk, extent) - min(at.start * chunk, extent))
            for part, at, chunk, extent in zipped
        )
        return float(math.prod(shares))

    def _fill(self, found: NDArray[Any], region: grid.Region, index: tuple[int, ...]) -> None:
        """Read the part of one chunk that belongs to a region."""
        chunks = self.array.chunks
        whole = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunks, strict=True))
        part = tuple(
            slice(max(r.start, w.start), min(r.stop, w.stop))
            for r, w in zip(region, whole, strict=True)
        )
        out = found[grid.relative(part, region)]
        if part == whole and out.flags.c_contiguous:
            self._decode(index, out)
            return
        with _lent(math.prod(chunks) * out.itemsize) as memory:
            chunk = memory.view(out.dtype).reshape(chunks)
            self._decode(index, chunk)
            out[...] = chunk[grid.relative(part, whole)]

    def _decode(self, index: tuple[int, ...], out: NDArray[Any]) -> None:
        """Read a whole chunk into an array of its shape."""
        name = grid.chunk_name(self.level, self.array, index)
        checks = self.checks if self.checks is not None and self.checks.is_new(index) else None
        try:
            with self._content(name, summed=checks is not None) as (content, value):
                if checks is not None:
                    checks.judge(index, value)
                self._unpack(index, content, out)
        except (FileNotFoundError, NotADirectoryError):
            if checks is not None:
                checks.judge(index, None)
            out[...] = self.array.fill_value

    def _unpack(self, index: tuple[int, ...], content: Bytes, out: NDArray[Any]) -> None:
        try:
            self.decoding.into(content, out)
        except MemoryError:
            raise
        except Exception as error:  # each codec has errors of its own, such as zlib.error
            raise UndecodableError(self.array.metadata.encode_chunk_key(index)) from error

    @contextmanager
    def _content(self, name: str, *, summed: bool) -> Iterator[tuple[Bytes, str]]:
        """Read a file into memory that is lent; and its checksum, where it is wanted."""
        descriptor = os.open(os.path.join(self.location.address, name), _OPEN)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise endless_chunk(self.location, name)
            with _lent(status.st_size) as content:
                yield content, read_summed(descriptor, content, summed=summed)
        finally:
            os.close(descriptor)


@contextmanager
def _lent(n_bytes: int) -> Iterator[Bytes]:
    """Lend memory that was used before, which the system need not clear."""
    try:
        memory = _SPARE.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if len(memory) < n_bytes:
        memory = np.empty(n_bytes, np.uint8)
    try:
        yield memory[:n_bytes]
    finally:
        if len(memory) <= _MOST_KEPT:
            _SPARE.append(memory)


def local_reader(
    location: Location, level: str, array: zarr.Array[Any], checks: ChunkChecks | None
) -> LocalReader | None:
    """Return a reader of whole chunks; None where the array is stored in an unusual way.

    Parameters
    ----------
    location, level, array, checks
        As for `LocalReader`.
    """
    decoding = decoding_of(array) if array.shards is None else None
    if decoding is None or array.fill_value is None:
        return None
    return LocalReader(location, level, array, decoding, checks)
