"""Chunk and shard lattices: shapes, aligned regions, and keys of an assignment."""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning, RegionError

if TYPE_CHECKING:
    import zarr

__all__ = [
    "MAX_CHUNK_BYTES",
    "ChunksLike",
    "IndexKey",
    "Region",
    "check_aligned",
    "checked_shape",
    "chunk_name",
    "default_chunks",
    "expand_key",
    "indexed_regions",
    "normalize_chunks",
    "overlap",
    "parse_key",
    "regions",
    "relative",
    "shard_shape",
    "shifted",
    "show",
    "touched",
]

Region = tuple[slice, ...]
Index = int | slice | EllipsisType
IndexKey = Index | tuple[Index, ...]
ChunksLike = int | Sequence[int | Sequence[int]] | None

# Blosc refuses buffers of 2 GiB and more.
MAX_CHUNK_BYTES = 2**31 - 1
# Voxels of a chunk where nobody says: 16 MiB and 1 MiB of float32, quick to read over a network and
# few enough files. Doubled each way, a chunk of a volume has 128 MiB.
_DEFAULT_ZYX = (64, 256, 256)
_DEFAULT_YX = (512, 512)


def checked_shape(shape: Sequence[float]) -> tuple[int, ...]:
    """Return the shape of an array that can be stored, or raise."""
    # dask has NaN for sizes that it does not know yet.
    if len(shape) not in {2, 3} or not all(n >= 1 for n in shape):
        raise ArgumentError(
            f"shape {tuple(shape)} is not (z, y, x) or (y, x) with known, positive sizes"
        )
    return tuple(int(n) for n in shape)


def default_chunks(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the chunk shape of a slice or volume when none is asked for."""
    if len(shape) == 2:
        wanted: tuple[int, ...] = _DEFAULT_YX
    else:
        wanted = (1,) * (len(shape) - 3) + _DEFAULT_ZYX
    return tuple(max(1, min(w, n)) for w, n in zip(wanted, shape, strict=True))


def normalize_chunks(chunks: ChunksLike, shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return one chunk size per axis from an int, a flat tuple, or dask's nested `.chunks`.

    Parameters
    ----------
    chunks : int, sequence of int, or sequence of sequences of int, or None
        None takes the default for `shape`. Nested sizes must be regular but for the last one.
    shape : sequence of int
        Shape of the array.
    itemsize : int
        Bytes per element, to refuse chunks that no codec can hold.
    """
    if chunks is None:
        return default_chunks(shape)
    per_axis = [chunks] * len(shape) if isinstance(chunks, int) else list(chunks)
    if len(per_axis) != len(shape):
        raise ArgumentError(
            f"chunks {chunks!r} has {len(per_axis)} axes, but the array has {len(shape)}"
        )
    sizes = [_chunk_size(c, n) for c, n in zip(per_axis, shape, strict=True)]
    if math.prod(sizes) * itemsize > MAX_CHUNK_BYTES:
        raise ArgumentError(
            f"chunks {tuple(sizes)} hold {math.prod(sizes) * itemsize} bytes, more than the"
            " 2 GiB a chunk can have",
            remedy="use smaller chunks (a few MB each)",
        )
    return tuple(sizes)


def _chunk_size(entry: int | Sequence[int], extent: int) -> int:
    size = _regular_size(tuple(entry)) if isinstance(entry, Sequence) else operator.index(entry)
    if size == -1:
        size = extent
    if size < 1:
        raise ArgumentError(f"chunk size {size} is not a positive number")
    return max(1, min(size, extent))


def _regular_size(sizes: tuple[int, ...]) -> int:
    if not sizes:
        raise ArgumentError("an axis has an empty list of chunk sizes")
    largest = max(sizes)
    if any(size != sizes[0] for size in sizes[:-1]) or sizes[-1] > sizes[0]:
        warnings.warn(
            f"chunk sizes {sizes} are irregular; the largest, {largest}, is used throughout",
            OmeZarrWarning,
            stacklevel=4,
        )
    return int(largest)


def shard_shape(
    chunks: Sequence[int], factor: int | None, zarr_format: int
) -> tuple[int, ...] | None:
    """Return the shape of a shard: `factor` chunks along y and x, one along the other axes."""
    if factor is None:
        factor = 1 if zarr_format == 2 else 4
    if factor < 1:
        raise ArgumentError(f"sharding_factor {factor} is not 1 or more")
    if factor == 1:
        return None
    if zarr_format == 2:
        raise ArgumentError(
            f"sharding_factor {factor}: NGFF 0.4 (Zarr v2) has no shards;"
            " sharding needs --ngff_version 0.5"
        )
    lateral = len(chunks) - 2
    return tuple(c * (factor if axis >= lateral else 1) for axis, c in enumerate(chunks))


def regions(shape: Sequence[int], block: Sequence[int]) -> list[Region]:
    """Return the regions of a regular lattice that cover an array, in C order."""
    return [region for _, region in indexed_regions(shape, block)]


def indexed_regions(
    shape: Sequence[int], block: Sequence[int]
) -> list[tuple[tuple[int, ...], Region]]:
    """Return lattice index and region of every block that covers an array, in C order."""
    counts = [range(math.ceil(n / b)) for n, b in zip(shape, block, strict=True)]
    return [(index, _region_at(index, shape, block)) for index in itertools.product(*counts)]


def _region_at(index: Sequence[int], shape: Sequence[int], block: Sequence[int]) -> Region:
    zipped = zip(index, shape, block, strict=True)
    return tuple(slice(i * b, min((i + 1) * b, n)) for i, n, b in zipped)


@dataclass(frozen=True, slots=True)
class Key:
    """A parsed assignment key: one slice per axis, and the axes an integer took away."""

    region: Region
    dropped: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the region with all axes."""
        return tuple(s.stop - s.start for s in self.region)

    @property
    def value_shape(self) -> tuple[int, ...]:
        """Shape a value must have or broadcast to."""
        return tuple(n for axis, n in enumerate(self.shape) if axis not in self.dropped)


def parse_key(key: IndexKey, shape: Sequence[int]) -> Key:
    """Turn ints, slices of step 1 and an Ellipsis into one slice per axis."""
    entries = expand_key(key, len(shape))
    dropped = tuple(axis for axis, entry in enumerate(entries) if not isinstance(entry, slice))
    return Key(tuple(_axis_slice(e, n) for e, n in zip(entries, shape, strict=True)), dropped)


def expand_key(key: IndexKey, ndim: int) -> list[int | slice]:
    """Return one int or slice per axis."""
    entries = list(key) if isinstance(key, tuple) else [key]
    given = [entry for entry in entries if entry is not Ellipsis]
    if len(entries) - len(given) > 1:
        raise IndexError("an index can hold one Ellipsis only")
    if len(given) > ndim:
        raise IndexError(f"{len(given)} indices for an array with {ndim} axes")
    at = entries.index(Ellipsis) if len(given) < len(entries) else len(given)
    return [*given[:at], *[slice(None)] * (ndim - len(given)), *given[at:]]


def _axis_slice(entry: int | slice, extent: int) -> slice:
    if isinstance(entry, slice):
        start, stop, step = entry.indices(extent)
        if step != 1:
            raise IndexError(f"slices must have step 1, not {step}")
        return slice(start, max(start, stop))
    index = operator.index(entry)
    if not -extent <= index < extent:
        raise IndexError(f"index {index} is outside an axis of {extent}")
    index %= extent
    return slice(index, index + 1)


def check_aligned(region: Region, shape: Sequence[int], block: Sequence[int]) -> None:
    """Raise unless a region covers whole blocks.

    A block is a file: writing a part of it means to read, change and write it back, and two
    writers that do so lose each other's data without any error.
    """
    aligned = [_aligned_axis(*item) for item in zip(region, shape, block, strict=True)]
    if list(region) != aligned:
        raise RegionError(
            f"region {show(region)} does not cover whole blocks of {tuple(block)} in an array of"
            f" {tuple(shape)}; the nearest region that does is {show(aligned)}",
            remedy="write regions that start and end on chunk (shard) borders or at the array's end"
            " (write_regions lists them)",
        )


def _aligned_axis(part: slice, extent: int, block: int) -> slice:
    if part.start == part.stop:
        return part
    stop = min(math.ceil(part.stop / block) * block, extent)
    return slice(part.start // block * block, stop)


def show(region: Sequence[slice]) -> str:
    """Return a region as text."""
    return "[" + ", ".join(f"{part.start}:{part.stop}" for part in region) + "]"


def overlap(first: Region, second: Region) -> bool:
    """Whether two regions share a voxel."""
    zipped = zip(first, second, strict=True)
    return all(a.start < b.stop and b.start < a.stop for a, b in zipped)


def shifted(inner: Region, outer: Region) -> Region:
    """Return a region that was relative to the start of another one."""
    zipped = zip(inner, outer, strict=True)
    return tuple(slice(o.start + i.start, o.start + i.stop) for i, o in zipped)


def relative(part: Region, outer: Region) -> Region:
    """Return a region as seen from the start of another one."""
    zipped = zip(part, outer, strict=True)
    return tuple(slice(p.start - o.start, p.stop - o.start) for p, o in zipped)


def touched(part: int | slice, extent: int, block: int) -> range:
    """List the numbers of the blocks along an axis that an entry of a selection touches."""
    wanted = range(extent)[part] if isinstance(part, slice) else (range(extent)[part],)
    if not wanted:
        return range(0)
    return range(min(wanted[0], wanted[-1]) // block, max(wanted[0], wanted[-1]) // block + 1)


def chunk_name(level: str, array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    """Name the file of a chunk inside the store; an array without a group is a store itself."""
    return f"{level}/{array.metadata.encode_chunk_key(index)}".lstrip("/")
