"""Sampling one slice on the canvas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from mosaicflow.slices.islands import Islands
from mosaicflow.stacking.sampling import LateralMap, Sampler, Window, plane_weights


def rotation(degrees):
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def sampler_of(image, matrix, offset, shape, valid=None):
    lateral = LateralMap(np.asarray(matrix), np.asarray(offset, float), image.shape)
    target = Window((0, shape[0]), (0, shape[1]))
    source = lateral.source(target)
    valid = np.ones(image.shape, bool) if valid is None else valid
    return Sampler(lateral, target, source, valid[source.slices]), image[source.slices]


def test_a_whole_pixel_shift_copies():
    image = np.arange(30, dtype=np.float32).reshape(5, 6) + 1
    sampler, part = sampler_of(image, np.eye(2), (1, 2), (4, 4))
    np.testing.assert_array_equal(sampler(part).reshape(4, 4), image[1:5, 2:6])
    assert sampler.covered.all()


def test_rotation_agrees_with_an_independent_resampling():
    rng = np.random.default_rng(0)
    image = rng.random((60, 70)).astype(np.float32)
    matrix, offset = rotation(7.0) / 1.002, (3.3, -4.1)
    sampler, part = sampler_of(image, matrix, offset, (64, 66))
    expected = affine_transform(image, matrix, offset, (64, 66), order=1)
    inside = affine_transform(np.ones_like(image), matrix, offset, (64, 66), order=1) > 0.999
    found = sampler(part).reshape(64, 66)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)


def test_a_constant_stays_constant_up_to_the_rim_and_is_zero_beyond():
    image = np.full((20, 20), 3.0, np.float32)
    sampler, part = sampler_of(image, np.eye(2), (-5.25, 0.0), (30, 20))
    found = sampler(part).reshape(30, 20)
    np.testing.assert_allclose(found[found != 0], 3.0, rtol=1e-6)
    assert np.flatnonzero(found[:, 0]).tolist() == list(range(5, 25))
    assert len(sampler.holes) == 10 * 20


def test_missing_data_does_not_darken_its_neighbours():
    image = np.full((20, 20), 3.0, np.float32)
    valid = np.ones((20, 20), bool)
    valid[:, 8:12] = False
    image[~valid] = 0
    sampler, part = sampler_of(image, np.eye(2), (0.0, 0.4), (20, 19), valid)
    found = sampler(part).reshape(20, 19)
    assert set(np.round(np.unique(found), 5)) == {0.0, 3.0}
    assert (found[:, 9] == 0).all()


@given(st.floats(-10, 10), st.floats(-6, 6), st.floats(-6, 6))
def test_some_pixels_are_the_same_as_all(angle, dy, dx):
    rng = np.random.default_rng(1)
    image = rng.random((24, 20)).astype(np.float32)
    sampler, part = sampler_of(image, rotation(angle), (dy, dx), (22, 21))
    pixels = np.array([0, 7, 100, 461])
    np.testing.assert_allclose(sampler.some(part, pixels), sampler(part)[pixels], atol=1e-6)


def test_a_part_of_the_canvas_beyond_the_slice_needs_nothing():
    lateral = LateralMap(np.eye(2), np.array([100.0, 0.0]), (50, 50))
    assert lateral.source(Window((0, 10), (0, 10))) is None


def test_equal_pitch_maps_planes_one_to_one():
    assert [first for first, _ in plane_weights(5, 10.0, 5, 10.0)] == [0, 1, 2, 3, 4]


@given(st.integers(2, 60), st.floats(2.0, 20.0))
def test_planes_of_another_pitch_are_averaged_by_thickness(n, pitch):
    n_target = max(1, int(n * pitch / 10.0 + 0.5))
    depths = (np.arange(n) + 0.5) * pitch
    for k, (first, weights) in enumerate(plane_weights(n, pitch, n_target, 10.0)):
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        mean = float(depths[first : first + len(weights)] @ weights)
        # Half a source plane: all that sampling can be off by; a sliver below the end may miss.
        assert abs(mean - (k + 0.5) * 10.0) <= max(pitch, 10.0) / 2 + 5.0 * (k == n_target - 1)


def test_islands_are_drawn_moved_and_all_of_what_they_need_is_read():
    rng = np.random.default_rng(3)
    image = rng.random((40, 80)).astype(np.float32)
    islands = Islands(np.array([[0.0, 0, 40, 40], [0, 40, 40, 80]]), np.array([0, 1]))
    moves = np.array([(-2.0, 1.0), (3.0, 0.0)])
    lateral = LateralMap(np.eye(2), np.zeros(2), image.shape, islands, moves)
    target = Window((8, 20), (8, 72))
    source = lateral.source(target)
    sampler = Sampler(lateral, target, source, np.ones(source.shape, bool))
    found = sampler(image[source.slices]).reshape(12, 64)
    np.testing.assert_allclose(found[:, :32], image[6:18, 9:41], atol=1e-6)
    np.testing.assert_allclose(found[:, 32:], image[11:23, 40:72], atol=1e-6)
