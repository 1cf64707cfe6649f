"""Spikes, counted tiles and genuine moves of the stage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.steps.rehoming import clean_steps
from mosaicflow.steps.table import StageStep


def steps(*x_mm):
    return [StageStep(i, i + 1, (0.0, x)) for i, x in enumerate(x_mm)]


def x_of(found):
    return [round(step.shift_mm[1], 9) for step in found]


def test_a_spike_is_halved_and_a_genuine_move_is_kept_and_marked():
    found = clean_steps(steps(0.01, 0.90, -0.88, 0.02, 1.20, 0.00))
    assert x_of(found.steps) == [0.01, 0.01, 0.01, 0.02, 1.2, 0.0]
    assert [step.reliable for step in found.steps] == [True, True, True, True, False, True]
    report = found.to_json()
    assert (report["n_rows"], report["n_corrected"]) == (6, 2)
    assert report["corrected_spikes"][0] == {
        "index": 1,
        "fixed_id": 1,
        "moving_id": 2,
        "correction_type": "spike",
        "original_x_shift_mm": 0.9,
        "original_y_shift_mm": 0.0,
        "corrected_x_shift_mm": 0.01,
        "corrected_y_shift_mm": 0.0,
    }
    assert [move["moving_id"] for move in report["genuine"]] == [5]
    assert report["corrected_tile_offsets"] == []


def test_a_spike_at_the_end_has_no_partner_and_is_only_marked():
    found = clean_steps(steps(0.0, 0.0, 0.9))
    assert x_of(found.steps) == [0.0, 0.0, 0.9]
    assert not found.steps[-1].reliable


def test_two_spikes_in_a_row_are_both_removed():
    found = clean_steps(steps(0.9, -0.9, 0.8, -0.8))
    np.testing.assert_allclose(x_of(found.steps), 0.0)


def test_a_move_before_a_spike_is_no_part_of_it():
    found = clean_steps(steps(-0.6, 0.9, -0.9))
    assert x_of(found.steps) == [-0.6, 0.0, 0.0]
    assert [step.moving_id for step in found.genuine] == [1]


def test_spikes_side_by_side_are_paired_so_that_none_is_left_over():
    # The two steps in the middle cancel best, but would leave the outer ones alone.
    found = clean_steps(steps(0.90, -0.88, 0.881, -0.9))
    assert not found.genuine


def test_steps_that_do_not_follow_each_other_are_no_spike():
    apart = [StageStep(0, 1, (0.0, 0.9)), StageStep(3, 4, (0.0, -0.9))]
    assert not clean_steps(apart).spikes


def test_whole_tiles_are_taken_off_only_when_their_size_is_given():
    moved = steps(0.01, 0.875 * 2 + 0.02, 0.0)
    assert not clean_steps(moved, max_shift_mm=5).tile_offsets
    found = clean_steps(moved, tile_fov_mm=0.875)
    assert x_of(found.steps) == [0.01, 0.02, 0.0]
    assert found.to_json()["corrected_tile_offsets"][0]["correction_type"] == "tile_offset"


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=12))
def test_cleaning_never_changes_the_net_movement(shifts):
    before = [StageStep(i, i + 1, shift) for i, shift in enumerate(shifts)]
    after = clean_steps(before).steps
    total = np.sum([step.shift_mm for step in before], axis=0)
    np.testing.assert_allclose(np.sum([s.shift_mm for s in after], axis=0), total, atol=1e-9)


@pytest.mark.parametrize("limit", [0.2, 0.5])
def test_long_steps_are_never_reliable(limit):
    found = clean_steps(steps(0.1, 0.3, 0.6), max_shift_mm=limit)
    assert [s.reliable for s in found.steps] == [s.length_mm <= limit for s in found.steps]
