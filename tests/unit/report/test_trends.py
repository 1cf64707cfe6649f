import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.report.plots import Vectors, outliers, vector_plot
from mosaicflow.report.verdict import listed


@given(odd=st.integers(0, 19), size=st.floats(0.5, 1e3), middle=st.floats(0.1, 1e3))
def test_one_value_unlike_all_others_is_named(odd, size, middle):
    values = {z: middle * (1 + 0.001 * (z % 3)) for z in range(20)}
    values[odd] += size * middle
    assert outliers(values) == [odd]


@given(st.floats(-1e6, 1e6))
def test_equal_values_have_no_outlier(value):
    assert outliers(dict.fromkeys(range(9), value)) == []


def test_few_values_say_nothing_about_what_is_usual():
    assert outliers({0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 9.0}) == []


@pytest.mark.parametrize(
    ("ids", "text"),
    [([7], "slice 7"), ([3, 4, 5, 1], "slices 1, 3-5"), ([1, 2], "slices 1-2")],
)
def test_slices_are_named_in_few_words(ids, text):
    assert listed(ids) == text


def test_arrows_are_magnified_by_a_number_that_people_can_divide_by():
    places = [(0.0, 0.0), (0.0, 100.0)]
    plot = vector_plot(Vectors("t", "x", places, [(0.0, 0.07), (0.0, 0.0)]))
    assert "arrows 100 times as long as they are, the longest is 0.07 px" in plot.text
    assert "var(--accent)" in plot.svg
    assert vector_plot(Vectors("t", "x", [], [])) is None
