import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.tile_numbers import TileNumbering, find_numbers
from mosaicflow.errors import InputError, ParameterError

PATTERNS = ["row-by-row", "column-by-column", "snake-by-rows", "snake-by-columns"]


def lattice(pattern, order, grid="2x3"):
    """Ranks as they lie in the lattice."""
    path = TileNumbering(pattern, order, grid).path
    places = {path.index(rank): rank for rank in range(path.n_rows * path.n_columns)}
    return [[places[iy, ix] for ix in range(path.n_columns)] for iy in range(path.n_rows)]


@pytest.mark.parametrize(
    ("pattern", "order", "expected"),
    [
        ("row-by-row", "right-down", [[0, 1, 2], [3, 4, 5]]),
        ("row-by-row", "left-down", [[2, 1, 0], [5, 4, 3]]),
        ("row-by-row", "right-up", [[3, 4, 5], [0, 1, 2]]),
        ("column-by-column", "down-right", [[0, 2, 4], [1, 3, 5]]),
        ("column-by-column", "up-left", [[5, 3, 1], [4, 2, 0]]),
        ("snake-by-rows", "right-down", [[0, 1, 2], [5, 4, 3]]),
        ("snake-by-rows", "left-down", [[2, 1, 0], [3, 4, 5]]),
        ("snake-by-rows", "left-up", [[3, 4, 5], [2, 1, 0]]),
        ("snake-by-columns", "right-down", [[0, 3, 4], [1, 2, 5]]),
    ],
)
def test_paths_walk_as_their_names_say(pattern, order, expected):
    assert lattice(pattern, order) == expected


@given(
    st.sampled_from(PATTERNS),
    st.sampled_from(["right-down", "left-down", "right-up", "left-up"]),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_every_path_visits_every_place_once(pattern, order, rows, columns):
    path = TileNumbering(pattern, order, f"{rows}x{columns}").path

    places = {path.index(rank) for rank in range(rows * columns)}

    assert places == {(iy, ix) for iy in range(rows) for ix in range(columns)}
    assert path.index(rows * columns) is None


def test_a_snake_moves_to_a_neighbour_each_time():
    path = TileNumbering("snake-by-columns", "left-up", "4x5").path
    places = [path.index(rank) for rank in range(20)]

    steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.pairwise(places)]
    assert set(steps) == {1}


def test_the_number_is_found_by_comparing_names():
    names = [f"C3-Brain2Section{n:04d}.tif" for n in (1, 2, 9, 10)]

    assert list(find_numbers(names, None).values()) == [1, 2, 9, 10]


STAMPS = (1533, 1541, 1607, 1649)


@pytest.mark.parametrize(
    "name", ["tile_{n:03d}_2021092210{t}.tif", "2021092210{t}_tile_{n:03d}.tif", "{t}-{n}_z7.tif"]
)
def test_a_time_stamp_beside_the_counter_does_not_count(name):
    names = [name.format(n=n, t=t) for n, t in enumerate(STAMPS, start=1)]

    assert list(find_numbers(names, None, 4).values()) == [1, 2, 3, 4]


@given(
    st.permutations(range(6)),
    st.lists(st.integers(2, 10**6), min_size=6, max_size=6),
    st.integers(0, 500),
)
def test_the_counting_column_is_the_one_that_fills_the_lattice(order, gaps, first):
    times = itertools.accumulate(gap + 7 for gap in gaps)
    names = [f"s{t}_{first + n}.tif" for n, t in zip(order, times, strict=True)]

    numbers = find_numbers(names, None, 6)

    assert list(numbers.values()) == [first + n for n in order]


def test_two_numbers_that_could_both_count_are_asked_about():
    names = [f"a{n}_b{m}.tif" for n, m in zip((1, 2, 3, 4), (2, 1, 4, 3), strict=True)]

    with pytest.raises(InputError, match=r"any of the numbers 1, 2.*--tile_name"):
        find_numbers(names, None, 4)


def test_numbers_of_which_none_counts_are_asked_about():
    names = [f"a{n}_b{m}.tif" for n, m in ((100, 7), (900, 70), (950, 700))]

    with pytest.raises(InputError, match=r"none of the numbers 100, 7.*--tile_name"):
        find_numbers(names, None, 4)


def test_names_of_another_kind_are_left_out():
    assert find_numbers(["a1.tif", "a2.tif", "overview.tif"], None) == {"a1.tif": 1, "a2.tif": 2}


def test_a_name_format_says_which_number_counts():
    expression = TileNumbering(name="tile_{tile_number:03d}_t0.tif").expression

    assert find_numbers(["tile_007_t0.tif", "other_8.tif"], expression) == {"tile_007_t0.tif": 7}


def test_a_regular_expression_works_too():
    expression = TileNumbering(name=r"s\d+_(?P<number>\d+)").expression

    assert find_numbers(["s1_5.tif", "s2_6.tif"], expression) == {"s1_5.tif": 5, "s2_6.tif": 6}


def test_one_number_twice_is_an_error():
    with pytest.raises(InputError, match=r"has the tile number 5 of a_5\.tif"):
        find_numbers(["a_5.tif", "b_5.tif"], re.compile(r"(?P<number>\d+)"))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"pattern": "spiral", "grid": "2x2"}, "tile_pattern is 'spiral'"),
        ({"pattern": "row-by-row"}, "tile_grid is missing"),
        ({"grid": "2x2"}, "tile_pattern is missing"),
        ({"pattern": "row-by-row", "grid": "2"}, "tile_grid is '2'"),
        ({"pattern": "row-by-row", "grid": "2x2", "order": "right"}, "tile_order is 'right'"),
        ({"name": "("}, "not a regular expression"),
    ],
)
def test_senseless_settings_are_named(settings, match):
    with pytest.raises(ParameterError, match=match):
        TileNumbering(**settings)
