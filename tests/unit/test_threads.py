"""Thread pools: ordered, bounded, and set in one place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from mosaicflow.threads import (
    inner_threads,
    iterate_threads,
    map_threads,
    shared_pool,
    thread_count,
)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_keep_the_order_of_the_items(threads):
    def slow(n):
        time.sleep(0.002 * (5 - n % 5))
        return n * n

    assert map_threads(slow, range(30), threads) == [n * n for n in range(30)]


def test_few_items_are_under_way():
    started, finished, lock = 0, 0, threading.Lock()
    most = 0

    def items():
        nonlocal started, most
        for n in range(40):
            with lock:
                started += 1
                most = max(most, started - finished)
            yield n

    def work(_):
        nonlocal finished
        time.sleep(0.001)
        with lock:
            finished += 1

    map_threads(work, items(), 2)
    assert most <= 6  # twice the threads, and the one on offer


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_stops_the_rest(threads):
    done = []

    def work(n):
        if n == 3:
            raise ValueError("item 3")
        time.sleep(0.005)
        done.append(n)

    with pytest.raises(ValueError, match="item 3"):
        map_threads(work, range(1000), threads)
    assert len(done) < 20


def test_iteration_can_be_left_early():
    results = iterate_threads(lambda n: n, range(1000), shared_pool(), limit=4)
    assert next(results) == 0
    results.close()


def test_the_limit_reaches_every_pool():
    code = (
        "from mosaicflow.threads import limit_threads, thread_count; limit_threads(3);"
        "import os, zarr, dask;"
        "print(os.environ['OPENBLAS_NUM_THREADS'], zarr.config.get('threading.max_workers'),"
        "dask.config.get('num_workers'), thread_count());"
        "limit_threads(2);"
        "print(zarr.config.get('threading.max_workers'), dask.config.get('num_workers'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "3", "3", "3", "2", "2"]


def test_without_a_limit_the_processors_count(monkeypatch):
    monkeypatch.delenv("MOSAICFLOW_THREADS", raising=False)
    assert thread_count() == len(os.sched_getaffinity(0))


def test_no_threads_are_refused():
    from mosaicflow.threads import limit_threads

    with pytest.raises(ValueError, match="not a number of threads"):
        limit_threads(0)


def test_a_thread_of_a_pool_opens_no_pool_of_its_own():
    assert inner_threads() == thread_count()
    assert map_threads(lambda _: inner_threads(), range(3), 2) == [1, 1, 1]
