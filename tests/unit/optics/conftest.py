"""Tiles of random tissue seen through a known lens."""

from dataclasses import dataclass

import numpy as np
import pytest

from mosaicflow.optics.illumination import OverlapPair

SIDE = 48


def lens(side=SIDE, strength=0.15):
    """A vignette with its centre off the middle, mean 1."""
    y, x = (axis / (side - 1) * 2 - 1 for axis in np.indices((side, side)))
    field = 1 - strength * ((y - 0.2) ** 2 + 0.6 * (x + 0.1) ** 2) + 0.05 * x
    return (field / field.mean()).astype(np.float32)


@dataclass(frozen=True)
class Shaded:
    samples: np.ndarray
    pairs: list
    field: np.ndarray
    scenes: np.ndarray | None = None


@pytest.fixture
def shaded(make_texture):
    """Make `n` x `n` tiles of one scene; every tile is multiplied by the lens."""

    def make(n=8, strength=0.15, noise=0.05, seed=0, jitter_px=0):
        field = lens(strength=strength)
        step = SIDE * 3 // 4
        rng = np.random.default_rng(seed)
        side = step * n + SIDE
        scene = make_texture((1, side, side), seed, sigma_px=4.0, contrast=0.5)
        corners = {(iy, ix): (iy * step, ix * step) for iy in range(n) for ix in range(n)}
        tiles = {
            tile: scene[:, y : y + SIDE, x : x + SIDE]
            * field
            * rng.gamma(1 / noise**2, noise**2, (1, SIDE, SIDE)).astype(np.float32)
            for tile, (y, x) in corners.items()
        }
        pairs = [
            OverlapPair(tiles[a], tiles[b], tuple(np.subtract(corners[b], corners[a]) + jitter_px))
            for a in tiles
            for b in ((a[0] + 1, a[1]), (a[0], a[1] + 1))
            if b in tiles
        ]
        return Shaded(np.concatenate(list(tiles.values())), pairs, field)

    return make


@pytest.fixture
def on_dark_ground(make_texture):
    """Make tiles of a few bright islands; the lens shades them, then a tilted offset adds."""

    def make(n=8, offset=0.4, ground=0.0, seed=0):
        field = lens(strength=0.25)
        y, x = np.indices((SIDE, SIDE)) / SIDE
        added = (offset * (0.6 + 0.5 * y + 0.3 * x)).astype(np.float32)
        step = SIDE * 3 // 4
        rng = np.random.default_rng(seed)
        side = step * n + SIDE
        texture = make_texture((1, side, side), seed, sigma_px=4.0, contrast=0.3)
        where = make_texture((1, side, side), seed + 1, sigma_px=25.0)
        scene = np.where(where > np.percentile(where, 65), texture, np.float32(ground))
        corners = {(iy, ix): (iy * step, ix * step) for iy in range(n) for ix in range(n)}
        truth = {t: scene[:, y : y + SIDE, x : x + SIDE] for t, (y, x) in corners.items()}
        tiles = {
            tile: cut * field + added + rng.normal(0, 0.004, cut.shape).astype(np.float32)
            for tile, cut in truth.items()
        }
        pairs = [
            OverlapPair(tiles[a], tiles[b], tuple(np.subtract(corners[b], corners[a])))
            for a in tiles
            for b in ((a[0] + 1, a[1]), (a[0], a[1] + 1))
            if b in tiles
        ]
        stacked = (np.concatenate(list(one.values())) for one in (tiles, truth))
        return Shaded(next(stacked), pairs, field, next(stacked))

    return make
