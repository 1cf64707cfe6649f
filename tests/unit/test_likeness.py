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
