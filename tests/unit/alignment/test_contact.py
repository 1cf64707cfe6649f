"""Slices on either side of unseen tissue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, shift

from mosaicflow.alignment.contact import UNKNOWN_DEG, bridge, geometric_median, plane_groups
from mosaicflow.alignment.pair_fit import RegistrationSettings, SlicePair


@given(st.integers(1, 60), st.integers(0, 8), st.booleans())
def test_groups_lie_inside_the_slice_and_sum_to_one(n_planes, first, from_below):
    weights = plane_groups(n_planes, first=first, from_below=from_below)
    assert weights.shape[1] == n_planes
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    if n_planes > first + 8:
        assert len(weights) == 3
        assert weights[:, -1].any() == from_below


def test_a_few_wrong_points_do_not_move_the_median():
    points = np.array([[1.0, 2.0]] * 6 + [[40.0, -30.0], [-25.0, 60.0]])
    assert geometric_median(points) == pytest.approx([1.0, 2.0], abs=0.2)


def outline(rng, move):
    """An image of the same outline with texture of its own."""
    y, x = np.mgrid[:160, :160]
    body = (np.hypot((y - 80) / 60, (x - 80) / 45) < 1) * 1.0
    texture = 1 + 0.2 * gaussian_filter(rng.standard_normal(body.shape), 3) * 10
    return shift(gaussian_filter(body, 2) * texture + 0.1, move, order=1, mode="nearest")


def pairs(rng, move):
    valid = np.ones((160, 160), bool)
    images = [(outline(rng, (0, 0)), outline(rng, move)) for _ in range(9)]
    return [
        SlicePair(a.astype(np.float32), b.astype(np.float32), valid, valid, (0.0, 0.0))
        for a, b in images
    ]


def test_an_outline_tells_the_shift_to_its_own_error_and_no_rotation():
    found = bridge(
        pairs(np.random.default_rng(2), (5.0, -4.0)), 10.0, RegistrationSettings(), reach_px=17.0
    )
    assert not found.failure
    y, x = found.transform.translation_yx
    assert np.hypot(y - 5.0, x + 4.0) < 2 * found.sigma_px
    assert found.transform.angle_deg == 0.0
    assert found.sigma_deg == UNKNOWN_DEG


def test_a_shift_beyond_what_a_stage_misses_is_no_link():
    found = bridge(
        pairs(np.random.default_rng(3), (15.0, 0.0)), 10.0, RegistrationSettings(), reach_px=4.0
    )
    assert found.failure
