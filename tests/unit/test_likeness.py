import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.likeness import pearson


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 2**31))
def test_it_is_the_correlation_that_numpy_gives(n_y, n_x, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, n_y, n_x)).astype(np.float32)
    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert pearson(first, second) == pytest.approx(expected, abs=1e-4)
    assert pearson(first, 3 - 2 * first) == pytest.approx(-1, abs=1e-4)


def test_a_flat_image_is_like_nothing():
    assert pearson(np.ones((4, 4), np.float32), np.arange(16, dtype=np.float32).reshape(4, 4)) == 0


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 2**31))
def test_a_weight_counts_a_pixel_as_often_as_it_says(n_y, n_x, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, n_y, n_x)).astype(np.float32)
    weight = rng.integers(0, 4, (n_y, n_x))
    weight.flat[:2] = 1
    repeated = [np.repeat(one.ravel(), weight.ravel()) for one in (first, second)]
    found = pearson(first, second, weight.astype(np.float32))
    assert found == pytest.approx(np.corrcoef(*repeated)[0, 1], abs=1e-4)
    assert pearson(first, second, np.ones_like(first)) == pytest.approx(
        pearson(first, second), abs=1e-5
    )


def test_what_weighs_nothing_is_like_nothing():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert pearson(image, image, np.zeros_like(image)) == 0
