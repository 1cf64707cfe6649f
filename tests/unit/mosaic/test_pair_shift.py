import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.mosaic.correlation import correlate_tiles
from mosaicflow.mosaic.features import tile_features
from mosaicflow.mosaic.pair_shift import measure_shift


@pytest.fixture
def pair(make_texture, cut_tile):
    scene = make_texture((2, 220, 220), seed=4)

    def cut(shift_px, tile_yx=(96, 96)):
        first = cut_tile(scene, (60, 50), tile_yx)
        second = cut_tile(scene, (60 + shift_px[0], 50 + shift_px[1]), tile_yx)
        return tile_features(first), tile_features(second)

    return cut


@pytest.mark.parametrize(
    "truth", [(60.0, 0.0), (60.3, -1.7), (0.4, 59.6), (-55.5, 3.25), (-2.5, -20.0)]
)
def test_a_known_shift_is_found_to_a_fraction_of_a_pixel(pair, truth):
    first, second = pair(truth)
    expected = (truth[0] + 3.2, truth[1] - 2.6)
    found = measure_shift(first, second, expected, 6)
    np.testing.assert_allclose(found.shift_px, truth, atol=0.05)  # px
    assert found.ncc > 0.9
    assert found.peak_ratio > 1.2


@settings(max_examples=20)
@given(dy=st.integers(20, 30), dx=st.integers(-4, 4))
def test_swapping_the_tiles_turns_the_sign(dy, dx):
    noise = np.random.default_rng(1).standard_normal((1, 90, 60)).astype(np.float32)
    images = tile_features(np.exp(noise), fine_px=1.5)
    first, second = images[:, :50, 5:45], images[:, dy : dy + 50, 5 + dx : 45 + dx]
    there = measure_shift(first, second, (dy - 0.4, dx + 0.3), 3)
    back = measure_shift(second, first, (0.4 - dy, -dx - 0.3), 3)
    np.testing.assert_allclose(there.shift_px, (dy, dx), atol=0.1)  # px
    np.testing.assert_allclose(np.negative(there.shift_px), back.shift_px, atol=0.1)


def test_a_shift_beyond_the_reach_is_not_reported(pair):
    first, second = pair((40.0, 0.0))
    found = measure_shift(first, second, (50.0, 0.0), 4)
    assert found is None or found.ncc < 0.5
    assert found is None or abs(found.shift_px[0] - 50) <= 6


def test_a_repeating_structure_is_told_apart_by_fractions_of_a_pixel():
    # By whole pixels the next stripe (12.5 px further, a whole shift) fits better than the truth.
    y, x = np.mgrid[:100, :100]
    waves = np.random.default_rng(0).normal(scale=0.2, size=(30, 2))

    def tile(shift_px):
        stripes = np.sin(2 * np.pi * (y - shift_px) / 12.5) + np.sin(x**2 / 300)
        detail = sum(np.cos(ky * (y - shift_px) + kx * x + n) for n, (ky, kx) in enumerate(waves))
        return (stripes + 0.02 * detail)[None].astype(np.float32)

    found = measure_shift(tile(0.0), tile(4.5), (0.0, 0.0), 9)
    np.testing.assert_allclose(found.shift_px, (-4.5, 0.0), atol=0.02)  # px


def test_unrelated_tiles_match_badly(make_texture):
    first, second = (tile_features(make_texture((2, 64, 64), seed)) for seed in (1, 2))
    found = measure_shift(first, second, (48.0, 0.0), 5)
    assert found is None or found.ncc < 0.5


def test_noise_of_its_own_in_each_tile_does_not_bias_the_shift(make_texture, cut_tile):
    scene = make_texture((4, 220, 220), seed=8)
    rng = np.random.default_rng(0)
    errors = []
    for number in range(8):
        truth = (60.0 + number / 8, 1.0)
        tiles = [cut_tile(scene, corner, (96, 96)) for corner in ((30, 30), np.add(truth, 30))]
        noisy = [tile * rng.gamma(20, 1 / 20, tile.shape).astype(np.float32) for tile in tiles]
        found = measure_shift(*map(tile_features, noisy), (62.0, 0.0), 5)
        errors.append(np.subtract(found.shift_px, truth))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.06  # px
    assert np.linalg.norm(errors, axis=1).max() < 0.25  # px


@pytest.mark.parametrize("expected", [(100.0, 0.0), (0.0, -96.0), (94.0, 0.0)])
def test_tiles_that_do_not_overlap_have_no_shift(pair, expected):
    assert measure_shift(*pair((48.0, 0.0)), expected, 0.5) is None


def test_an_empty_tile_has_no_shift(pair):
    first, _ = pair((48.0, 0.0))
    assert measure_shift(first, np.zeros_like(first), (48.0, 0.0), 5) is None
    assert correlate_tiles(first, np.zeros_like(first), (48, 0), 0) is None


def test_correlation_is_highest_at_the_true_shift(pair):
    first, second = pair((60.0, 2.0))
    found = correlate_tiles(first, second, (60, 2), 2)
    assert np.unravel_index(int(np.argmax(found.ncc)), found.ncc.shape) == (2, 2)
    assert found.ncc[2, 2] > 0.95
    assert np.isnan(correlate_tiles(first, second, (95, 0), 4).ncc[-1]).all()


def highest(first, second, expected_px, reach_px):
    return float(np.nanmax(correlate_tiles(first, second, expected_px, reach_px).ncc))


def test_the_search_is_the_correlation_of_the_overlap_at_every_shift(pair):
    """Box sums and short transforms against the definition, one shift at a time."""
    first, second = pair((60.0, 2.0))
    found = correlate_tiles(first, second, (58, 0), 3)
    for i, dy in enumerate(range(55, 62)):
        for j, dx in enumerate(range(-3, 4)):
            a = first[:, dy:, max(0, dx) : 96 + min(0, dx)]
            b = second[:, : 96 - dy, max(0, -dx) : 96 - max(0, dx)]
            a, b = (p - p.mean(axis=(1, 2), keepdims=True) for p in (a, b))
            expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
            assert found.ncc[i, j] == pytest.approx(expected, abs=1e-5)
            assert found.pixels[i, j] == a[0].size
    assert found.first == (55, -3)


def test_holes_do_not_change_what_is_found(pair):
    first, second = (images.copy() for images in pair((60.0, 2.0)))
    whole = highest(first, second, (60, 2), 4)
    first[:, 70:80, 30:34] = 0
    found = measure_shift(first, second, (58.0, 0.0), 5)
    np.testing.assert_allclose(found.shift_px, (60.0, 2.0), atol=0.05)  # px
    assert found.peak_ncc == pytest.approx(whole, abs=0.02)


def test_tiles_without_content_cannot_be_compared(pair):
    first, _ = pair((48.0, 0.0))
    assert correlate_tiles(first, np.zeros_like(first), (48, 0), 5) is None
