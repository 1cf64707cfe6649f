"""Brightness factors from seams."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.stacking.gains import SeamLevel, compare_levels, solve_gains, sure_steps


def seams_of(levels):
    """Exact seams between slices of these levels."""
    return [
        SeamLevel(i, i + 1, math.log(levels[i] / levels[i + 1]), 1.0)
        for i in range(len(levels) - 1)
    ]


@pytest.mark.parametrize("levels", [(1.0, 1.2), (1.0, 1.2, 1.0, 1.2), (1.0, 1.0, 0.8, 1.0, 1.0)])
def test_slices_of_different_level_are_brought_together(levels):
    corrected = solve_gains(seams_of(levels), len(levels)) * levels
    assert np.ptp(corrected) / corrected.mean() < 0.05


def test_fading_with_depth_common_to_all_seams_does_not_darken_the_volume():
    seams = [SeamLevel(i, i + 1, -0.15, 0.9) for i in range(30)]
    np.testing.assert_allclose(solve_gains(seams, 31), 1.0, atol=0.03)


@given(st.floats(0, 1), st.floats(10, 30), st.integers(8, 60))
def test_shadows_that_come_and_go_along_the_specimen_are_no_gains(phase, period, n):
    at = 2 * np.pi * (np.arange(n - 1) / period + phase)
    seams = [SeamLevel(i, i + 1, 0.04 * np.sin(one), 0.9) for i, one in enumerate(at)]
    np.testing.assert_allclose(solve_gains(seams, n), 1.0, atol=0.02)


@pytest.mark.parametrize("seed", range(100))  # drawn anew, one in thousands misses it
def test_slices_that_truly_differ_come_nearer_to_each_other(seed):
    levels = np.exp(np.random.default_rng(seed).normal(0, 0.1, 24))
    left = np.log(solve_gains(seams_of(levels), 24) * levels)
    assert np.abs(np.diff(left)).max() < 0.5 * np.abs(np.diff(np.log(levels))).max()


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=12))
def test_the_factors_stay_within_their_limits_and_balanced(levels):
    gains = solve_gains(seams_of(levels), len(levels))
    assert ((gains >= 0.05) & (gains <= 20)).all()
    if np.ptp(np.log(levels)) < 2:  # no factor at its limit
        assert np.median(np.log(gains)) == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**31))
def test_errors_of_seams_do_not_add_up_where_slices_are_equally_bright(seed):
    rng = np.random.default_rng(seed)
    seams = [SeamLevel(i, i + 1, rng.normal(0, 0.005), 0.9) for i in range(59)]
    np.testing.assert_allclose(solve_gains(seams, 60), 1.0, atol=0.02)


@pytest.mark.parametrize("n", [5, 7, 24])
@pytest.mark.parametrize("place", [0, 2])
def test_one_slice_with_a_tenth_of_the_light_is_brought_up_alone(n, place):
    levels = np.ones(n)
    levels[place] = 0.1
    noise = np.random.default_rng(n).normal(0, 0.005, n - 1)
    seams = [
        SeamLevel(s.fixed, s.moving, s.log_ratio + e, 0.9)
        for s, e in zip(seams_of(levels), noise, strict=True)
    ]
    np.testing.assert_allclose(solve_gains(seams, n) * levels, 1.0, atol=0.03)


def test_only_steps_beyond_their_error_are_sure():
    found = sure_steps(np.array([0.0, 0.015, -0.1, np.nan]))
    assert found[:2].tolist() == [0, 0]
    assert found[2] == pytest.approx(-0.096)
    assert np.isnan(found[3])


def test_unknown_seams_leave_everything_alone():
    assert solve_gains([SeamLevel(0, 1, math.nan, math.nan)], 2).tolist() == [1.0, 1.0]


def test_levels_are_compared_by_their_median_ratio():
    rng = np.random.default_rng(0)
    lower = rng.random((20, 20)).astype(np.float32) + 0.1
    tissue = np.ones((20, 20), bool)
    assert compare_levels(lower * 1.5, lower, tissue) == pytest.approx(math.log(1.5), abs=1e-5)
    assert math.isnan(compare_levels(lower, lower, np.zeros((20, 20), bool)))
