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


def pair(rng, move, offset=(0.0, 0.0)):
    valid = np.ones((160, 160), bool)
    images = outline(rng, (0, 0)), outline(rng, move)
    return SlicePair(*(one.astype(np.float32) for one in images), valid, valid, offset)


def bridged(rng, move, *, own=(0.0, 0.0), reach_px=17.0, offset=(0.0, 0.0), distance=20.0):
    pairs = [pair(rng, move, offset) for _ in range(9)]
    return bridge(
        pairs, [(pair(rng, own), 15.0)] * 2, distance, RegistrationSettings(), reach_px=reach_px
    )


@pytest.mark.parametrize("offset", [(0.0, 0.0), (30.0, -12.0)])
def test_an_outline_tells_the_shift_to_its_own_error_and_no_rotation(offset):
    # The content of the moving slice lies (5, -4) px from where the stage puts it.
    move = (5.0 - offset[0], -4.0 - offset[1])
    found = bridged(np.random.default_rng(2), move, offset=offset)
    assert not found.failure
    y, x = found.transform.translation_yx
    assert np.hypot(y - 5.0, x + 4.0) < 1.0  # px: texture of the two slices differs
    assert found.sigma_px < 1.5
    assert found.transform.angle_deg == 0.0
    assert found.sigma_deg == UNKNOWN_DEG


def test_a_sharp_outline_alone_turns_nothing():
    y, x = np.mgrid[:160, :160]
    body = gaussian_filter((np.hypot((y - 80) / 62, (x - 80) / 56) < 1) * 1.0, 1)
    valid = np.ones(body.shape, bool)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        images = [
            ((1 + gaussian_filter(rng.standard_normal(body.shape), 2)) * body).astype(np.float32)
            for _ in range(2)
        ]
        both = SlicePair(*images, valid, valid, (0.0, 0.0))
        found = bridge([both], [], 20.0, RegistrationSettings(), reach_px=17.0)
        assert (found.transform.angle_deg, found.sigma_deg) == (0.0, UNKNOWN_DEG)


def test_an_outline_that_moves_within_the_slices_is_known_less_well():
    rng = np.random.default_rng(4)
    still, moving = (bridged(rng, (1.0, 1.0), own=own) for own in ((0.0, 0.0), (6.0, 0.0)))
    assert moving.sigma_px > 3 * still.sigma_px


def test_more_unseen_tissue_leaves_the_shift_less_certain():
    rng = np.random.default_rng(5)
    near, far = (bridged(rng, (1.0, 1.0), distance=planes) for planes in (10.0, 60.0))
    assert far.sigma_px > 2 * near.sigma_px


def test_a_shift_beyond_what_a_stage_misses_is_no_link():
    assert bridged(np.random.default_rng(3), (15.0, 0.0), reach_px=4.0).failure


def test_sections_that_still_share_their_structure_are_registered_by_it():
    rng = np.random.default_rng(6)
    both = outline(rng, (0, 0))
    valid = np.ones((160, 160), bool)
    images = [shift(both, move, order=1, mode="nearest") for move in ((0, 0), (3.0, -2.0))]
    same = SlicePair(*(one.astype(np.float32) for one in images), valid, valid, (0.0, 0.0))
    found = bridge([same], [], 2.0, RegistrationSettings(), reach_px=17.0)
    assert found.transform.translation_yx == pytest.approx((3.0, -2.0), abs=0.05)
    assert found.sigma_deg < 1
