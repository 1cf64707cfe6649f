"""Writing one shard: chunks encoded in parallel, stored in order, never all in memory.

zarrs stores the chunks of a shard in the order in which its threads finish, so that the same data
gives other bytes at every run, and zarr-python holds the shard twice. A shard written here is the
same whatever the number of threads, and needs memory for a few chunks.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from mosaicflow.io.checksums import as_listed, write_summed
from mosaicflow.io.zarr import grid
from mosaicflow.threads import iterate_threads, shared_pool, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.location import Location

__all__ = ["full_chunk", "is_empty", "write_shard"]

# Marks a chunk that is not stored, in both columns of the index.
_ABSENT = np.iinfo(np.uint64).max


def write_shard(
    location: Location,
    path: str,
    array: zarr.Array[Any],
    region: grid.Region,
    render: Callable[[grid.Region], NDArray[Any]],
    encode: Callable[[NDArray[Any]], bytes],
) -> dict[str, str]:
    """Write the file that holds one region of a sharded array.

    Parameters
    ----------
    location : Location
        The store.
    path : str
        Name of the array in the store.
    array : zarr.Array
        The array; its index codecs are little-endian bytes and a checksum, at the end.
    region : tuple of slice
        One whole shard, clipped to the array.
    render : callable
        Returns the content of one chunk, given its place relative to `region`.
    encode : callable
        Returns the encoded bytes of a full chunk.

    Returns
    -------
    dict of str to str
        Name of the file in the store -> its crc32c as 8 hexadecimal digits; empty for a shard
        without content, which is no file.
    """
    if array.shards is None:
        raise ValueError(f"{path}: the array has no shards")
    index = tuple(p.start // s for p, s in zip(region, array.shards, strict=True))
    key = grid.chunk_name(path, array, index)
    shape = tuple(part.stop - part.start for part in region)
    counts = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))

    def encoded(chunk: tuple[tuple[int, ...], grid.Region]) -> tuple[int, bytes]:
        place = int(np.ravel_multi_index(chunk[0], counts))
        content = render(chunk[1])
        return place, b"" if is_empty(content) else encode(full_chunk(content, array.chunks))

    pieces = iterate_threads(
        encoded,
        grid.indexed_regions(shape, array.chunks),
        shared_pool(),
        limit=2 * thread_count(),
    )
    return _store(location, key, pieces, math.prod(counts))


def is_empty(content: NDArray[Any]) -> bool:
    """Whether a chunk is not stored: all of it is 0."""
    return not content.flat[0] and not content.any()


def full_chunk(content: NDArray[Any], chunk: Sequence[int]) -> NDArray[Any]:
    """Return a chunk padded with zeros to its full size, contiguous and little-endian."""
    little = content.dtype.newbyteorder("<")
    if content.shape == tuple(chunk):
        return np.ascontiguousarray(content, dtype=little)
    full = np.zeros(chunk, dtype=little)
    full[tuple(slice(0, n) for n in content.shape)] = content
    return full


def _store(
    location: Location, key: str, pieces: Iterator[tuple[int, bytes]], n_chunks: int
) -> dict[str, str]:
    first = next(((place, data) for place, data in pieces if data), None)
    if first is None:  # a shard without content is not a file
        return {}
    total = 0
    with location.open_new(key) as file:
        index = np.full((n_chunks, 2), _ABSENT, dtype="<u8")
        offset = 0
        for place, data in itertools.chain([first], pieces):
            if data:
                total = write_summed(file, np.frombuffer(data, np.uint8), total)
                index[place] = offset, len(data)
                offset += len(data)
        text = index.tobytes()
        text += int(google_crc32c.value(text)).to_bytes(4, "little")
        file.write(text)
    return {key: as_listed(google_crc32c.extend(total, text), text[-4:])}
