import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.io.grids import BoundedCache, MosaicGrid
from mosaicflow.threads import map_threads

TILES = {
    (iy, ix): np.full((2, 4, 6), 10 * iy + ix + 1, np.float32) for iy in (0, 1) for ix in (0, 1, 2)
}


def test_every_tile_is_read_from_its_place(write_grid):
    grid = MosaicGrid(write_grid(TILES, slice_id=7))
    assert grid.slice_id == 7
    assert grid.grid_shape == (2, 3)
    assert grid.tile_shape == (2, 4, 6)
    assert grid.pitch_mm == (0.01, 0.01, 0.01)
    assert grid.native_pitch_um == (10.0, 10.0, 10.0)
    assert grid.tiles == sorted(TILES)
    for tile, data in TILES.items():
        np.testing.assert_array_equal(grid.read(tile), data)
        assert grid.read(tile).dtype == np.float32


def test_missing_tiles_are_not_listed(write_grid):
    grid = MosaicGrid(write_grid(TILES, missing=[(0, 1), (1, 2)]))
    assert grid.tiles == [(0, 0), (0, 2), (1, 0), (1, 1)]


def test_the_pitch_of_the_raw_tiles_is_remembered(write_grid):
    grid = MosaicGrid(write_grid(TILES, native_pitch_um=[1.5, 3.0, 3.0]))
    assert grid.native_pitch_um == (1.5, 3.0, 3.0)


def test_reported_positions_follow_the_signs_of_the_stage(write_grid):
    reported = {(0, 0): (0.0, 0.0), (0, 1): (1.0, 5.0), (1, 0): (3.0, -1.0)}
    stage = {"sign_y": -1, "sign_x": 1}
    grid = MosaicGrid(write_grid(TILES, reported_px=reported, stage=stage))
    for tile, (y, x) in grid.positions_px().items():
        assert (y, x) == pytest.approx((-reported[tile][0], reported[tile][1]))


def test_without_positions_there_are_none(write_grid):
    assert MosaicGrid(write_grid(TILES)).positions_px() == {}


def test_a_shape_that_contradicts_the_tiles_is_refused(write_grid):
    path = write_grid(TILES, grid_shape=[3, 3])
    with pytest.raises(FormatError, match=r"array shape \(2, 8, 18\) is not \(3, 3\) tiles"):
        MosaicGrid(path)


def test_a_store_that_is_no_grid_is_refused(write_slice_store):
    with pytest.raises(FormatError, match="block has no 'tile_shape'"):
        MosaicGrid(write_slice_store(np.ones((2, 4, 4))))


@given(
    keys=st.lists(st.integers(0, 5), max_size=30),
    budget=st.integers(0, 40),
)
def test_a_cache_always_gives_the_right_value_and_keeps_to_its_budget(keys, budget):
    loaded = []
    kept = []

    def load(key):
        loaded.append(key)
        return bytes([key]) * 10

    cache = BoundedCache(load, budget, len)
    for key in keys:
        assert cache[key] == bytes([key]) * 10
        kept = [key, *(k for k in kept if k != key)][: max(1, budget // 10)]
    # What was used last is still there.
    before = len(loaded)
    assert all(cache[key] for key in kept)
    assert len(loaded) == before


def test_two_threads_that_want_the_same_value_load_it_once():
    loaded = []

    def load(key):
        time.sleep(0.02)
        loaded.append((key, threading.get_ident()))
        return np.full(4, key)

    cache = BoundedCache(load, 1000)
    found = map_threads(cache.__getitem__, [1, 1, 2, 2, 1, 2], 4)
    assert [int(value[0]) for value in found] == [1, 1, 2, 2, 1, 2]
    assert len(loaded) == 2


def test_a_value_that_cannot_be_loaded_is_tried_again():
    answers = iter([OSError("gone"), 5])

    def load(_key):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = BoundedCache(load, 10, lambda _: 1)
    with pytest.raises(OSError, match="gone"):
        cache["a"]
    assert cache["a"] == 5
