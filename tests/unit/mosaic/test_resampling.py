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
    ramp = np.indices(shape)[axis].astype(np.float32)
    centres = (np.arange(n_out) + 0.5) * factor - 0.5
    profile = np.moveaxis(resample_tile(ramp, new), axis, 0)
    np.testing.assert_allclose(profile, np.broadcast_to(centres[:, None, None], profile.shape))


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
