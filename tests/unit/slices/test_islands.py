"""Islands of tiles: which part of a slice belongs to which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.slices.islands import Islands, find_islands

CORNERS = {(0, 0): (0.0, 0.0), (0, 2): (0.0, 20.0), (1, 1): (10.0, 10.0), (1, 2): (10.0, 20.0)}
ISLAND = {(0, 0): 4, (0, 2): 7, (1, 1): 7, (1, 2): 7}


def test_tiles_that_overlaps_join_are_no_islands():
    assert find_islands(dict.fromkeys(CORNERS, 3), CORNERS, (12, 12)) is None


def test_a_point_belongs_to_the_tile_it_lies_deepest_in():
    islands = find_islands(ISLAND, CORNERS, (12, 12))
    assert islands.count == 2
    y, x = np.array([[5.0, 5.0, 10.4, 15.0], [5.0, 25.0, 10.4, 15.0]])
    assert islands.of(y, x).tolist() == [0, 1, 0, 1]
    # Where no tile lies, the nearest one decides: a move there draws nothing else.
    assert islands.of(np.array([-30.0]), np.array([2.0])).tolist() == [0]


def test_the_island_with_most_tiles_is_the_slice():
    islands = find_islands(ISLAND, CORNERS, (12, 12))
    assert islands.shares([0, 1]).tolist() == [0.0, 1.0]
    alone = find_islands({tile: k for k, tile in enumerate(CORNERS)}, CORNERS, (12, 12))
    assert alone.shares([0, 2, 3]).tolist() == pytest.approx([1 / 3] * 3)


@given(scale=st.floats(0.1, 8), y=st.floats(-5, 30), x=st.floats(-5, 40))
def test_scaled_islands_hold_the_scaled_points(scale, y, x):
    islands = find_islands(ISLAND, CORNERS, (12, 12))
    there = [np.array([(v + 0.5) * scale - 0.5]) for v in (y, x)]
    fine = islands.scaled((scale, scale))
    # On a border rounding decides.
    near = {int(islands.of(np.array([y + d]), np.array([x + d]))[0]) for d in (-1e-6, 0, 1e-6)}
    assert int(fine.of(*there)[0]) in near


def test_the_record_reads_as_it_was_written():
    islands = find_islands(ISLAND, CORNERS, (12, 12))
    back = Islands.from_json(islands.to_json())
    np.testing.assert_array_equal(back.boxes, islands.boxes)
    np.testing.assert_array_equal(back.owner, islands.owner)
    assert Islands.from_json(None) is None


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[0, 0, 0, 5]], "rows of island"),
        ([[1, 0, 0, 5, 5]], "without a hole"),
        ([[0, 5, 0, 5, 5]], "empty"),
        ([[0, float("nan"), 0, 5, 5]], "rows of island"),
    ],
)
def test_a_record_that_is_none_is_refused(rows, text):
    with pytest.raises(ValueError, match=text):
        Islands.from_json(rows)
