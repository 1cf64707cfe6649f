import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.steps.from_tiles import steps_of


def rows(raw):
    return [one.to_cells() for one in steps_of(discover(raw.root, InspectSettings()).slices)]


def write(raw, z, move_y=0.0, move_x=0.0, sign=1, first=(0, 0), size=(3, 3)):
    for y in range(first[0], first[0] + size[0]):
        for x in range(first[1], first[1] + size[1]):
            raw.tile(
                x, y, z,
                stage_y_pos_mm=round(5 + move_y + sign * 0.096 * y, 9),
                stage_x_pos_mm=round(10 + move_x + sign * 0.08 * x, 9),
            )  # fmt: skip


def test_the_worked_example_of_the_definition(raw):
    # The region of interest moves by +5 px in x and +2 px in y of 10 um.
    write(raw, 0)
    write(raw, 1, move_y=0.02, move_x=0.05)

    (row,) = rows(raw)

    assert (row["fixed_id"], row["moving_id"]) == (0, 1)
    assert (row["x_shift_mm"], row["y_shift_mm"]) == (-0.05, -0.02)
    assert (row["x_shift"], row["y_shift"]) == (-5.0, -2.0)
    assert (row["reliable"], row["source"]) == (1, "stage")


def test_placement_from_the_shifts_is_that_of_the_origins(raw):
    # Against a stage that runs backwards, array index 0 lies at the upper limit.
    write(raw, 0, sign=-1)
    write(raw, 1, move_y=0.02, move_x=0.05, sign=-1)
    slices = discover(raw.root, InspectSettings()).slices
    (step,) = steps_of(slices)

    assert slices[0].stage.signs == (-1, -1)
    assert slices[0].stage.origin_mm == slices[0].stage.max_mm
    # A region that moved up the stage starts earlier in a reversed array.
    placement_mm = -slices[1].stage.signs[1] * step.shift_mm[1]
    assert placement_mm == pytest.approx(-0.05)


def test_a_grown_lattice_moves_its_origin(raw):
    write(raw, 0, first=(1, 1))
    write(raw, 1, first=(0, 0), size=(4, 4))

    (row,) = rows(raw)

    assert (row["x_shift_mm"], row["y_shift_mm"]) == (0.08, 0.096)
    assert row["reliable"] == 1


def test_a_gap_in_ids_is_one_row(raw):
    write(raw, 3)
    write(raw, 5)

    assert [(r["fixed_id"], r["moving_id"]) for r in rows(raw)] == [(3, 5)]


def test_without_positions_the_step_is_zero_and_not_reliable(raw):
    raw.but(with_positions=False).lattice(2, 2, 0).lattice(2, 2, 1)

    (row,) = rows(raw)

    assert (row["x_shift_mm"], row["reliable"], row["source"]) == (0.0, 0, "zero")


def test_a_long_step_is_not_reliable(raw):
    write(raw, 0)
    write(raw, 1, move_x=0.9)

    (row,) = rows(raw)

    assert (row["x_shift_mm"], row["reliable"]) == (-0.9, 0)


def test_a_single_row_takes_its_direction_from_the_other_slices(raw):
    write(raw, 0, sign=-1)
    write(raw, 1, sign=-1, size=(1, 3))

    slices = discover(raw.root, InspectSettings()).slices

    assert slices[1].stage.signs == (-1, -1)
    assert rows(raw)[0]["reliable"] == 1
