"""Fetching chunks in a pool: each once, and a failed one again only after a pause."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaicflow.formats.streaming.cache import Chunk, ChunkCache, ChunkKey

__all__ = ["ChunkLoader"]

# Requests under way at once: a network answers them side by side. Twice as many hold twice the
# memory outside the cache and crowd a small server; half as many wait longer for distant stores.
_WORKERS = 8
# Seconds before a failed chunk is asked for again, doubled with every failure up to the second
# number: a restarted server is found soon, a dead one is not pestered.
_FIRST_PAUSE_S = 5.0
# Between two tries; doubled, a server that is back is noticed 10 minutes later
_LONGEST_PAUSE_S = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    count: int
    retry_at_s: float


class ChunkLoader:
    """Fetches chunks into a cache with several threads.

    Parameters
    ----------
    load : callable
        Returns the chunk of a key.
    cache : ChunkCache
        Where chunks are put.
    """

    def __init__(self, load: Callable[[ChunkKey], Chunk], cache: ChunkCache) -> None:
        self._load = load
        self._cache = cache
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._pending: dict[ChunkKey, Future[Chunk]] = {}
        self._unawaited: set[ChunkKey] = set()  # of the pending ones
        self._failures: dict[ChunkKey, _Failure] = {}
        self.notify: Callable[[], None] | None = None

    @property
    def errors(self) -> dict[ChunkKey, Exception]:
        """What the last attempt failed with, for every chunk that could not be had."""
        with self._lock:
            return {key: failure.error for key, failure in self._failures.items()}

    @property
    def pending(self) -> int:
        """Number of chunks asked for and not yet there."""
        return len(self._pending)

    def fetch(self, key: ChunkKey) -> Future[Chunk]:
        """Return the chunk to come: of the cache, of a fetch under way, or of a new one."""
        with self._lock:
            self._unawaited.discard(key)
            under_way = self._pending.get(key)
            if under_way is not None:
                return under_way
            kept = self._cache.get(key)
            if kept is None:
                return self._submit(key)
        done: Future[Chunk] = Future()
        done.set_result(kept)
        return done

    def request(self, key: ChunkKey) -> None:
        """Fetch a chunk in the background, unless it failed a moment ago."""
        with self._lock:
            idle = self._closed or self._rests(key)
            if not (idle or key in self._pending or key in self._cache):
                self._submit(key)
                self._unawaited.add(key)

    def rests(self, key: ChunkKey) -> bool:
        """Whether a chunk failed so recently that it is not to be asked for again."""
        with self._lock:
            return self._rests(key)

    def note_failure(self, key: ChunkKey, error: Exception) -> None:
        """Remember that a chunk cannot be had, and let it rest for a while."""
        with self._lock:
            before = self._failures.get(key)
            count = 1 if before is None else before.count + 1
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(count - 1, 10), _LONGEST_PAUSE_S)
            self._failures[key] = _Failure(error, count, time.monotonic() + pause_s)
        _log.warning(
            "level %d, chunk %s: %s; asked for again in %.0f s at the earliest",
            key[0],
            key[1],
            error,
            pause_s,
        )

    def forget_waiting(self) -> None:
        """Drop what was requested in the background and has not been begun."""
        with self._lock:
            for key in [k for k in self._unawaited if self._pending[k].cancel()]:
                self._forget(key)

    def close(self) -> None:
        """End the pool; what is under way ends by itself and calls nobody."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
            for key in [k for k, future in self._pending.items() if future.cancel()]:
                self._forget(key)
        if pool is not None:
            pool.shutdown(wait=False)

    def _submit(self, key: ChunkKey) -> Future[Chunk]:
        if self._closed:
            raise ValueError("the pyramid is closed")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="mosaicflow-stream")
        future = self._pending[key] = self._pool.submit(self._run, key)
        return future

    def _run(self, key: ChunkKey) -> Chunk:
        try:
            chunk = self._load(key)
        except Exception as error:  # whatever the array raises: it is noted and passed on
            self.note_failure(key, error)
            with self._lock:
                self._forget(key)
            self._call_back()
            raise
        # In the cache before it is no longer pending, so that nobody fetches it once more.
        self._cache.put(key, chunk)
        with self._lock:
            self._failures.pop(key, None)
            self._forget(key)
        self._call_back()
        return chunk

    def _rests(self, key: ChunkKey) -> bool:
        failure = self._failures.get(key)
        return failure is not None and time.monotonic() < failure.retry_at_s

    def _forget(self, key: ChunkKey) -> None:
        self._pending.pop(key, None)
        self._unawaited.discard(key)

    def _call_back(self) -> None:
        notify = self.notify
        if notify is None or self._closed:
            return
        try:
            notify()
        except Exception:  # a viewer's mistake must not pass for one of the store
            _log.exception("the callback for new chunks failed")
