"""Shadows that tissue throws on what lies below it: measured, and lifted only where proven."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from mosaicflow.slices.shadow import Shadow, SharedBlocks, lift_shadows, measure_shadow

DEPTH, LAG, N = 26, 20, 400


class World:
    """Columns of tissue with structure along z, seen by slices whose light fades with depth."""

    def __init__(self, seed, strength, *, noise=0.05, n_pairs=3):
        self.rng = np.random.default_rng(seed)
        self.strength, self.noise = strength, noise
        steps = gaussian_filter1d(self.rng.normal(0, 1, (LAG * n_pairs + DEPTH, N)), 6, axis=0)
        self.tissue = 500 * np.exp(0.3 * steps / steps.std() + self.rng.normal(0, 0.3, N))
        fading = np.exp(-0.02 * np.arange(DEPTH))
        # As the profile of a run, the level holds what shadows usually take.
        self.level = fading * np.exp(-strength * np.arange(DEPTH))
        self.pairs = [
            SharedBlocks(self.seen(i * LAG, fading), self.seen((i + 1) * LAG, fading), LAG)
            for i in range(n_pairs)
        ]

    def seen(self, face, fading):
        tissue = self.tissue[face : face + DEPTH]
        above = np.cumsum(tissue, axis=0) - tissue
        lit = tissue * fading[:, None] * np.exp(-self.strength / 500 * above)
        return (lit * self.rng.normal(1, self.noise, lit.shape)).astype(np.float32)


@pytest.mark.parametrize("strength", [0.01, 0.025, 0.05])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_strength_of_shadows_is_measured_to_its_own_error(seed, strength):
    world = World(seed, strength)
    found = measure_shadow(world.pairs, world.level)
    true = strength * found.shadow.unit / 500
    assert found.strength == pytest.approx(true, abs=4 * found.sigma + 0.05 * true)
    assert found.spread_after < 0.8 * found.spread_before


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_nothing_throws_shadows_none_are_lifted(seed):
    found = measure_shadow((world := World(seed, 0.0)).pairs, world.level)
    assert abs(found.strength) < 5 * found.sigma
    assert found.shadow is None or found.strength < 0.002  # of the light per plane


def test_what_is_dimmer_below_less_tissue_throws_no_shadow():
    world = World(3, -0.02)
    found = measure_shadow(world.pairs, world.level)
    assert found.strength < 0
    assert found.shadow is None


@pytest.mark.parametrize("thickness", [1.0, 0.35])
def test_lifting_gives_back_what_lies_below_any_tissue(thickness):
    rng = np.random.default_rng(5)
    n = round(DEPTH / thickness)
    tissue = rng.uniform(200, 900, (n, 6, 7)).astype(np.float32)
    above = (np.cumsum(tissue, axis=0) - tissue) * thickness
    seen = tissue * np.exp(-0.03 / 500 * above)
    depth = (np.arange(n) + 0.5) * thickness - 0.5
    # Level and usual tissue of a specimen that is 500 everywhere.
    shadow = Shadow(0.03, 500.0, np.arange(DEPTH, dtype=float))
    level = np.exp(-0.03 * np.maximum(depth, 0))
    lift_shadows(seen, shadow, level, thickness=thickness)
    np.testing.assert_allclose(seen / level[:, None, None], tissue, rtol=0.01)


def test_no_data_stays_none_and_no_value_runs_away():
    planes = np.full((DEPTH, 4), 1e6, np.float32)
    planes[:, 0] = 0
    lift_shadows(planes, Shadow(0.1, 1.0, np.arange(DEPTH, dtype=float)), np.ones(DEPTH))
    assert not planes[:, 0].any()
    assert np.isfinite(planes).all()
    assert planes.max() <= 5.01e6


def test_too_few_blocks_say_nothing():
    few = np.ones((DEPTH, 20), np.float32)
    found = measure_shadow([SharedBlocks(few, few, LAG)], np.ones(DEPTH))
    assert found.shadow is None
    assert np.isnan(found.strength)
    assert measure_shadow([], np.ones(DEPTH)).shadow is None


def test_slices_that_share_no_plane_say_nothing():
    world = World(1, 0.03)
    apart = [SharedBlocks(pair.upper, pair.lower, DEPTH + 3) for pair in world.pairs]
    assert measure_shadow(apart, world.level).shadow is None


def test_the_file_comes_back_as_it_went():
    shadow = Shadow(0.0213, 481.5, np.array([0.0, 0.9, 2.1]))
    again = Shadow.from_json(json.loads(json.dumps(shadow.to_json())))
    assert (again.strength, again.unit) == (shadow.strength, shadow.unit)
    np.testing.assert_allclose(again.above, shadow.above)


@pytest.mark.parametrize("change", [{"unit": 0}, {"above": []}, {"strength": "nan"}])
def test_numbers_that_nobody_can_mean_are_refused(change):
    record = Shadow(0.02, 400.0, np.arange(3.0)).to_json()
    with pytest.raises(ValueError, match="shadow"):
        Shadow.from_json({**record, **change})
