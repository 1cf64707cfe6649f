"""The one robust fit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.fits import robust_fit


def line(seed, n=60):
    rng = np.random.default_rng(seed)
    return rng, np.c_[np.ones(n), rng.uniform(-1, 1, n)], rng.uniform(-5, 5, 2)


@given(st.integers(0, 2**31))
def test_equal_weights_give_the_least_squares_that_numpy_gives(seed):
    rng, design, truth = line(seed)
    target = design @ truth + rng.normal(0, 0.1, len(design))
    even = np.ones(len(target))
    found = robust_fit(design, target, lambda _left: even, start=even, rounds=2)
    expected = np.linalg.lstsq(design, target, rcond=None)[0]
    np.testing.assert_allclose(found.solution, expected, atol=1e-4)


@given(st.integers(0, 2**31), st.floats(10, 1e4))
def test_a_quarter_of_wrong_values_does_not_move_it(seed, how_wrong):
    rng, design, truth = line(seed)
    target = design @ truth + rng.normal(0, 0.01, len(design))
    target[::4] += how_wrong

    def huber(left):
        return 1 / np.maximum(1, np.abs(left) / 0.02)

    found = robust_fit(design, target, huber, start=np.ones(len(target)), rounds=200)
    assert found.weight[::4].max() < 0.01 < np.median(found.weight)
    np.testing.assert_allclose(found.solution, truth, atol=0.05)


def test_a_prior_holds_what_nothing_tells():
    design = np.array([[1.0, 0.0], [1.0, 0.0]])
    one = np.ones(2)
    found = robust_fit(
        design, 3 * one, lambda _left: one, start=one, rounds=1, prior=np.array([1e6, 0.5])
    )
    np.testing.assert_allclose(found.solution, [3, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.inv(found.normal)[1, 1], 0.25)
