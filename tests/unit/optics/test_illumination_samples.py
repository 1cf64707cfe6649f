import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.optics.illumination_samples import (
    TileSample,
    choose_tiles,
    neighbour_pairs,
    sample_tile,
    slice_bands,
)

BANDS = [(0, 2), (2, 4)]


def serial(function, items):
    return [function(item) for item in items]


@given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    most=st.integers(1, 80),
    seed=st.integers(0, 20),
)
def test_no_tile_is_chosen_twice_and_few_are_taken_whole(sizes, most, seed):
    tiles = {g: [(iy, ix) for iy in range(n) for ix in range(n)] for g, n in enumerate(sizes)}
    every = {(g, tile) for g, found in tiles.items() for tile in found}
    chosen = choose_tiles(tiles, most, np.random.default_rng(seed))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= every
    assert len(chosen) <= max(3, most) or len(every) <= most
    if len(every) <= most:
        assert set(chosen) == every


def test_chosen_tiles_come_with_the_neighbours_they_overlap():
    tiles = {0: [(iy, ix) for iy in range(20) for ix in range(20)]}
    chosen = set(choose_tiles(tiles, 30, np.random.default_rng(0)))
    pairs = [
        (g, (iy, ix))
        for g, (iy, ix) in chosen
        if (g, (iy + 1, ix)) in chosen or (g, (iy, ix + 1)) in chosen
    ]
    assert len(pairs) >= 10


@pytest.mark.parametrize("kind", ["empty", "constant", "saturated"])
def test_tiles_that_say_nothing_are_left_out(kind):
    tile = np.random.default_rng(0).random((4, 20, 20), np.float32)
    if kind == "empty":
        tile[:] = 0
    elif kind == "constant":
        tile[:] = 7
    else:
        tile = np.minimum(tile, 0.9)
    assert sample_tile(tile, BANDS) is None


def test_a_sample_is_the_mean_of_each_band_at_most_128_px_wide():
    tile = np.random.default_rng(0).random((4, 300, 150), np.float32)
    found = sample_tile(tile, BANDS, clip_percentile_upper=100)
    assert found.shape == (2, 128, 64)
    np.testing.assert_allclose(
        found.mean(axis=(1, 2)), [tile[:2].mean(), tile[2:].mean()], rtol=1e-4
    )
    small = sample_tile(tile[:, :50, :60], BANDS, clip_percentile_upper=100)
    np.testing.assert_allclose(small[0], tile[:2, :50, :60].mean(axis=0), rtol=1e-5)


def test_bright_specks_are_clipped():
    tile = np.random.default_rng(0).random((4, 40, 40), np.float32)
    tile[:, 3, 3] = 1000
    assert sample_tile(tile, BANDS).max() < 2


def test_bands_start_below_the_water():
    z = np.arange(60)[:, None, None]
    tile = np.where(z < 20, 0.1, np.exp(-(z - 20) / 40)) * np.ones((60, 8, 8))
    bands = slice_bands([tile.astype(np.float32)] * 3)
    assert 21 <= bands[0][0] <= 25
    assert bands[-1][1] == 60


@pytest.mark.parametrize("error_px", [0, 2])
def test_pairs_are_laid_where_their_tissue_fits(make_texture, error_px):
    scene = make_texture((2, 200, 200), seed=1)
    corners = {(0, 0): (10, 10), (0, 1): (12, 74), (1, 0): (73, 8)}
    samples = [
        TileSample(0, tile, scene[:, y : y + 96, x : x + 96]) for tile, (y, x) in corners.items()
    ]
    fractions = {
        0: {tile: (y / 96, (x + error_px * tile[1]) / 96) for tile, (y, x) in corners.items()}
    }
    found = neighbour_pairs(samples, fractions, serial)
    assert len(found) == 2
    np.testing.assert_allclose(found[0].offset_px, (63, -2), atol=0.2)  # px
    np.testing.assert_allclose(found[1].offset_px, (2, 64), atol=0.2)  # px


def test_tiles_of_different_grids_are_never_paired(make_texture):
    scene = make_texture((2, 96, 96))
    samples = [TileSample(grid, (0, grid), scene) for grid in (0, 1)]
    fractions = {grid: {(0, grid): (0.0, 0.7 * grid)} for grid in (0, 1)}
    assert neighbour_pairs(samples, fractions, serial) == []
