"""Islands of one slice on another, and where they go, against known motions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mosaicflow.alignment.island_point import IslandPoint
from mosaicflow.alignment.links import SliceLink
from mosaicflow.alignment.moves import as_sure_as_islands, island_moves
from mosaicflow.alignment.pair_fit import RegistrationSettings, SlicePair
from mosaicflow.alignment.register import register_images
from mosaicflow.rigid import Rigid2D
from mosaicflow.slices.islands import Islands

SIDE, TILE = 216, 72
CENTER = ((SIDE - 1) / 2,) * 2
TILES = [(i, k) for i in range(3) for k in range(3) if (i + k) % 2 == 0]
BOXES = np.array([[TILE * i, TILE * k, TILE * i + TILE, TILE * k + TILE] for i, k in TILES], float)
ISLANDS = Islands(BOXES, np.arange(5))
TRUE = Rigid2D(0.4, CENTER, (2.0, -1.5))  # from pixels of the fixed slice to the moving one


def half_empty(rng, off):
    """A fixed image, and a moving one of five tiles that each lie off by themselves."""
    texture = sum(gaussian_filter(rng.standard_normal((SIDE, SIDE)), s) * s for s in (1.5, 4.0))
    scene = texture - texture.min() + 1
    moving = np.zeros((SIDE, SIDE))
    back = TRUE.inverse().about((0.0, 0.0))
    for (i, k), (dy, dx) in zip(TILES, off, strict=True):
        # Pixel q of the moving slice shows the tissue that belongs at q - off.
        shown = affine_transform(
            scene, back.matrix, back.offset - back.matrix @ (dy, dx), scene.shape, mode="nearest"
        )
        part = slice(TILE * i, TILE * i + TILE), slice(TILE * k, TILE * k + TILE)
        moving[part] = shown[part]
    images = [one * rng.gamma(100, 0.01, one.shape) for one in (scene, moving)]
    valid = np.ones((SIDE, SIDE), bool), moving > 0
    pair = [one.astype(np.float32) for one in images]
    return SlicePair(*pair, *valid, (0.0, 0.0), None, ISLANDS)


def test_each_island_is_found_and_the_slice_is_not_turned_by_them():
    rng = np.random.default_rng(5)
    off = rng.normal(0, 2, (5, 2))
    found = register_images(half_empty(rng, off), RegistrationSettings())
    assert not found.failure
    assert found.transform.angle_deg == pytest.approx(0.4, abs=0.1)  # deg; by the tiles: 0.5 off
    assert [one.number for one in found.islands] == [0, 1, 2, 3, 4]
    for one, move in zip(found.islands, off, strict=True):
        miss = np.array(one.moving_yx) - move - TRUE.apply(one.fixed_yx)
        assert np.hypot(*miss) < 0.2  # px, of 2 to 5 that they lie off
        assert np.hypot(*miss) < 5 * one.sigma_px
    assert found.sigma_px > 0.5  # the mean of five loose tiles


def link(fixed, moving, islands, **changes):
    one = SliceLink(
        fixed_id=fixed, moving_id=moving, angle_deg=0.0, fixed_yx=(0.0, 0.0), moving_yx=(0.0, 0.0),
        sigma_px=0.9, sigma_deg=0.05, confidence=0.9, correlation=0.9, held_out=(0.5, 0.8),
        drift=(0.0, 1.0), islands=islands,
    )  # fmt: skip
    return replace(one, **changes)


def test_islands_go_where_their_neighbours_show_them():
    poses = {i: Rigid2D(2.0 * i, (50.0, 40.0), (3.0 * i, -i)) for i in range(3)}
    moves = np.array([(1.0, -2.0), (-0.5, 0.25)])
    spots = np.array([(20.0, 20.0), (70.0, 60.0)])
    # Pixel q + move of slice 1 shows what its pose puts to q; slices 0 and 2 lie right.
    drawn = poses[1].apply(spots - moves)
    above, below = (poses[i].inverse().about((0.0, 0.0)).apply(drawn) for i in (0, 2))
    links = [
        link(0, 1, tuple(IslandPoint(False, k, tuple(above[k]), tuple(spots[k]), 0.05)
                         for k in range(2))),
        link(1, 2, (IslandPoint(True, 0, tuple(spots[0]), tuple(below[0]), 0.05),)),
    ]  # fmt: skip
    found = island_moves(poses, links, {1: 2})
    np.testing.assert_allclose(found[1], moves, atol=1e-9)
    assert island_moves(poses, links[1:], {1: 2})[1][1] == (0.0, 0.0)  # nobody shows it
    assert island_moves(poses, [], {1: 2}) == {}


def test_a_pair_that_shows_all_islands_counts_by_their_errors():
    points = tuple(IslandPoint(False, k, (0.0, 0.0), (0.0, 0.0), 0.06) for k in range(4))
    every, some = (as_sure_as_islands(link(0, 1, shown), {1: 4}) for shown in (points, points[:3]))
    assert every.sigma_px == pytest.approx(0.03)
    assert some.sigma_px == 0.9  # another pair may mean another place by the mean of others
