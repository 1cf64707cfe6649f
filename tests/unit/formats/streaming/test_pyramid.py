"""Regions of a pyramid: values, order, what is fetched, and what is shown meanwhile."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.formats import ZarrPyramid, pick_level
from mosaicflow.formats.streaming import loading
from mosaicflow.formats.streaming.cache import ChunkCache


def level(values, chunks=None, spacing=(1, 1, 1), **more):
    array = values if chunks is None else Chunked(values, chunks)
    return {"array": array, "shape": values.shape, "spacing": spacing, **more}


class Chunked:
    def __init__(self, values, chunks):
        self.values, self.chunks, self.dtype = values, chunks, values.dtype

    def __getitem__(self, key):
        return self.values[key]


def region(pyramid, number, z, y, x, **options):
    return pyramid.read_region(number, x[0], x[1] - 1, y[0], y[1] - 1, z[0], z[1] - 1, **options)


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.002)


def full(pyramid, number, **options):
    z, y, x = pyramid.level_shape(number)
    return pyramid.read_region(number, 0, x - 1, 0, y - 1, 0, z - 1, **options)


shapes = st.tuples(*[st.integers(1, 12)] * 3)


@given(data=st.data(), shape=shapes, chunks=st.tuples(*[st.integers(1, 7)] * 3))
def test_any_region_equals_the_array_in_the_stored_type_and_as_float32(data, shape, chunks):
    kind = data.draw(
        st.sampled_from(["|i1", "|u1", "<i2", ">i2", ">u2", "<u4", ">i8", "<f2", ">f4", "<f8", "?"])
    )
    values = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    limit = data.draw(st.sampled_from([0, 50, 400, 1 << 20]))
    bounds = [sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in shape]
    (z0, z1), (y0, y1), (x0, x1) = bounds
    truth = values[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1]
    with ZarrPyramid([level(values, chunks)], cache_bytes=limit) as pyramid:
        stored = pyramid.read_region(0, x0, x1, y0, y1, z0, z1, dtype=None)
        assert stored.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(stored, truth)
        shown = pyramid.read_region(0, x0, x1, y0, y1, z0, z1)
        assert shown.dtype == np.float32
        np.testing.assert_array_equal(shown, truth.astype(np.float32))
        assert pyramid.cached_bytes <= limit


def test_what_a_pyramid_says_of_its_levels():
    values = np.zeros((4, 6, 8), np.uint16)
    pyramid = ZarrPyramid(
        [level(values, spacing=(1, 2, 3)), level(values[::2, ::2, ::2], spacing=(2, 4, 6))]
    )
    assert pyramid.num_levels == 2
    assert pyramid.level_shape(1) == (2, 3, 4)
    assert pyramid.level_spacing(1) == (2.0, 4.0, 6.0)
    assert all(isinstance(value, float) for value in pyramid.level_spacing(0))
    assert pyramid.level_spacings() == [(1, 2, 3), (2, 4, 6)]
    assert pyramid.cache_bytes == 1 << 30


@pytest.mark.parametrize(
    ("number", "bounds"),
    [
        (2, (0, 0, 0, 0, 0, 0)),
        (-1, (0, 0, 0, 0, 0, 0)),
        (0, (0, 8, 0, 0, 0, 0)),
        (0, (-1, 0, 0, 0, 0, 0)),
        (0, (0, 0, 0, 6, 0, 0)),
        (0, (0, 0, 0, 0, 2, 1)),
        (1, (0, 0, 0, 0, 0, 2)),
    ],
)
def test_a_level_or_region_outside_is_an_index_error(number, bounds):
    values = np.zeros((4, 6, 8), np.uint16)
    pyramid = ZarrPyramid([level(values), level(values[::2, ::2, ::2], spacing=(2, 2, 2))])
    with pytest.raises(IndexError, match="level"):
        pyramid.read_region(number, *bounds)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing": (1, 0, 1)}, "not positive"),
        ({"spacing": (1, 1)}, "3 entries"),
        ({"spacing": (1, 1, float("nan"))}, "not finite"),
        ({"shape": (0, 2, 2)}, "is empty"),
        ({"array": Chunked(np.zeros((2, 2, 2)), (2, 0, 2))}, "chunks of 0"),
        ({"array": np.array([[["a"]]])}, "no numbers"),
    ],
)
def test_levels_that_make_no_sense_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        ZarrPyramid([{**level(np.zeros((2, 2, 2))), **change}])
    with pytest.raises(ValueError, match="at least one level"):
        ZarrPyramid([])


def test_only_the_chunks_of_the_region_are_read_and_each_once(counting_array):
    array = counting_array(np.arange(1000.0).reshape(10, 10, 10), (4, 5, 3))
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    region(pyramid, 0, (3, 5), (0, 5), (2, 4))
    expected = {((z, min(z + 4, 10)), (0, 5), (x, x + 3)) for z in (0, 4) for x in (0, 3)}
    assert set(array.reads) == expected
    region(pyramid, 0, (0, 8), (1, 2), (0, 6))
    assert len(array.reads) == 4


def test_irregular_chunks_of_dask_are_understood():
    import dask.array as da

    values = np.arange(7 * 5 * 6).reshape(7, 5, 6)
    lazy = da.from_array(values, chunks=((3, 1, 3), (2, 3), (6,)))
    pyramid = ZarrPyramid([{"array": lazy, "shape": values.shape, "spacing": (1, 1, 1)}])
    np.testing.assert_array_equal(
        region(pyramid, 0, (2, 6), (1, 5), (0, 6), dtype=None), values[2:6, 1:5]
    )
    assert len(pyramid._cache) == 6


def test_an_array_without_chunks_is_one_chunk():
    values = np.arange(60).reshape(3, 4, 5)
    pyramid = ZarrPyramid([level(values)])
    np.testing.assert_array_equal(region(pyramid, 0, (1, 2), (0, 1), (0, 5)), values[1:2, :1])
    assert len(pyramid._cache) == 1


def test_an_array_shorter_than_its_shape_is_an_error():
    short = level(np.zeros((2, 2, 2)))
    short["shape"] = (3, 2, 2)
    with pytest.raises(ValueError, match="expected"):
        full(ZarrPyramid([short]), 0)


def test_a_chunk_larger_than_the_cache_still_reads_and_only_what_is_needed(counting_array):
    array = counting_array(np.arange(1000.0).reshape(10, 10, 10), (10, 10, 10))
    pyramid = ZarrPyramid(
        [{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}], cache_bytes=100
    )
    for callback in (None, lambda: None):
        pyramid.set_on_chunk_ready(callback)
        array.reads.clear()
        found = region(pyramid, 0, (2, 4), (3, 9), (1, 2))
        np.testing.assert_array_equal(found, array.values[2:4, 3:9, 1:2])
        assert array.reads == [((2, 4), (3, 9), (1, 2))]
    assert pyramid.cached_bytes == 0


def test_a_region_larger_than_the_cache_is_complete_even_with_a_callback(counting_array):
    array = counting_array(np.arange(1, 513.0).reshape(8, 8, 8), (4, 4, 4))
    pyramid = ZarrPyramid(
        [{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}], cache_bytes=1100
    )
    pyramid.set_on_chunk_ready(lambda: None)
    np.testing.assert_array_equal(full(pyramid, 0), array.values)
    assert pyramid.cached_bytes <= 1100
    pyramid.close()


def test_a_fetch_error_is_raised_as_it_is(counting_array):
    error = OSError("the disk is gone")
    array = counting_array(np.zeros((4, 4, 4)), (2, 2, 2), fail=error)
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    with pytest.raises(OSError, match="the disk is gone") as caught:
        full(pyramid, 0)
    assert caught.value is error
    assert error in pyramid.errors.values()
    wait_until(lambda: pyramid.pending == 0)
    array.fail = None
    assert not full(pyramid, 0).any()
    assert pyramid.errors == {}


def test_with_a_callback_reading_returns_at_once_and_tells_from_a_worker(counting_array):
    gate, threads = threading.Event(), []
    array = counting_array(np.arange(1, 65.0).reshape(4, 4, 4), (2, 2, 4), gate=gate)
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    pyramid.set_on_chunk_ready(lambda: threads.append(threading.current_thread()))
    for _ in range(3):
        assert not full(pyramid, 0).any()
    gate.set()
    wait_until(lambda: len(threads) == 4)
    np.testing.assert_array_equal(full(pyramid, 0), array.values)
    assert len(array.reads) == 4
    assert threading.main_thread() not in threads
    pyramid.close()


@pytest.mark.parametrize("loaded", [(2,), (2, 1), (1,)])
def test_coarser_data_is_shown_until_the_finer_is_there(halves, loaded):
    values = np.arange(1, 8 * 8 * 8 + 1.0).reshape(8, 8, 8)
    levels = halves(values, (4, 4, 4), n_levels=3)
    gate = levels[0]["array"].gate = threading.Event()
    pyramid = ZarrPyramid(levels)
    for number in loaded:
        full(pyramid, number)
    pyramid.set_on_chunk_ready(lambda: None)
    best = min(loaded)
    coarse = levels[best]["array"].values
    # By position, voxel 3 lies nearer to the voxel at 4 than to the one at 0.
    nearest = np.ceil(np.arange(8) / 2**best - 0.5).astype(int)
    nearest = np.minimum(nearest, len(coarse) - 1)
    np.testing.assert_array_equal(full(pyramid, 0), coarse[np.ix_(nearest, nearest, nearest)])
    gate.set()
    wait_until(lambda: pyramid.pending == 0)
    np.testing.assert_array_equal(full(pyramid, 0), values)
    pyramid.close()


def test_a_finer_level_stands_in_for_a_coarser_one(halves):
    values = np.random.default_rng(1).integers(1, 99, (8, 6, 4)).astype(np.uint8)
    levels = halves(values, (3, 3, 3))
    gate = levels[1]["array"].gate = threading.Event()
    pyramid = ZarrPyramid(levels)
    full(pyramid, 0)
    pyramid.set_on_chunk_ready(lambda: None)
    np.testing.assert_array_equal(full(pyramid, 1, dtype=None), values[::2, ::2, ::2])
    gate.set()
    pyramid.close()


@settings(max_examples=20)
@given(
    offset=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 3)] * 3),
    factor=st.sampled_from([1.5, 2, 3, 4]),
)
def test_what_stands_in_is_the_nearest_voxel_by_physical_position(offset, spacing, factor):
    rng = np.random.default_rng(2)
    coarse = rng.integers(1, 1 << 30, (3, 4, 2)).astype(np.float64)
    gate = threading.Event()
    fine = Chunked(np.zeros((6, 8, 5)), (4, 4, 4))
    fine.values = _Waiting(fine.values, gate)
    coarse_spacing = tuple(factor * s for s in spacing)
    pyramid = ZarrPyramid(
        [
            {"array": fine, "shape": (6, 8, 5), "spacing": spacing},
            level(coarse, (2, 2, 2), coarse_spacing, translation=offset),
        ]
    )
    full(pyramid, 1)
    pyramid.set_on_chunk_ready(lambda: None)
    shown = full(pyramid, 0, dtype=None)
    gate.set()
    pyramid.close()
    for index in np.ndindex(6, 8, 5):
        position = np.multiply(index, spacing)
        gaps = [
            np.abs(o + np.arange(n) * s - p)
            for o, n, s, p in zip(offset, coarse.shape, coarse_spacing, position, strict=True)
        ]
        candidates = [np.flatnonzero(g <= g.min() + 1e-5) for g in gaps]
        assert shown[index] in coarse[np.ix_(*candidates)]


class _Waiting:
    def __init__(self, values, gate):
        self.values, self.gate = values, gate

    def __getitem__(self, key):
        assert self.gate.wait(20)
        return self.values[key]


def test_true_zeros_are_not_missing(halves):
    """A fine level of zeros over a coarse one of sevens: what is loaded stays zero."""
    levels = halves(np.zeros((4, 4, 4), np.uint8), (2, 4, 4))
    levels[1]["array"].values[:] = 7
    pyramid = ZarrPyramid(levels)
    full(pyramid, 1)
    region(pyramid, 0, (0, 2), (0, 4), (0, 4))
    gate = levels[0]["array"].gate = threading.Event()
    pyramid.set_on_chunk_ready(lambda: None)
    shown = full(pyramid, 0)
    assert not shown[:2].any()
    assert (shown[2:] == 7).all()
    gate.set()
    wait_until(lambda: pyramid.pending == 0)
    assert not full(pyramid, 0).any()
    pyramid.close()


def test_zeros_of_a_better_level_are_not_painted_over_by_a_worse_one(halves):
    levels = halves(np.ones((8, 8, 8), np.uint8), (8, 8, 8), n_levels=3)
    levels[1]["array"].values[:] = 0
    levels[2]["array"].values[:] = 9
    levels[0]["array"].gate = gate = threading.Event()
    pyramid = ZarrPyramid(levels)
    full(pyramid, 1)
    full(pyramid, 2)
    pyramid.set_on_chunk_ready(lambda: None)
    assert not full(pyramid, 0).any()
    gate.set()
    pyramid.close()


def test_a_failed_chunk_rests_longer_each_time(counting_array, monkeypatch, caplog):
    now = [1000.0]
    array = counting_array(np.ones((2, 2, 2)), (2, 2, 2), fail=OSError("gone"))
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    pyramid.set_on_chunk_ready(lambda: None)
    monkeypatch.setattr(loading, "time", SimpleNamespace(monotonic=lambda: now[0]))
    asked_at = []
    while len(asked_at) < 5:
        for _ in range(3):  # every picture would like to have it
            assert not full(pyramid, 0).any()
            wait_until(lambda: pyramid.pending == 0)
        if len(array.reads) > len(asked_at):
            asked_at.append(now[0])
        assert len(array.reads) == len(asked_at)
        now[0] += 0.5
    pauses = np.diff(asked_at)
    assert pauses[0] >= 5
    assert (np.diff(pauses) > 0).all()
    assert isinstance(pyramid.errors[(0, (0, 0, 0))], OSError)
    assert "level 0, chunk (0, 0, 0): gone" in caplog.text
    pyramid.close()


def test_after_the_pause_a_store_that_is_back_is_read(counting_array, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loading, "time", SimpleNamespace(monotonic=lambda: now[0]))
    array = counting_array(np.ones((2, 2, 2)), (2, 2, 2), fail=OSError("gone"))
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    called = threading.Semaphore(0)
    pyramid.set_on_chunk_ready(called.release)
    full(pyramid, 0)
    assert called.acquire(timeout=20)
    array.fail, now[0] = None, 6.0
    full(pyramid, 0)
    assert called.acquire(timeout=20)
    assert full(pyramid, 0).all()
    assert pyramid.errors == {}
    pyramid.close()


def test_a_failing_callback_is_logged_and_harms_nothing(counting_array, caplog):
    array = counting_array(np.ones((2, 2, 4)), (2, 2, 2))
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    pyramid.set_on_chunk_ready(lambda: 1 / 0)
    full(pyramid, 0)
    wait_until(lambda: pyramid.pending == 0 and "callback" in caplog.text)
    assert full(pyramid, 0).all()
    pyramid.close()


def test_waiting_requests_can_be_forgotten_and_asked_for_again(counting_array):
    gate = threading.Event()
    array = counting_array(np.ones((40, 2, 2)), (1, 2, 2), gate=gate)
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    pyramid.set_on_chunk_ready(lambda: None)
    full(pyramid, 0)
    wait_until(lambda: len(array.reads) == 8)  # as many as there are threads
    pyramid.forget_waiting()
    gate.set()
    wait_until(lambda: pyramid.pending == 0)
    assert len(array.reads) < 40
    full(pyramid, 0)
    wait_until(lambda: pyramid.pending == 0)
    assert len(array.reads) == 40
    assert full(pyramid, 0).all()
    pyramid.close()


def test_a_closed_pyramid_calls_nobody_and_fetches_nothing(counting_array):
    gate, calls = threading.Event(), []
    array = counting_array(np.ones((20, 2, 2)), (1, 2, 2), gate=gate)
    pyramid = ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    pyramid.set_on_chunk_ready(lambda: calls.append(1))
    full(pyramid, 0)
    wait_until(lambda: len(array.reads) == 8)
    pyramid.close()
    gate.set()
    wait_until(lambda: pyramid.pending == 0)
    assert calls == []
    assert len(array.reads) == 8
    full(pyramid, 0)
    pyramid.set_on_chunk_ready(None)
    with pytest.raises(ValueError, match="closed"):
        full(pyramid, 0)
    assert len(array.reads) == 8


def test_complex_values_are_shown_by_their_magnitude():
    values = np.full((2, 2, 2), 3 + 4j, np.complex64)
    pyramid = ZarrPyramid([level(values)])
    assert (full(pyramid, 0) == 5).all()
    np.testing.assert_array_equal(full(pyramid, 0, dtype=None), values)


@settings(max_examples=20)
@given(
    limit=st.integers(0, 4000),
    seed=st.integers(0, 1 << 30),
    asynchronous=st.booleans(),
)
def test_threads_get_correct_data_and_the_cache_never_exceeds_its_limit(limit, seed, asynchronous):
    values = np.random.default_rng(seed).integers(1, 250, (12, 11, 10)).astype(np.uint8)
    levels = [
        level(values, (5, 4, 3)),
        level(np.ascontiguousarray(values[::2, ::2, ::2]), (3, 3, 3), (2, 2, 2)),
    ]
    pyramid = ZarrPyramid(levels, cache_bytes=limit)
    if asynchronous:
        pyramid.set_on_chunk_ready(lambda: None)
    seen, wrong = [0], []

    def work(number):
        rng = np.random.default_rng(seed + number)
        for _ in range(15):
            which = int(rng.integers(2))
            truth = values if which == 0 else levels[1]["array"].values
            z, y, x = (sorted(rng.integers(0, n, 2).tolist()) for n in truth.shape)
            found = pyramid.read_region(which, *x, *y, *z, dtype=None)
            with pyramid._cache._lock:  # or a chunk may go between its key and its value
                held = sum(chunk.nbytes for chunk in pyramid._cache._chunks.values())
            seen[0] = max(seen[0], pyramid.cached_bytes, min(held, 1 << 40))
            expected = truth[z[0] : z[1] + 1, y[0] : y[1] + 1, x[0] : x[1] + 1]
            if not asynchronous and not np.array_equal(found, expected):
                wrong.append((number, which))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pyramid.cached_bytes <= limit
    assert wrong == []
    if asynchronous:  # what is cached in the end is right
        wait_until(lambda: pyramid.pending == 0)
        for (which, index), chunk in pyramid._cache.items():
            own = pyramid._levels[which]
            truth = values if which == 0 else levels[1]["array"].values
            np.testing.assert_array_equal(chunk, truth[own.box_of(index)])
    pyramid.close()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=40), st.integers(0, 150))
def test_the_cache_keeps_the_most_recent_ones_within_its_limit(actions, limit):
    cache = ChunkCache(limit)
    model = {}  # in order of use
    for number, size in actions:
        key = (0, (number, 0, 0))
        if size % 3 == 0 and key in cache:
            assert cache[key].nbytes == model[key]
            model[key] = model.pop(key)
            continue
        cache.put(key, np.zeros(size, np.uint8))
        model.pop(key, None)
        if size <= limit:
            while sum(model.values()) + size > limit:
                model.pop(next(iter(model)))
            model[key] = size
        assert list(cache) == list(model)
        assert cache.used_bytes == sum(model.values()) <= limit
        assert sorted(cache.of_level(0)) == sorted(k[1] for k in model)
        assert len(cache) == len(model)


@pytest.mark.parametrize(
    ("world_per_pixel", "expected"), [(0.1, 0), (1, 0), (3.9, 0), (4, 1), (100, 2), (8, 2)]
)
def test_the_coarsest_level_that_is_fine_enough_is_picked(world_per_pixel, expected):
    spacings = [(3.0, 1.0, 1.0), (4.0, 2.0, 2.0), (4.0, 4.0, 8.0)]
    assert pick_level(spacings, world_per_pixel) == expected
