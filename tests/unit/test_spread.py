import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.spread import median_of, median_over


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_the_median_is_that_of_numpy_to_the_last_bit(dtype, n, seed):
    rng = np.random.default_rng(seed)
    for values in (rng.standard_normal(n), rng.integers(0, 4, n), rng.standard_normal((n, 3))):
        assert median_of(values.astype(dtype)) == np.median(values.astype(dtype))


def test_the_median_of_nothing_and_of_what_is_not_known_is_not_known():
    assert np.isnan(median_of(np.zeros(0)))
    assert np.isnan(median_of(np.array([1.0, np.nan, 2.0])))


@given(st.integers(1, 25), st.integers(0, 2**31))
def test_the_median_over_images_is_that_of_numpy_to_the_last_bit(n, seed):
    images = list(np.random.default_rng(seed).standard_normal((n, 2, 3, 5)).astype(np.float32))
    found = median_over(images)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.median(images, axis=0))
