"""One place that sets the size of every thread pool, and an ordered, bounded thread map."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "inner_threads",
    "is_limited",
    "iterate_threads",
    "limit_threads",
    "map_threads",
    "shared_pool",
    "thread_count",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

# The work is parallel over chunks, so a BLAS call inside a worker must not open a pool of its own.
_SERIAL_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLOSC_NTHREADS",
)
# Read at import by zarr (donfig), by the Rust pool below zarrs, and by dask.
_SHARED_POOLS = ("ZARR_THREADING__MAX_WORKERS", "RAYON_NUM_THREADS", "DASK_NUM_WORKERS")
_LIMIT = "MOSAICFLOW_THREADS"


def limit_threads(n: int) -> None:
    """Let this process use `n` threads: numeric libraries get one each, chunk pools get `n`.

    The numeric libraries read their variables when they are loaded, so call this before numpy is
    imported. Pools of zarr and dask are also set when these are loaded already; arrays opened
    earlier keep the pool they were opened with.

    Parameters
    ----------
    n : int
        Number of threads, at least 1.
    """
    if n < 1:
        raise ValueError(f"limit_threads: {n} is not a number of threads (expected 1 or more)")
    os.environ.update(dict.fromkeys(_SERIAL_POOLS, "1"))
    os.environ.update(dict.fromkeys((*_SHARED_POOLS, _LIMIT), str(n)))
    if (zarr := sys.modules.get("zarr")) is not None:
        zarr.config.set({"threading.max_workers": n})
    if (dask := sys.modules.get("dask")) is not None:
        dask.config.set(num_workers=n)


def is_limited() -> bool:
    """Whether `limit_threads` was called, here or in the parent process: a process of ours."""
    return _LIMIT in os.environ


def thread_count() -> int:
    """Return the number of threads this process may use.

    Returns
    -------
    int
        The value given to `limit_threads`, here or in the parent process; otherwise the number of
        processors this process may run on.
    """
    limit = os.environ.get(_LIMIT, "")
    return int(limit) if limit.isdigit() and int(limit) > 0 else len(os.sched_getaffinity(0))


def inner_threads() -> int:
    """Return the number of threads for the parts of one read or write.

    Returns
    -------
    int
        `thread_count`; 1 in a thread of a pool, whose fellows keep the processors busy.
    """
    is_alone = threading.current_thread() is threading.main_thread()
    return thread_count() if is_alone else 1


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """Apply `function` to every item with several threads and return the results in order.

    Parameters
    ----------
    function : callable
        Called with one item.
    items : iterable
        Consumed lazily: at most twice as many items as threads are under way, so that a long
        iterable of large arrays is never held as a whole.
    threads : int
        Number of worker threads; 1 runs everything in the calling thread.

    Returns
    -------
    list
        One result per item, in the order of the items. The first error cancels what has not
        started and is raised.
    """
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="mosaicflow") as pool:
        return list(iterate_threads(function, items, pool, limit=2 * threads))


def iterate_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    pool: ThreadPoolExecutor,
    *,
    limit: int,
) -> Iterator[Result]:
    """Yield the results of `function` in the order of the items, working ahead in a pool.

    Parameters
    ----------
    function : callable
        Called with one item.
    items : iterable
        Consumed lazily.
    pool : ThreadPoolExecutor
        Where the calls run. They must not wait for the same pool.
    limit : int
        Number of items under way, finished results that wait for their turn included.

    Yields
    ------
    object
        One result per item. The first error cancels what has not started and is raised.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            if len(pending) >= limit:
                yield pending.popleft().result()
            pending.append(pool.submit(function, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def shared_pool() -> ThreadPoolExecutor:
    """Return the pool for work inside one file, as large as `thread_count` says.

    There is one per process, so that files written by several threads at once do not multiply
    the number of threads.
    """
    return _pool_of(os.getpid(), thread_count())


@functools.lru_cache(maxsize=1)
def _pool_of(_process: int, threads: int) -> ThreadPoolExecutor:  # threads do not survive a fork
    return ThreadPoolExecutor(threads, thread_name_prefix="mosaicflow-chunks")
