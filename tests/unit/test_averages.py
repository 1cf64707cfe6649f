import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.averages import known_means

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
