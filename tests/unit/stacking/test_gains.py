"""Brightness factors from seams."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.stacking.gains import SeamLevel, compare_levels, solve_gains


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


@given(st.lists(st.floats(0.8, 1.25), min_size=2, max_size=12))
def test_the_factors_stay_within_their_limits_and_balanced(levels):
    gains = solve_gains(seams_of(levels), len(levels))
    assert ((gains >= 0.5) & (gains <= 2)).all()
    assert np.log(gains).mean() == pytest.approx(0, abs=1e-9)


def test_unknown_seams_leave_everything_alone():
    assert solve_gains([SeamLevel(0, 1, math.nan, math.nan)], 2).tolist() == [1.0, 1.0]


def test_levels_are_compared_by_their_median_ratio():
    rng = np.random.default_rng(0)
    lower = rng.random((20, 20)).astype(np.float32) + 0.1
    tissue = np.ones((20, 20), bool)
    assert compare_levels(lower * 1.5, lower, tissue) == pytest.approx(math.log(1.5), abs=1e-5)
    assert math.isnan(compare_levels(lower, lower, np.zeros((20, 20), bool)))
