import numpy as np

from mosaicflow.acquisition.read.content import clean_tile, is_implausible

RNG = np.random.default_rng(0)


def tile():
    return RNG.uniform(1, 100, (10, 20, 30)).astype(np.float32)


def test_sound_tiles_pass_unchanged():
    data = tile()
    before = data.copy()

    content = clean_tile(data)

    np.testing.assert_array_equal(data, before)
    assert (content.n_bad, content.is_blank, content.is_saturated) == (0, False, False)


def test_samples_that_are_not_finite_become_zero_and_are_counted():
    data = tile()
    data[0, 0, :3] = [np.nan, np.inf, -np.inf]

    content = clean_tile(data)

    assert content.n_bad == 3
    assert data[0, 0, :3].tolist() == [0, 0, 0]


def test_constant_and_saturated_tiles_are_told_apart():
    clipped = np.minimum(tile(), 90)

    assert clean_tile(np.zeros((2, 2, 2), np.float32)).is_zero
    assert clean_tile(np.ones((2, 2, 2), np.float32)).is_blank
    assert clean_tile(clipped).is_saturated


def test_intensities_are_plausible_and_other_numbers_are_not():
    data = tile().reshape(-1)

    assert not is_implausible(data)
    assert not is_implausible(np.zeros(100, np.float32))
    assert is_implausible(data.byteswap())
    assert is_implausible((data.astype("<i2")).view("<f4"))
    assert is_implausible(np.full(100, np.nan, np.float32))
