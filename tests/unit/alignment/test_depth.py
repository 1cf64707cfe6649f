"""Which planes of two slices show the same tissue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, shift

from mosaicflow.alignment.depth import (
    PlaneProducts,
    expected_plane,
    fit_drift,
    match_planes,
    measure_drift,
    shadow_strength,
)


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
    assert (match.moving_z, match.n_planes, match.distance_planes) == (0, 2, 0)
    match = match_planes(46, 46, lag_planes=40, first_index=4)
    assert (match.moving_z, match.n_planes) == (3, 3)


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
    products = PlaneProducts.of(fixed, moving)
    found = fit_drift(products, lag_planes=20, first_index=4, max_drift_planes=10)
    assert found.drift_planes == pytest.approx(drift, abs=0.2)  # planes
    assert found.sigma_planes < 0.2


def test_a_measured_plane_25_for_expected_24_is_a_drift_of_one():
    rng = np.random.default_rng(5)
    tissue = column(rng, 100)
    products = PlaneProducts.of(tissue[:60], tissue[21:81])
    found = fit_drift(products, lag_planes=20, first_index=4, max_drift_planes=10)
    assert round(expected_plane(1, 20, 4) + found.drift_planes) == 25


def test_too_little_common_tissue_measures_nothing():
    rng = np.random.default_rng(1)
    planes = column(rng, 24)
    products = PlaneProducts.of(planes, planes)
    found = fit_drift(products, lag_planes=40, first_index=4, max_drift_planes=10)
    assert found.sigma_planes == np.inf


def block_of(rng, n_planes, size=90):
    noise = rng.standard_normal((n_planes, size, size))
    return (1 + 3 * gaussian_filter(noise, (1.5, 1.2, 1.2))).clip(0.2).astype(np.float32)


@pytest.mark.parametrize("overlap", [4, 6, 12])
@pytest.mark.parametrize("drift", [-0.6, 0.0, 0.7])
def test_depth_is_measured_in_thin_overlaps_too(overlap, drift):
    rng = np.random.default_rng(overlap)
    tissue = block_of(rng, 60)
    interval = 14.0
    n_planes = int(interval) + overlap
    moving = shift(tissue, (-(interval + drift), 0, 0), order=1)[:n_planes]
    fixed = tissue[:n_planes] * rng.gamma(25, 1 / 25, (n_planes, 90, 90)).astype(np.float32)
    moving = moving * rng.gamma(25, 1 / 25, moving.shape).astype(np.float32)
    found = measure_drift(fixed, moving, lag_planes=interval, first_index=4, max_drift_planes=10)
    assert found.sigma_planes < 0.5
    assert found.drift_planes == pytest.approx(drift, abs=0.2)  # planes


@pytest.mark.parametrize("strength", [0.0, 0.03])
def test_the_shadow_of_what_was_cut_off_is_measured(strength):
    rng = np.random.default_rng(8)
    tissue = column(rng, 40, 20_000)

    def under(first, n):
        """Tissue from a plane on, darkened by what lies between."""
        part = tissue[first : first + n].copy()
        above = np.zeros_like(part[0])
        for plane, true in zip(part, tissue[first : first + n], strict=True):
            plane -= strength * above
            above += true
        return part

    found = shadow_strength(PlaneProducts.of(under(0, 24), under(12, 24)), 12.0)
    assert found == pytest.approx(strength, abs=0.01)


def test_noise_has_no_depth():
    rng = np.random.default_rng(3)
    fixed, moving = rng.gamma(25, 1 / 25, (2, 24, 80, 80)).astype(np.float32)
    found = measure_drift(fixed, moving, lag_planes=12, first_index=4, max_drift_planes=6)
    assert found.sigma_planes == np.inf
