import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.errors import QualityError
from mosaicflow.slices.surface import Surface, detect_surface, fit_surface, rise

SHAPE = (64, 40, 48)


def block(face, *, noise=0.1, seed=0, water=0.05):
    """Water above the face, fading tissue below, blurred by one plane and speckled."""
    rng = np.random.default_rng(seed)
    depth = np.arange(SHAPE[0])[:, None, None] - face[None] + 0.5
    tissue = 0.5 * (1 + np.tanh(depth / 1.0)) * np.exp(-np.maximum(depth, 0) / 60)
    volume = water + tissue
    return (volume * rng.gamma(1 / noise**2, noise**2, volume.shape)).astype(np.float32)


def coordinates():
    y, x = np.indices(SHAPE[1:])
    return (y + 0.5) / SHAPE[1] * 2 - 1, (x + 0.5) / SHAPE[2] * 2 - 1


def tilted(depth=20.0, slope_y=3.0, slope_x=-2.0):
    y, x = coordinates()
    return depth + slope_y * y + slope_x * x


def wavy():
    y, x = coordinates()
    return tilted() + 2.5 * (y**2 - x**2)


def error(surface, face):
    found = surface.depth(slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    difference = found - face
    return np.abs(difference - np.median(difference)).max(), abs(np.median(difference))


@settings(max_examples=15)
@given(
    depth=st.floats(12, 35),
    slope_y=st.floats(-5, 5),
    slope_x=st.floats(-5, 5),
    seed=st.integers(0, 99),
)
def test_a_plane_is_recovered_to_a_fifth_of_a_plane(depth, slope_y, slope_x, seed):
    face = tilted(depth, slope_y, slope_x)
    surface = fit_surface(block(face, seed=seed), SHAPE[1:], "plane")
    shape_error, offset = error(surface, face)
    assert shape_error < 0.2  # planes
    assert offset < 0.7  # planes; half of it is where in a rise the face is said to be
    assert surface.residual_planes < 0.5


def test_waviness_is_followed_only_where_held_out_columns_confirm_it():
    assert fit_surface(block(wavy()), SHAPE[1:]).model == "plane_waviness"
    assert error(fit_surface(block(wavy()), SHAPE[1:]), wavy())[0] < 0.5
    flat = fit_surface(block(tilted()), SHAPE[1:])
    assert flat.model == "plane"
    assert error(flat, tilted())[0] < 0.2


def test_bubbles_and_reflections_do_not_bend_the_plane():
    volume = block(tilted())
    volume[:8, 5:10, 5:12] = 3  # a reflection far above
    volume[:45, 25:31, 30:36] = 0.05  # a vessel
    assert error(fit_surface(volume, SHAPE[1:], "plane"), tilted())[0] < 0.3


def test_one_depth_for_all_is_the_mean_face():
    surface = fit_surface(block(tilted()), SHAPE[1:], "global")
    depth = surface.depth(slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    assert np.ptp(depth) == 0
    assert depth[0, 0] == pytest.approx(20, abs=1.5)


def test_columns_without_data_do_not_count():
    volume = block(tilted())
    volume[:, :, :10] = 0
    assert error(fit_surface(volume, SHAPE[1:]), tilted())[0] < 0.4


def test_without_water_there_is_no_face():
    assert fit_surface(block(np.full(SHAPE[1:], -5.0)), SHAPE[1:]) is None
    assert fit_surface(np.zeros(SHAPE, np.float32), SHAPE[1:]) is None


@pytest.mark.parametrize("model", ["plane_waviness", "plane", "global"])
def test_a_slice_of_negative_values_is_refused_in_words(model):
    with pytest.raises(QualityError, match="no column gets brighter with depth"):
        fit_surface(block(tilted()) - 10, SHAPE[1:], model)


def test_a_slice_whose_water_is_around_zero_is_fitted():
    face = tilted()
    surface = fit_surface(block(face) - 0.05, SHAPE[1:])
    assert np.abs(surface.depth(slice(0, SHAPE[1]), slice(0, SHAPE[2])) - face).max() < 1


def test_a_reduced_slice_gives_the_surface_of_the_full_one():
    face = tilted()
    full = (SHAPE[1] * 8, SHAPE[2] * 8)
    surface = fit_surface(block(face), full)
    found = surface.depth(slice(0, full[0]), slice(0, full[1]))
    blocks = found.reshape(SHAPE[1], 8, SHAPE[2], 8).mean(axis=(1, 3))
    difference = blocks - face
    assert np.abs(difference - np.median(difference)).max() < 0.2


@given(y=st.integers(0, 30), x=st.integers(0, 30))
def test_a_block_of_the_surface_is_a_part_of_the_whole(y, x):
    surface = Surface(np.random.default_rng(0).random((3, 3)), (40, 50), 0.0, "plane_waviness")
    whole = surface.depth(slice(0, 40), slice(0, 50))
    part = surface.depth(slice(y, y + 8), slice(x, x + 8))
    np.testing.assert_allclose(part, whole[y : y + 8, x : x + 8])


def test_steepness_does_not_depend_on_how_bright_a_column_is():
    volume = block(tilted(), noise=0.01)
    bright = volume * np.linspace(1, 4, SHAPE[2], dtype=np.float32)
    np.testing.assert_allclose(
        rise(bright, 2.0)[0].max(axis=0), rise(volume, 2.0)[0].max(axis=0), rtol=0.05
    )


def test_neighbouring_columns_agree_where_one_of_them_is_blind():
    (steep,) = rise(block(tilted(), noise=0.02), 2.0)
    blind = steep.copy()
    blind[:, 15:18, 20:23] = 0
    assert np.abs(detect_surface(blind) - detect_surface(steep)).max() <= 1.5
