import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.slices.axial import axial_gain, gel_profile

Z = np.arange(60)


def beam(focus=35.0, width=14.0):
    return 1 / (1 + ((Z - focus) / width) ** 2)


def gel(profile, *, water=12, n=2000, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    columns = 5.0 * profile[:, None] * rng.gamma(1 / noise**2, noise**2, (len(profile), n))
    columns[:water] = 0.02 * rng.random((water, n))
    return columns.astype(np.float32)


def unevenness(profile):
    return profile.std() / profile.mean()


@pytest.mark.parametrize("focus", [25.0, 35.0, 38.0])
def test_the_gain_flattens_gel_at_all_depths(focus):
    found = axial_gain(gel(beam(focus)))
    assert found.first_plane == pytest.approx(15, abs=2)
    flat = beam(focus)[found.first_plane :] * found.gain[found.first_plane :]
    assert unevenness(flat) < 0.02
    assert found.unevenness_after < 0.1 * found.unevenness_before
    assert found.quality > 0.9
    truth = beam(focus)[found.first_plane :]
    assert found.psf_max == pytest.approx(truth.max() / np.percentile(truth, 1) - 1, rel=0.1)


def test_planes_above_the_face_get_the_gain_of_the_face():
    found = axial_gain(gel(beam()))
    assert (found.gain[: found.first_plane] == found.gain[found.first_plane]).all()
    assert (found.gain > 0).all()
    assert (found.gain[found.first_plane :] <= 1.05).all()


def test_even_gel_is_left_nearly_alone():
    found = axial_gain(gel(np.ones(60), noise=0.05))
    np.testing.assert_allclose(found.gain, 1, atol=0.02)


def test_a_few_wild_columns_change_nothing():
    columns = gel(beam())
    wild = columns.copy()
    wild[:, ::50] = 1000  # 2 %, brighter than tissue
    np.testing.assert_allclose(axial_gain(wild).gain, axial_gain(columns).gain, rtol=0.05)


def test_too_little_gel_gives_no_gain():
    assert axial_gain(gel(beam(), n=63)) is None


def test_a_profile_that_touches_zero_gives_no_gain():
    fading = np.where(Z < 40, 1.0, 0.0)
    assert axial_gain(gel(fading)) is None


@given(scale=st.floats(1e-3, 1e6))
def test_the_gain_does_not_depend_on_the_unit_of_the_intensity(scale):
    columns = gel(beam(), n=200)
    np.testing.assert_allclose(
        axial_gain(columns * np.float32(scale)).gain, axial_gain(columns).gain, rtol=1e-3
    )


def test_a_trimmed_mean_leaves_out_both_ends():
    columns = np.tile(np.arange(20, dtype=np.float32), (3, 1))
    columns[:, 0], columns[:, 19] = -1e6, 1e6
    np.testing.assert_allclose(gel_profile(columns), np.arange(1, 19).mean())
