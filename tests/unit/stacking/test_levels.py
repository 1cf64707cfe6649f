"""Counting what was drawn."""

import numpy as np
import pytest

from mosaicflow.stacking.levels import PlaneLevels


def test_planes_are_counted_part_by_part():
    levels = PlaneLevels.empty(2)
    levels.count(1, np.array([0, -0.5, 0.5, 2.0], np.float32))
    levels.count(1, np.array([0, 0, 1.0], np.float32))
    assert levels.total.tolist() == [0, 3.0]
    assert [levels.filled[1], levels.below[1], levels.above[1]] == [4, 1, 1]


def test_the_contrast_leaves_out_dirt_and_no_data_and_keeps_gel_black():
    rng = np.random.default_rng(0)
    levels = PlaneLevels.empty(50)
    for plane in range(50):
        image = rng.normal(0.0, 0.05, 5000).astype(np.float32)  # gel
        image[::4] = rng.uniform(0.3, 0.9, 1250)
        image[1::4] = 0
        image[2] = 40.0
        levels.count(plane, image)
    (low, high), (least, most) = levels.contrast()
    assert low == 0
    assert high == pytest.approx(0.9, abs=0.03)
    assert least < low < high <= most


def test_nothing_drawn_has_no_contrast():
    levels = PlaneLevels.empty(1)
    levels.count(0, np.zeros(9, np.float32))
    assert levels.contrast() is None
