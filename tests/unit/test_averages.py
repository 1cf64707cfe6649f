import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.averages import bin_mean, known_means

shapes = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5)), min_size=1, max_size=3)


@given(shapes, st.integers(0, 2**31))
def test_means_of_blocks_are_those_of_what_is_known_and_of_nothing_else(sides, seed):
    shape, factors = zip(*sides, strict=True)
    rng = np.random.default_rng(seed)
    values = (rng.random(shape) * (rng.random(shape) > 0.3)).astype(np.float32)
    means = known_means(values, factors)
    assert means.shape == tuple(-(-n // f) for n, f in sides)
    for place in np.ndindex(means.shape):
        block = values[
            tuple(slice(i * f, (i + 1) * f) for i, f in zip(place, factors, strict=True))
        ]
        known = block[block != 0]
        expected = known.mean(dtype=np.float64) if known.size else 0
        np.testing.assert_allclose(means[place], expected, rtol=1e-6)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(0, 2**31))
def test_images_that_are_compared_are_means_of_whole_blocks(n_y, n_x, factor, seed):
    image = np.random.default_rng(seed).random((2, n_y, n_x)).astype(np.float32)
    means = bin_mean(image, factor)
    assert means.shape == (2, n_y // factor, n_x // factor)
    for k, y, x in np.ndindex(means.shape):
        block = image[k, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        np.testing.assert_allclose(means[k, y, x], block.mean(dtype=np.float64), rtol=1e-6)
