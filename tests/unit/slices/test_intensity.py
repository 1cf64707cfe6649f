import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mosaicflow.errors import FormatError
from mosaicflow.slices.intensity import PlaneScale, depth_scale, display_share


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
    inner = scale.planes.apply(volume)[5:-5]
    assert np.abs(np.median(inner[:, gel], axis=1)).max() < 0.02
    np.testing.assert_allclose(np.percentile(inner, 99.9, axis=(1, 2)), 1, atol=0.02)
    assert scale.background_noise < 0.05
    assert scale.planes.background.dtype == scale.planes.span.dtype == np.float32
    assert scale.planes.has_gel


def test_the_scale_does_not_flicker_where_tissue_comes_and_goes(volume, gel):
    volume[20:23][:, ~gel] = 10 * np.exp(-20 / 40)  # three planes of nothing but gel
    scale = depth_scale(volume, gel)
    assert np.abs(np.diff(np.log(scale.planes.span))).max() < 0.5


def test_an_empty_plane_is_not_blown_up(volume, gel):
    volume[:, :, 30:] = volume[:, :, 30:] * np.linspace(1, 0.25, 40)[:, None, None]
    scale = depth_scale(volume, gel, min_contrast=0.3)
    overall = scale.planes.span.max()
    assert scale.planes.span.min() >= 0.3 * overall * 0.9


def test_without_gel_the_dark_end_is_the_background(volume):
    scale = depth_scale(volume, np.zeros((50, 60), bool))
    # As much is left below 0 as above 1.
    assert scale.planes.background[20] == pytest.approx(np.percentile(volume[20], 0.1), rel=0.05)
    assert np.isnan(scale.background_noise)
    assert not scale.planes.has_gel
    below, above = display_share(scale.planes.apply(volume), np.ones((50, 60), bool))
    # 0.1 % at either end, and some more as the scale is smoothed over depth.
    assert below < 0.03
    assert above < 0.03


def test_planes_without_data_take_the_scale_of_their_neighbours(volume, gel):
    full = depth_scale(volume, gel)
    volume[30:] = 0
    scale = depth_scale(volume, gel)
    span = scale.planes.span
    assert np.isfinite(span).all()
    assert (span > 0).all()
    np.testing.assert_allclose(span[:25], full.planes.span[:25], rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_slice_without_contrast_has_no_scale(value):
    volume = np.full((10, 20, 20), value, np.float32)
    assert depth_scale(volume, np.ones((20, 20), bool)) is None


@given(
    values=arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1000, width=32)),
    background=arrays(np.float32, 3, elements=st.floats(0, 100, width=32)),
    span=arrays(np.float32, 3, elements=st.floats(1, 1000, width=32)),
)
def test_what_was_normalised_can_be_undone(values, background, span):
    scale = PlaneScale(background, span)
    normalised = scale.apply(values.copy())
    np.testing.assert_array_equal(normalised == 0, values == 0)
    # Rounding of float32, and the step that keeps the background itself from being no data.
    np.testing.assert_allclose(scale.undo(normalised), values, rtol=1e-5, atol=2e-3)


def test_a_scale_is_read_from_metadata_as_it_was_written():
    scale = PlaneScale(np.array([0.1, 1e-7], np.float32), np.array([3.3, 1 / 3], np.float32), True)
    read = PlaneScale.from_json(json.loads(json.dumps(scale.to_json())), 2, "s")
    np.testing.assert_array_equal(read.background, scale.background)
    np.testing.assert_array_equal(read.span, scale.span)
    assert read.has_gel
    assert PlaneScale.from_json(None, 2, "s") is None


@pytest.mark.parametrize("change", [{"span": [1.0, 0.0]}, {"span": [1.0]}, {"background": "x"}])
def test_a_damaged_scale_is_refused(change):
    record = {"background": [0.0, 0.0], "span": [1.0, 1.0], **change}
    with pytest.raises(FormatError, match="s: the intensity in its metadata is unreadable"):
        PlaneScale.from_json(record, 2, "s")
