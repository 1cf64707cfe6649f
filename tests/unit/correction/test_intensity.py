import numpy as np
import pytest

from mosaicflow.correction.intensity import depth_scale


@pytest.fixture
def volume():
    """Gel left, tissue right, both fading with depth."""
    rng = np.random.default_rng(0)
    fade = np.exp(-np.arange(40) / 40)[:, None, None]
    level = np.where(np.arange(60) < 30, 10.0, 40.0)[None, None, :]
    return (fade * level * rng.uniform(0.95, 1.05, (40, 50, 60))).astype(np.float32)


@pytest.fixture
def gel():
    return np.broadcast_to(np.arange(60) < 30, (50, 60))


def test_gel_becomes_zero_and_the_brightest_tissue_one_in_every_plane(volume, gel):
    scale = depth_scale(volume, gel)
    scaled = (volume - scale.background[:, None, None]) / scale.span[:, None, None]
    inner = scaled[5:-5]
    assert np.abs(np.median(inner[:, gel], axis=1)).max() < 0.02
    np.testing.assert_allclose(np.percentile(inner, 99.9, axis=(1, 2)), 1, atol=0.02)
    assert scale.background_noise < 0.05
    assert scale.background.dtype == scale.span.dtype == np.float32


def test_the_scale_does_not_flicker_where_tissue_comes_and_goes(volume, gel):
    volume[20:23][:, ~gel] = 10 * np.exp(-20 / 40)  # three planes of nothing but gel
    scale = depth_scale(volume, gel)
    assert np.abs(np.diff(np.log(scale.span))).max() < 0.5


def test_an_empty_plane_is_not_blown_up(volume, gel):
    volume[:, :, 30:] = volume[:, :, 30:] * np.linspace(1, 0.25, 40)[:, None, None]
    scale = depth_scale(volume, gel, min_contrast=0.3)
    overall = scale.span.max()
    assert scale.span.min() >= 0.3 * overall * 0.9


def test_without_gel_the_dark_end_is_the_background(volume):
    scale = depth_scale(volume, np.zeros((50, 60), bool))
    assert scale.background[20] == pytest.approx(np.percentile(volume[20], 5), rel=0.05)
    assert scale.background_noise == 0


def test_planes_without_data_take_the_scale_of_their_neighbours(volume, gel):
    full = depth_scale(volume, gel)
    volume[30:] = 0
    scale = depth_scale(volume, gel)
    assert np.isfinite(scale.span).all()
    assert (scale.span > 0).all()
    np.testing.assert_allclose(scale.span[:25], full.span[:25], rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_slice_without_contrast_has_no_scale(value):
    volume = np.full((10, 20, 20), value, np.float32)
    assert depth_scale(volume, np.ones((20, 20), bool)) is None
