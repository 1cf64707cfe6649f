import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.mosaic.resampling import area_weights, resample_tile, resampled_length

lengths = st.integers(1, 60)


@given(n_in=lengths, n_out=lengths)
def test_weights_of_each_new_sample_sum_to_one(n_in, n_out):
    weights = area_weights(n_in, min(n_in, n_out))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0).all()


@given(n_in=lengths, n_out=lengths)
def test_every_old_sample_counts_the_same(n_in, n_out):
    n_out = min(n_in, n_out)
    share = area_weights(n_in, n_out).sum(axis=0)
    np.testing.assert_allclose(share, n_out / n_in, atol=1e-5)


@given(data=st.data(), shape=st.tuples(*[st.integers(1, 12)] * 3))
def test_a_resampled_tile_keeps_its_mean_and_its_range(data, shape):
    new = [data.draw(st.integers(1, n)) for n in shape]
    tile = np.random.default_rng(sum(shape)).random(shape, np.float32)
    small = resample_tile(tile, new)
    assert small.shape == tuple(new)
    assert small.dtype == np.float32
    assert small.flags.c_contiguous
    assert small.mean() == pytest.approx(tile.mean(), rel=1e-5)
    assert tile.min() - 1e-6 <= small.min() <= small.max() <= tile.max() + 1e-6


@given(n_out=st.integers(1, 12), factor=st.integers(1, 5), axis=st.integers(0, 2))
def test_a_ramp_stays_where_it_is(n_out, factor, axis):
    shape, new = [3, 3, 3], [3, 3, 3]
    shape[axis], new[axis] = n_out * factor, n_out
    ramp = 1 + np.indices(shape)[axis].astype(np.float32)  # zero would be no data
    centres = (np.arange(n_out) + 0.5) * factor + 0.5
    profile = np.moveaxis(resample_tile(ramp, new), axis, 0)
    expected = np.broadcast_to(centres[:, None, None], profile.shape)
    np.testing.assert_allclose(profile, expected, rtol=1e-6)


def test_whole_factors_are_plain_block_means():
    tile = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    blocks = tile.reshape(1, 2, 2, 2, 2, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(resample_tile(tile, (1, 2, 2)), blocks, rtol=1e-6)


@pytest.mark.parametrize(
    ("length", "pitch", "target", "expected"),
    [
        (300, 3.0, 10.0, 90),
        (299, 3.0, 10.0, 90),  # rounded, never cut off: 89.7
        (100, 10.0, 10.0, 100),
        (100, 25.0, 10.0, 100),  # coarser than wanted
        (2, 1.0, 10.0, 1),
    ],
)
def test_the_number_of_samples_is_the_nearest_one(length, pitch, target, expected):
    assert resampled_length(length, pitch, target) == expected


@given(
    length=st.integers(1, 500),
    pitch=st.floats(0.5, 20),
    target=st.floats(0.5, 50),
)
def test_resampling_never_enlarges(length, pitch, target):
    assert 1 <= resampled_length(length, pitch, target) <= length


@pytest.mark.parametrize("shape", [(6, 10, 10), (3, 10, 10), (3, 12, 7), (6, 20, 20)])
def test_columns_without_data_neither_darken_their_neighbours_nor_are_filled(shape):
    tile = np.full((6, 20, 20), 5.0, np.float32)
    tile[:, :, 7:11] = 0
    small = resample_tile(tile, shape)
    assert set(np.unique(small.round(4)).tolist()) == {0.0, 5.0}
    assert ((small == 0).all(axis=0) == (small == 0).any(axis=0)).all()
    assert (small == 0).mean() == pytest.approx(0.2, abs=0.11)


def test_a_dark_voxel_in_a_column_with_data_counts_as_dark():
    tile = np.full((4, 8, 8), 2.0, np.float32)
    tile[2] = 0
    np.testing.assert_allclose(resample_tile(tile, (1, 4, 4)), 1.5)


def test_a_dark_pixel_of_a_single_plane_counts_as_dark():
    plane = np.tile(np.float32([0, 2]), (1, 8, 4))
    np.testing.assert_allclose(resample_tile(plane, (1, 4, 4)), 1.0)
