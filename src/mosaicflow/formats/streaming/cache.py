"""Decoded chunks, the most recently used ones up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

__all__ = ["Chunk", "ChunkCache", "ChunkKey"]

Chunk: TypeAlias = NDArray[Any]
# Level, and index of the chunk along z, y and x.
ChunkKey: TypeAlias = tuple[int, tuple[int, int, int]]


class ChunkCache(Mapping[ChunkKey, Chunk]):
    """Chunks by level and index, never more than a number of bytes; safe between threads.

    Looking a chunk up makes it the most recently used one.

    Parameters
    ----------
    limit_bytes : int
        Decoded bytes kept at most, at every moment.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._chunks: OrderedDict[ChunkKey, Chunk] = OrderedDict()
        self._by_level: defaultdict[int, set[tuple[int, int, int]]] = defaultdict(set)
        self._used_bytes = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Decoded bytes kept now."""
        return self._used_bytes

    def __getitem__(self, key: ChunkKey) -> Chunk:
        with self._lock:
            chunk = self._chunks[key]
            self._chunks.move_to_end(key)
            return chunk

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[ChunkKey]:
        with self._lock:
            return iter(list(self._chunks))

    def of_level(self, level: int) -> list[tuple[int, int, int]]:
        """Return the indices of the chunks of one level that are kept."""
        with self._lock:
            return list(self._by_level[level])

    def put(self, key: ChunkKey, chunk: Chunk) -> None:
        """Keep a chunk; one that is larger than the whole cache is not kept.

        Parameters
        ----------
        key : tuple
            Level and index.
        chunk : ndarray
            Decoded values; not to be changed afterwards.
        """
        with self._lock:
            self._drop(key)
            if chunk.nbytes > self.limit_bytes:
                return
            while self._used_bytes + chunk.nbytes > self.limit_bytes:
                self._drop(next(iter(self._chunks)))
            self._chunks[key] = chunk
            self._by_level[key[0]].add(key[1])
            self._used_bytes += chunk.nbytes

    def _drop(self, key: ChunkKey) -> None:
        if key in self._chunks:
            self._used_bytes -= self._chunks.pop(key).nbytes
            self._by_level[key[0]].discard(key[1])
