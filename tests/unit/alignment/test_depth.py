"""Which planes of two slices show the same tissue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from mosaicflow.alignment.depth import expected_plane, fit_drift, match_planes


def test_the_face_of_the_next_slice_lies_one_interval_down():
    assert expected_plane(1, 20, 4) == 24
    assert expected_plane(2, 20, 4) == 44


def test_all_common_planes_are_matched():
    match = match_planes(60, 60, lag_planes=20, first_index=4)
    assert (match.fixed_z, match.moving_z, match.n_planes) == (24, 4, 36)
    assert match.distance_planes == 0
    assert np.flatnonzero(match.moving).tolist() == list(range(4, 40))
    assert np.flatnonzero(match.fixed > 1e-9).tolist() == list(range(24, 60))


@given(st.integers(1, 80), st.integers(1, 80), st.floats(0, 120), st.integers(0, 6))
def test_weights_always_sum_to_one(n_fixed, n_moving, lag, first):
    match = match_planes(n_fixed, n_moving, lag_planes=lag, first_index=first)
    assert match.fixed.sum() == pytest.approx(1)
    assert match.moving.sum() == pytest.approx(1)


def test_slices_without_common_tissue_are_compared_where_they_are_nearest():
    match = match_planes(60, 60, lag_planes=60, first_index=4)
    assert (match.fixed_z, match.moving_z) == (59, 4)
    assert match.distance_planes == pytest.approx(7)  # planes 57..59 against 64..66


def test_damaged_top_planes_are_used_only_when_there_are_no_others():
    match = match_planes(42, 42, lag_planes=40, first_index=4)
    assert (match.moving_z, match.n_planes, match.distance_planes) == (1, 1, 0)


def test_slices_one_plane_deep_are_compared_plane_to_plane():
    match = match_planes(1, 1, lag_planes=1.0, first_index=4)
    assert match.fixed.tolist() == match.moving.tolist() == [1.0]


def column(rng, n_planes, n_pixels=400):
    noise = rng.standard_normal((n_planes, n_pixels))
    return gaussian_filter(noise, (2.0, 0)).astype(np.float32)


@pytest.mark.parametrize("drift", [-3, 0, 1])
def test_drift_is_found_to_a_fraction_of_a_plane(drift):
    rng = np.random.default_rng(3)
    tissue = column(rng, 100)
    fixed = tissue[:60] + 0.05 * rng.standard_normal((60, 400)).astype(np.float32)
    start = 20 + drift
    moving = tissue[start : start + 60] + 0.05 * rng.standard_normal((60, 400)).astype(np.float32)
    found = fit_drift(fixed, moving, lag_planes=20, first_index=4, max_drift_planes=10)
    assert found.drift_planes == pytest.approx(drift, abs=0.2)  # planes
    assert found.sigma_planes < 0.2


def test_a_measured_plane_25_for_expected_24_is_a_drift_of_one():
    rng = np.random.default_rng(5)
    tissue = column(rng, 100)
    found = fit_drift(tissue[:60], tissue[21:81], lag_planes=20, first_index=4, max_drift_planes=10)
    assert round(expected_plane(1, 20, 4) + found.drift_planes) == 25


def test_too_little_common_tissue_measures_nothing():
    rng = np.random.default_rng(1)
    planes = column(rng, 24)
    found = fit_drift(planes, planes, lag_planes=20, first_index=4, max_drift_planes=10)
    assert (found.drift_planes, found.sigma_planes) == (0.0, np.inf)
