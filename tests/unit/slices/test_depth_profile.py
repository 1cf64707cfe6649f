"""One profile below the block face, from slices that share tissue."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.slices.depth_profile import (
    Comparisons,
    DepthProfile,
    SliceNote,
    fit_depth,
    middle_ratio,
)


class World:
    """A specimen with contrast along z, a fading profile, gains, and slices that overlap."""

    def __init__(self, seed, *, n=24, interval=7, depth=13, gain_sd=0.0, odd=None):
        rng = np.random.default_rng(seed)
        self.n, self.depth = n, depth
        self.n_planes = interval * (n - 1) + depth
        steps = np.arange(depth)
        self.profile = -rng.uniform(0.01, 0.06) * steps + 0.1 * np.sin(steps / 2)
        self.profile -= self.profile.mean()
        z = np.arange(self.n_planes) / self.n_planes
        tissue = 0.3 * np.sin(7 * z + 6 * rng.random()) + 0.3 * z
        tissue += np.cumsum(rng.normal(0, 0.01, self.n_planes))
        self.gains = rng.normal(0, gain_sd, n)
        for index, log_gain in (odd or {}).items():
            self.gains[index] += log_gain
        rows = []
        for i in range(n):
            level = self.profile + tissue[interval * i : interval * i + depth]
            rows += [(i, k + 1, i, k, level[k + 1] - level[k], 0.003) for k in range(depth - 1)]
        for i in range(n - 1):
            for k in range(depth - interval):
                ratio = self.profile[k + interval] - self.profile[k]
                ratio += self.gains[i] - self.gains[i + 1] + rng.normal(0, 0.01)
                rows.append((i, k + interval, i + 1, k, ratio, 0.003))
        self.rows = rows

    def fit(self):
        found = Comparisons.of(self.rows)
        return fit_depth(found, self.n, self.depth, n_planes=self.n_planes)

    def error(self, fit):
        return math.sqrt(np.nanmean((fit.log_level - self.profile) ** 2))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.sampled_from([4, 8, 24]),
    gain_sd=st.sampled_from([0.0, 0.03, 0.06]),
)
def test_the_specimens_own_contrast_does_not_pass_for_fading(seed, n, gain_sd):
    world = World(seed, n=n, gain_sd=gain_sd)
    fit = world.fit()
    assert world.error(fit) < 0.03 * max(1, math.sqrt(8 / n))  # gains average out by slices
    assert world.error(fit) < 4 * fit.uncertainty


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**31), odd=st.dictionaries(st.integers(0, 23), st.just(-2.3), max_size=3)
)
def test_dark_slices_spoil_nothing_and_their_gain_is_found(seed, odd):
    world = World(seed, odd=odd)
    fit = world.fit()
    assert world.error(fit) < 0.01
    np.testing.assert_allclose(fit.log_gain - np.median(fit.log_gain), world.gains, atol=0.1)


def test_a_noisy_slice_counts_little():
    world = World(3)
    rng = np.random.default_rng(0)
    noisy = [
        (*row[:4], row[4] + rng.normal(0, 0.5), 0.3) if 7 in (row[0], row[2]) else row
        for row in world.rows
    ]
    world.rows = noisy
    assert world.error(world.fit()) < 0.01


def test_missing_slices_leave_a_profile():
    world = World(5)
    world.rows = [row for row in world.rows if not {row[0], row[2]} & {4, 11, 12}]
    assert world.error(world.fit()) < 0.015


def test_a_steady_trend_of_the_specimen_is_none_of_the_profile():
    rising = World(1)
    rows = []
    for upper, upper_depth, lower, lower_depth, ratio, sigma in rising.rows:
        within = upper == lower
        rows.append((upper, upper_depth, lower, lower_depth, ratio + 0.005 * within, sigma))
    rising.rows = rows
    assert rising.error(rising.fit()) < 0.02  # taken for fading it would be 0.019 rms by itself


def test_what_nothing_tells_has_a_large_error():
    alone = World(2, n=1, depth=13)
    assert alone.fit().uncertainty > 0.15
    assert alone.fit().n_ratios == 0
    two = World(2, n=2)
    assert 0.005 < two.fit().uncertainty < 0.1


def test_depths_that_no_slice_shows_are_unknown():
    world = World(4)
    found = Comparisons.of(world.rows)
    fit = fit_depth(found, world.n, world.depth + 3, n_planes=world.n_planes)
    assert np.isnan(fit.log_level[-3:]).all()
    assert np.isnan(fit.sigma[-3:]).all()
    assert np.isfinite(fit.log_level[:-3]).all()


def test_a_ratio_is_the_median_over_blocks_and_has_an_error():
    rng = np.random.default_rng(0)
    lower = rng.uniform(1, 2, 400).astype(np.float32)
    upper = lower * rng.lognormal(math.log(1.3), 0.1, 400).astype(np.float32)
    upper[:40] *= 5  # dirt on one of them
    ratio, sigma = middle_ratio(upper, lower)
    assert ratio == pytest.approx(math.log(1.3), abs=4 * sigma)
    assert 0.003 < sigma < 0.02
    assert math.isnan(middle_ratio(upper[:15], lower[:15])[0])
    assert math.isnan(middle_ratio(0 * upper, lower)[0])


MEASURED = DepthProfile(
    "measured",
    "",
    10.0,
    np.array([0.5, 1.0, 1.5]),
    np.array([0.01, 0.02, np.nan]),
    80.0,
    910.5,
    (SliceNote(0, 0.1, True, 0.0), SliceNote(3, -2.3, False, 1.2)),
)


@pytest.mark.parametrize("profile", [MEASURED, DepthProfile("per-slice", "one slice alone")])
def test_a_profile_is_read_as_it_was_written(profile):
    read = DepthProfile.from_json(json.loads(json.dumps(profile.to_json())), "p.json")
    assert read.to_json() == profile.to_json()
    assert read.source == profile.source


def test_depths_between_planes_are_interpolated():
    np.testing.assert_allclose(
        MEASURED.level_at(np.array([0.0, 5.0, 10.0, 99.0])), [0.5, 0.5, 0.75, 1.5]
    )


@pytest.mark.parametrize(
    "change",
    [{"level": [0.5, -1.0]}, {"level": None}, {"white": 0.0}, {"source": "guess"}, {"slices": [1]}],
)
def test_a_damaged_profile_is_refused_by_name(change):
    with pytest.raises(FormatError, match=r"p\.json: found no usable depth profile"):
        DepthProfile.from_json({**MEASURED.to_json(), **change}, "p.json")
