"""Slices whose tiles lie loose are told from sound and from noisy ones."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mosaicflow.alignment.loose import find_loose_tiles

SIDE, TILES = 360, 3


def band(image):
    return gaussian_filter(image, 2) - gaussian_filter(image, 8)


def images(seed, *, jitter_px=0.0, noise=0.0, every=2):
    """A scene and the same with every `every`-th tile there, each tile shifted by itself."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 2)
    scene /= scene.std()
    moved, there = np.zeros_like(scene), np.zeros((SIDE, SIDE), bool)
    size, shifts = SIDE // TILES, []
    for row, column in np.ndindex(TILES, TILES):
        if (row + column) % every:
            continue
        shifts.append(rng.normal(0, jitter_px, 2))
        part = slice(size * row, size * (row + 1)), slice(size * column, size * (column + 1))
        moved[part] = affine_transform(scene, np.eye(2), shifts[-1], order=3, mode="nearest")[part]
        there[part] = True
    fixed, seen = (one + noise * rng.standard_normal(one.shape) for one in (scene, moved))
    pair = (band(one).astype(np.float32) for one in (fixed, seen))
    return (*pair, there.astype(np.float32), there), np.array(shifts)


@pytest.mark.parametrize("seed", range(4))
def test_loose_tiles_tell_how_far_their_mean_can_be_trusted(seed):
    given, shifts = images(seed, jitter_px=1.5, noise=0.5)
    found = find_loose_tiles(*given)
    true = float(np.sqrt(shifts.var(axis=0, ddof=1).mean()))
    assert found.spread_px == pytest.approx(true, rel=0.35)
    assert found.sigma_px == pytest.approx(true / np.sqrt(len(shifts)), rel=0.35)
    # Four tiles 170 px from the middle one hold the angle.
    assert found.sigma_deg == pytest.approx(np.degrees(true / (2 * 170)), rel=0.5)


@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("every", [1, 2])
def test_tiles_that_lie_right_are_not_called_loose_however_noisy(noise, every):
    given, _ = images(7, noise=noise, every=every)
    assert find_loose_tiles(*given) is None


def test_too_little_tissue_says_nothing():
    given, _ = images(1, jitter_px=2.0)
    weight = np.zeros_like(given[2])
    weight[:90, :90] = given[2][:90, :90]
    assert find_loose_tiles(given[0], given[1], weight, given[3]) is None
    assert find_loose_tiles(given[0], given[1], np.zeros_like(weight), given[3]) is None
