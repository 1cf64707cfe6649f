import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from mosaicflow.optics.curvature import block_profiles, curved_band_means, field_curvature

SIDE, DEPTH, STEP = 96, 64, 76


def bowl(planes):
    y, x = (axis / (SIDE - 1) * 2 - 1 for axis in np.indices((SIDE, SIDE)))
    return planes * (y**2 + x**2) / 2


@pytest.fixture(scope="module")
def layered():
    """A block with layers that dip, so that its surface is no help."""
    n = STEP * 2 + SIDE
    rng = np.random.default_rng(3)
    block = gaussian_filter(rng.standard_normal((DEPTH + 30, n, n)), (2, 12, 12))
    return np.exp(0.5 * block / block.std())


def tiles_of(block, offset, noise=0.2):
    rng = np.random.default_rng(0)
    tiles, positions = {}, {}
    z, y, x = np.indices((DEPTH, SIDE, SIDE)).astype(float)
    for iy, ix in np.ndindex(3, 3):
        at = (z - offset + 15, y + iy * STEP, x + ix * STEP)
        clean = map_coordinates(block, at, order=1, mode="nearest")
        tiles[0, (iy, ix)] = (clean * rng.gamma(1 / noise**2, noise**2, clean.shape)).astype("f4")
        positions[iy, ix] = (float(iy * STEP), float(ix * STEP))
    return tiles, {0: positions}


@pytest.mark.parametrize("planes", [4.0, 12.0])
def test_at_most_a_seventh_of_the_curvature_is_left(layered, planes):
    true = bowl(planes)
    tiles, positions = tiles_of(layered, true)
    profiles = {key: block_profiles(tile) for key, tile in tiles.items()}
    found = field_curvature(profiles, positions, (SIDE, SIDE))
    assert found.kept
    left = found.planes - true
    assert left.std() <= 0.15 * true.std()
    assert left.std() <= 4 * found.error + 0.05
    assert found.after < 0.5 * found.before


def test_a_face_just_below_the_top_hides_no_curvature(layered):
    true = bowl(4.0)
    wet = layered.copy()
    wet[:17] = 0.02  # water: the face lies 2 planes below the top, and 6 in the corners
    tiles, positions = tiles_of(wet, true)
    profiles = {key: block_profiles(tile) for key, tile in tiles.items()}
    found = field_curvature(profiles, positions, (SIDE, SIDE))
    assert (found.planes - true).std() <= 0.1 * true.std()


def test_a_flat_field_is_left_alone(layered):
    tiles, positions = tiles_of(layered, 0 * bowl(1.0))
    profiles = {key: block_profiles(tile) for key, tile in tiles.items()}
    found = field_curvature(profiles, positions, (SIDE, SIDE))
    assert not found.kept
    assert not found.planes.any()


def test_too_few_planes_or_overlaps_say_nothing(layered):
    assert block_profiles(np.ones((1, 64, 64), np.float32)) is None
    tiles, positions = tiles_of(layered, bowl(4.0))
    lonely = {(0, (0, 0)): block_profiles(tiles[0, (0, 0)])}
    assert field_curvature(lonely, positions, (SIDE, SIDE)) is None


def test_bands_follow_the_curvature():
    z = np.arange(40, dtype=np.float32)[:, None, None]
    planes = np.array([[0.0, 1.0, 2.5]], np.float32)
    tile = np.maximum(z - planes, 0).astype(np.float32)  # what is deeper appears so
    means = curved_band_means(tile, [(10, 18), (18, 30)], planes)
    np.testing.assert_allclose(means[0], 13.5, atol=0.01)
    np.testing.assert_allclose(means[1], 23.5, atol=0.01)
