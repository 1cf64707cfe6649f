import numpy as np
import pytest

from mosaicflow.mosaic.features import common_pattern, tile_features


def test_brightness_and_slow_shading_leave_no_trace(make_texture):
    bands = make_texture((2, 60, 60))
    y = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    plain, shaded = tile_features(bands), tile_features(bands * 7 * (1 + 0.2 * y))
    inner = (slice(None), slice(10, -10), slice(10, -10))
    scale = plain[inner].std()
    assert np.abs(plain - tile_features(bands * 7))[inner].max() < 1e-4 * scale + 1e-5
    assert (plain - shaded)[inner].std() < 0.1 * scale


def test_places_without_data_are_zero(make_texture):
    bands = make_texture((2, 40, 40))
    bands[:, :, :5] = 0
    features = tile_features(bands)
    assert (features[:, :, :5] == 0).all()
    assert (features[:, :, 5:] != 0).mean() > 0.99
    assert features.dtype == np.float32


def test_an_empty_tile_has_no_features():
    assert not tile_features(np.zeros((2, 8, 8), np.float32)).any()


def test_what_all_tiles_share_is_found_below_different_tissue(make_texture):
    dust = np.zeros((1, 40, 40), np.float32)
    dust[0, 10:14, 20:24] = 1.0
    tiles = [np.log(make_texture((1, 40, 40), seed)) + dust for seed in range(40)]
    found = common_pattern(tiles)
    error = np.abs(found - dust)
    assert error.mean() < 0.1  # the median of 40 tiles of contrast 0.35
    assert error[0, 11:13, 21:23].max() < 0.3


@pytest.mark.parametrize("count", [0, 15])
def test_few_tiles_share_nothing_that_can_be_told_from_tissue(count):
    assert common_pattern([np.ones((1, 4, 4), np.float32)] * count) is None
