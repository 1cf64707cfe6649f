"""What brightness that varies from tile to tile leaves open of a tilt of the field."""

import numpy as np
import pytest

from mosaicflow.optics.tile_brightness import BrightnessDifference, brightness_scores

N, STEP = 6, 0.8


def overlaps(gains, levels, noise=0.0, seed=0):
    """Overlaps of N x N tiles, each an estimate of the field's tilt along y and along x."""
    rng = np.random.default_rng(seed)
    found = []
    for a in np.ndindex(N, N):
        for axis in (0, 1):
            b = (a[0] + 1, a[1]) if axis == 0 else (a[0], a[1] + 1)
            if b[axis] == N:
                continue
            step = (STEP, 0.0) if axis == 0 else (0.0, STEP)
            # The mean over all overlaps of a direction is what tells the tilt.
            pull = np.eye(2)[axis] / (N * (N - 1) * STEP)
            difference = gains[a] - gains[b] + noise * rng.standard_normal()
            pair = (levels[a], levels[b])
            found.append(BrightnessDifference((a, b), (a, b), pair, step, difference, 1e-8, pull))
    return found


def tilt(found):
    return sum(one.pull * one.difference for one in found)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_tiles_that_vary_at_random_shift_a_tilt_as_often_as_is_told(noise):
    shifts, told = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = overlaps(0.05 * rng.standard_normal((N, N)), np.zeros((N, N)), noise, seed)
        shifts.append(tilt(found))
        told.append(np.diag(brightness_scores(found)))
    ratio = np.mean(np.square(shifts)) / np.mean(told)
    assert 0.7 <= ratio <= 1.4


def test_a_lamp_that_falls_evenly_is_told_where_tissue_does_not_explain_it():
    rng = np.random.default_rng(3)
    gains = 0.01 * rng.standard_normal((N, N))
    fall = gains + 0.02 * np.arange(N)[:, None]
    tissue = 0.02 * rng.standard_normal((N, N))
    # A tilt that is the fall itself was taken for the field: nothing of it is left over.
    y, x = np.sqrt(np.diag(brightness_scores(overlaps(gains, tissue + fall))))
    assert y == pytest.approx(0.02 / STEP, rel=0.3)
    assert x < 0.005


def test_a_specimen_brighter_in_the_middle_or_at_one_side_is_no_lamp_where_no_tile_varies():
    away = (np.arange(N) - 2.5) / 2.5
    specimen = -0.5 * away[:, None] ** 2 - 0.3 * away**2
    y, x = np.sqrt(np.diag(brightness_scores(overlaps(np.zeros((N, N)), specimen))))
    assert max(y, x) < 1e-3
    y, x = np.sqrt(
        np.diag(brightness_scores(overlaps(np.zeros((N, N)), 0.1 * np.eye(N).cumsum(0))))
    )
    assert max(y, x) < 1e-3


def test_tiles_that_share_no_tile_are_each_a_difference_of_their_own():
    found = [
        BrightnessDifference(((k, 0), (k, 1)), k, (0.0, 0.0), (0.0, STEP), d, 1e-8, np.array([1.0]))
        for k, d in enumerate((-0.02, 0.01, 0.02, -0.01))
    ]
    spread2 = (0.015 / 0.6745) ** 2
    assert brightness_scores(found)[0, 0] == pytest.approx(4 * spread2, rel=1e-3)
