"""Regions of an image pyramid, through a bounded cache of chunks."""

from __future__ import annotations

import math
import operator
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.streaming.cache import Chunk, ChunkCache, ChunkKey
from mosaicflow.formats.streaming.levels import Box, Level, Triple, parse_level
from mosaicflow.formats.streaming.loading import ChunkLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from numpy.typing import DTypeLike, NDArray

__all__ = ["ZarrPyramid"]

# 1 GiB: three planes and a rendered volume of a screen's size fit several times over; twice of it
# does not fit a laptop beside other programs.
_CACHE_BYTES = 1 << 30
# Chunks a blocking read holds beside the cache: two for each thread that fetches.
_AHEAD = 16


class ZarrPyramid:
    """Levels of one image, read region by region.

    Without a callback a read waits for what is missing. With one (`set_on_chunk_ready`) it returns
    at once, with the best data there is, and the callback tells when there is more.

    Parameters
    ----------
    levels : sequence of mapping
        Finest first: `array` (sliceable, axes z, y, x; its `chunks` are the unit of reading, an
        array without is one chunk), `shape` and `spacing` (z, y, x) and, optionally,
        `translation`, the position of the first voxel's centre.
    cache_bytes : int, optional
        Decoded bytes kept, all levels together.
    """

    def __init__(
        self, levels: Sequence[Mapping[str, Any]], cache_bytes: int = _CACHE_BYTES
    ) -> None:
        if not levels:
            raise ValueError("a pyramid needs at least one level")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes {cache_bytes} is negative")
        self._levels = tuple(parse_level(level) for level in levels)
        self._cache = ChunkCache(cache_bytes)
        self._loader = ChunkLoader(self._load, self._cache)

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self._levels)

    @property
    def cache_bytes(self) -> int:
        """Decoded bytes kept at most."""
        return self._cache.limit_bytes

    @property
    def cached_bytes(self) -> int:
        """Decoded bytes kept now."""
        return self._cache.used_bytes

    @property
    def pending(self) -> int:
        """Number of chunks asked for and not yet there."""
        return self._loader.pending

    @property
    def errors(self) -> dict[ChunkKey, Exception]:
        """Error of each chunk that could not be fetched, by (level, (z, y, x) of the chunk)."""
        return self._loader.errors

    def level_shape(self, level: int) -> tuple[int, int, int]:
        """Return the voxels of a level along z, y and x."""
        return self._level(level).shape

    def level_spacing(self, level: int) -> Triple:
        """Return the spacing of a level along z, y and x."""
        return self._level(level).spacing

    def level_spacings(self) -> list[Triple]:
        """Return the spacing of every level, finest first."""
        return [level.spacing for level in self._levels]

    def level_translation(self, level: int) -> Triple:
        """Return where the first voxel's centre of a level lies along z, y and x."""
        return self._level(level).translation

    def level_dtype(self, level: int) -> np.dtype[Any]:
        """Return the type in which a level is stored."""
        return self._level(level).dtype

    def set_on_chunk_ready(self, callback: Callable[[], None] | None) -> None:
        """Load in the background from now on, or, with None, wait for what is missing again.

        Parameters
        ----------
        callback : callable or None
            Called without arguments from a worker thread after each chunk, fetched or failed.
        """
        self._loader.notify = callback

    def read_region(
        self,
        level: int,
        *bounds: int,
        dtype: DTypeLike | None = np.float32,
    ) -> NDArray[Any]:
        """Read a box of voxels.

        Parameters
        ----------
        level : int
            0 is the finest.
        *bounds : int
            x0, x1, y0, y1, z0, z1: first and last voxel along each axis; the last one is part of
            the region.
        dtype : dtype, optional
            Type of the result; None keeps the stored one. Complex values become magnitudes in a
            real type.

        Returns
        -------
        ndarray, shape (z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
            With a callback set, missing parts show the best data of another level, and 0 where
            there is none.

        Raises
        ------
        IndexError
            The level or a part of the region does not exist.
        """
        own = self._level(level)
        x0, x1, y0, y1, z0, z1 = bounds
        box = _checked_box(((z0, z1), (y0, y1), (x0, x1)), own.shape)
        kind = own.dtype if dtype is None else np.dtype(dtype)
        out = np.zeros([part.stop - part.start for part in box], dtype=kind)
        for chunk_box, content in self._content(level, box):
            part = _common(chunk_box, box)
            target = out[_relative(part, box)]
            if content is None:
                self._fill(level, part, target)
            else:
                _assign(target, content[_relative(part, chunk_box)])
        return out

    def region_bytes(self, level: int, box: Box) -> int:
        """Return the decoded size of all chunks that a box touches.

        Parameters
        ----------
        level : int
            0 is the finest.
        box : (slice, slice, slice)
            Voxels along z, y and x.
        """
        own = self._level(level)
        return sum(own.bytes_of(index) for index in own.chunks_of(box))

    def is_loaded(self, level: int, box: Box) -> bool:
        """Whether a read of a box would find every chunk in the cache.

        Parameters
        ----------
        level : int
            0 is the finest.
        box : (slice, slice, slice)
            Voxels along z, y and x.
        """
        return all((level, index) in self._cache for index in self._level(level).chunks_of(box))

    def forget_waiting(self) -> None:
        """Drop requests that nobody has begun to answer: the view has moved on."""
        self._loader.forget_waiting()

    def close(self) -> None:
        """End the threads; what is cached can still be read."""
        self._loader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _level(self, level: int) -> Level:
        if not 0 <= operator.index(level) < len(self._levels):
            raise IndexError(f"level {level} does not exist (levels 0 to {len(self._levels) - 1})")
        return self._levels[level]

    def _load(self, key: ChunkKey) -> Chunk:
        return self._levels[key[0]].read_chunk(key[1])

    def _content(self, number: int, box: Box) -> Iterator[tuple[Box, Chunk | None]]:
        """Yield boxes that make up a region, with None for what is not there yet."""
        level = self._levels[number]
        indices = level.chunks_of(box)
        small = [i for i in indices if level.bytes_of(i) <= self._cache.limit_bytes]
        keys: list[ChunkKey] = [(number, index) for index in small]
        # What the cache cannot hold at once would be asked for again and again: it is waited for.
        fits = sum(level.bytes_of(index) for index in small) <= self._cache.limit_bytes
        at_once = self._loader.notify is not None and fits
        chunks = self._at_once(keys) if at_once else self._awaited(keys)
        yield from zip(map(level.box_of, small), chunks, strict=True)
        for index in set(indices).difference(small):
            part = _common(level.box_of(index), box)
            yield part, self._uncached((number, index), part)

    def _at_once(self, keys: list[ChunkKey]) -> Iterator[Chunk | None]:
        for key in keys:
            chunk = self._cache.get(key)
            if chunk is None:
                self._loader.request(key)
            yield chunk

    def _awaited(self, keys: list[ChunkKey]) -> Iterator[Chunk | None]:
        ahead: deque[Future[Chunk] | None] = deque()
        waiting = iter(keys)
        for _ in keys:
            while len(ahead) < _AHEAD and (key := next(waiting, None)) is not None:
                ahead.append(None if self._is_hopeless(key) else self._loader.fetch(key))
            future = ahead.popleft()
            try:
                yield None if future is None else future.result()
            except Exception:
                if self._loader.notify is None:
                    raise
                yield None  # noted in `errors`

    def _uncached(self, key: ChunkKey, part: Box) -> Chunk | None:
        """Read a part of a chunk that is larger than the whole cache."""
        if self._is_hopeless(key):
            return None
        try:
            return self._levels[key[0]].read(part)
        except Exception as error:  # whatever the array raises
            self._loader.note_failure(key, error)
            if self._loader.notify is None:
                raise
            return None

    def _is_hopeless(self, key: ChunkKey) -> bool:
        return self._loader.notify is not None and self._loader.rests(key)

    def _fill(self, number: int, box: Box, target: NDArray[Any]) -> None:
        """Show the best cached data of the other levels, the finest first."""
        missing = np.ones(target.shape, dtype=bool)
        for other in range(len(self._levels)):
            if other != number and missing.any():
                self._fill_from(other, self._levels[number], box, (target, missing))

    def _fill_from(
        self, other: int, own: Level, box: Box, into: tuple[NDArray[Any], NDArray[np.bool_]]
    ) -> None:
        target, missing = into
        source = self._levels[other]
        places = own.nearest_in(source, box)
        z, y, x = (slice(int(p[0]), int(p[-1]) + 1) for p in places)
        for index in self._cached_chunks(other, (z, y, x)):
            chunk = self._cache.get((other, index))
            if chunk is None:
                continue
            chunk_box = source.box_of(index)
            # Positions rise along each axis, so that a chunk serves one box of the target.
            spans = tuple(
                slice(*np.searchsorted(p, (part.start, part.stop)))
                for p, part in zip(places, chunk_box, strict=True)
            )
            picked = np.ix_(
                *(p[s] - c.start for p, s, c in zip(places, spans, chunk_box, strict=True))
            )
            _assign(target[spans], chunk[picked], missing[spans])
            missing[spans] = False

    def _cached_chunks(self, number: int, box: Box) -> list[tuple[int, int, int]]:
        """Return the cached chunks that a box touches; of a finer level it touches many others."""
        ranges = self._levels[number].chunk_ranges(box)
        cached = self._cache.of_level(number)
        if math.prod(map(len, ranges)) < len(cached):
            return self._levels[number].chunks_of(box)
        return [i for i in cached if all(n in r for n, r in zip(i, ranges, strict=True))]


def _checked_box(bounds: tuple[tuple[int, int], ...], shape: tuple[int, int, int]) -> Box:
    for name, (first, last), extent in zip("zyx", bounds, shape, strict=True):
        if not 0 <= operator.index(first) <= operator.index(last) < extent:
            raise IndexError(
                f"voxels {first} to {last} along {name}: the level has voxels 0 to {extent - 1}"
            )
    z, y, x = (slice(int(first), int(last) + 1) for first, last in bounds)
    return z, y, x


def _common(first: Box, second: Box) -> Box:
    z, y, x = (
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
    return z, y, x


def _relative(part: Box, outer: Box) -> Box:
    z, y, x = (slice(p.start - o.start, p.stop - o.start) for p, o in zip(part, outer, strict=True))
    return z, y, x


def _assign(
    target: NDArray[Any], values: NDArray[Any], where: NDArray[np.bool_] | bool = True
) -> None:
    if values.dtype.kind == "c" and target.dtype.kind != "c":
        values = np.abs(values)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is infinite
        np.copyto(target, values, casting="unsafe", where=where)
