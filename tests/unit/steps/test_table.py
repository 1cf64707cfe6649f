"""Stage steps: the sign of placements, sums over slices that are left out, repaired tables."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import InputError
from mosaicflow.steps.table import (
    StageStep,
    StepTable,
    parse_steps,
    place_slices,
    read_steps,
    write_steps,
)

COLUMNS = ("fixed_id", "moving_id", "x_shift", "y_shift", "x_shift_mm", "y_shift_mm", "reliable")


def table(*rows):
    """Steps from (fixed, moving, x_mm, y_mm[, reliable])."""
    cells = [
        dict(
            zip(COLUMNS, (str(r[0]), str(r[1]), "", "", str(r[2]), str(r[3]), *r[4:]), strict=False)
        )
        for r in rows
    ]
    return parse_steps(cells, "shifts_xy.csv")


def px(placement, slice_id, resolution_mm=0.01):
    return [round(value / resolution_mm, 6) for value in placement.position_mm[slice_id]]


def test_a_region_moved_by_plus_5_px_is_placed_at_plus_5_px():
    # Origins (x, y): slice 0 at (10.00, 5.00) mm, slice 1 at (10.05, 5.02) mm.
    placed = place_slices(table((0, 1, 10.00 - 10.05, 5.00 - 5.02)), [0, 1], 0)
    assert px(placed, 1) == [2, 5]
    # A vessel at (row, column) = (28, 35) of slice 1 is that at (30, 40) of slice 0.
    assert [28 + 2, 35 + 5] == [30, 40]


def test_a_stage_that_runs_against_the_index_turns_the_sign():
    placed = place_slices(table((0, 1, -0.05, -0.02)), [0, 1], 0, sign_yx=(1.0, -1.0))
    assert px(placed, 1) == [2, -5]


def test_slices_before_the_reference_get_the_opposite_sum():
    placed = place_slices(table((0, 1, -0.05, 0), (1, 2, -0.03, 0)), [0, 1, 2], 2)
    assert px(placed, 0) == [0, -8]
    assert px(placed, 2) == [0, 0]


def test_leaving_slices_out_keeps_their_displacement():
    steps = [(10, 5), (8, 3), (12, 7), (5, 2), (9, 4)]
    rows = [(i, i + 1, -x / 100, -y / 100) for i, (x, y) in enumerate(steps)]
    placed = place_slices(table(*rows), [0, 2, 4], 0, excluded=[1, 3])
    assert px(placed, 2) == [8, 18]
    assert px(placed, 4) == [17, 35]


@pytest.mark.parametrize(
    ("mode", "expected"), [("keep", 9.0), ("zero", 0.0), ("local_median", 1.0), ("median", 1.0)]
)
def test_an_unreliable_step_at_an_excluded_slice_counts_as_the_mode_says(mode, expected):
    rows = [(i, i + 1, 0.09 if i == 2 else 0.01, 0.0, "1") for i in range(5)]
    rows[2] = (2, 3, 0.09, 0.0, "0")
    placed = place_slices(table(*rows), [2, 3], 2, excluded=[3], excluded_mode=mode, window=2)
    assert px(placed, 3)[1] == pytest.approx(-expected)


def test_auto_keeps_a_reliable_stage_reading_and_replaces_another():
    rows = [(i, i + 1, 0.01, 0.0, "1") for i in range(5)]
    rows[2] = (2, 3, 0.09, 0.0, "1")
    assert px(place_slices(table(*rows), [2, 3], 2, excluded=[3]), 3)[1] == -9
    rows[2] = (2, 3, 0.09, 0.0, "0")
    assert px(place_slices(table(*rows), [2, 3], 2, excluded=[3]), 3)[1] == -1


def test_a_reversed_row_is_turned_round():
    found = table((1, 0, 0.05, 0.02))
    assert found.steps == table((0, 1, -0.05, -0.02)).steps
    assert "reversed" in found.warnings[0]


def test_float_ids_and_identical_duplicates_are_accepted():
    found = table(("0.0", "1.0", 0.01, 0), ("0", "1", 0.01, 0))
    assert len(found.steps) == 1
    assert "twice" in found.warnings[0]


def test_duplicates_that_differ_are_refused():
    with pytest.raises(InputError, match="row 3: pair 0-1 has two different rows"):
        table((0, 1, 0.01, 0), (0, 1, 0.02, 0))


def test_a_length_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="row 2: x_shift_mm is 'far'"):
        table((0, 1, "far", 0))


def test_a_gap_in_ids_with_one_row_is_a_legal_step():
    placed = place_slices(table((3, 5, -0.02, 0)), [3, 5], 3)
    assert px(placed, 5) == [0, 2]
    assert not placed.warnings


def test_a_missing_row_counts_zero_starts_a_segment_and_warns():
    rows = table((0, 1, -0.01, 0), (2, 3, -0.01, 0))
    placed = place_slices(rows, [0, 1, 2, 3], 0)
    assert px(placed, 2) == px(placed, 1)
    assert placed.segment[2] == placed.segment[3] != placed.segment[1]
    assert "slice 2" in placed.warnings[0]
    with pytest.raises(InputError, match="slice 2"):
        place_slices(rows, [0, 1, 2, 3], 0, strict=True)


def test_an_unreliable_step_parts_two_segments():
    placed = place_slices(table((0, 1, 0.9, 0, "0"), (1, 2, 0, 0, "1")), [0, 1, 2], 0)
    assert placed.segment[0] != placed.segment[1] == placed.segment[2]


def test_three_digit_ids_are_kept_apart():
    rows = [(i, i + 1, -0.01, 0) for i in (98, 99, 100)]
    placed = place_slices(table(*rows), [98, 101], 98)
    assert px(placed, 101) == [0, 3]


def test_rows_written_back_hold_the_same_numbers_and_scaled_pixels():
    cells = [dict(zip(COLUMNS, ("0", "1", "-33.3", "-13.3", "-0.05", "-0.02", "1"), strict=True))]
    found = parse_steps(cells, "shifts_xy.csv")
    (step,) = found.with_steps(found.steps).steps
    row = step.to_cells()
    assert (row["x_shift_mm"], row["y_shift_mm"], row["reliable"]) == (-0.05, -0.02, 1)
    assert row["x_shift"] == pytest.approx(-33.3, abs=0.1)
    assert isinstance(found, StepTable)


lengths = st.floats(-1e3, 1e3).map(lambda value: value + 0.0)  # tables have no -0.0
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=9).map(
    str.strip
)
stage_steps = st.builds(
    StageStep,
    fixed_id=st.integers(0, 9),
    moving_id=st.integers(10, 19),
    shift_mm=st.tuples(lengths, lengths),
    reliable=st.booleans(),
    source=st.sampled_from(["stage", "image", "manual", "median", "zero"]),
    shift_px=st.tuples(st.just(float("nan")) | lengths, lengths),
    others=st.dictionaries(st.sampled_from(["mine", "Who, when", "ü"]), texts),
)


def _all(step):
    """Every field as text: NaN is itself, and what only informs counts, too."""
    return [str(getattr(step, one.name)) for one in fields(step) if one.name != "others"]


@given(stage_steps)
def test_a_table_of_steps_is_read_as_it_was_written(tmp_path_factory, step):
    path = tmp_path_factory.mktemp("steps") / "shifts_xy.csv"
    write_steps(path, [step])
    found = read_steps(path)
    (again,) = found.steps
    assert _all(again) == _all(step)
    assert again.others == step.others
    assert not found.warnings


@given(stage_steps)
def test_a_step_turned_round_twice_is_itself(step):
    assert _all(step.turned_round().turned_round()) == _all(step)


def test_columns_of_people_survive_repairs(tmp_path):
    rows = [dict(zip(COLUMNS, ("1", "0", "", "", "0.05", "0.02", "1"), strict=True))]
    table = parse_steps([{**rows[0], "mine": "bumped"}], "shifts_xy.csv")
    write_steps(tmp_path / "clean.csv", table.with_steps(table.steps).steps)
    (step,) = read_steps(tmp_path / "clean.csv").steps
    assert (step.fixed_id, step.shift_mm, step.others) == (0, (-0.02, -0.05), {"mine": "bumped"})
