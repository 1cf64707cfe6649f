import pytest

from mosaicflow.acquisition.tile_configuration import parse_tile_configuration
from mosaicflow.errors import FormatError


def test_positions_are_given_in_array_order():
    text = "# comment\ndim = 2\n\na b.tif; ; (10.5, -2)\nb.tif; 0; (0.0, 1e2)\n"

    assert parse_tile_configuration(text, "T") == {"a b.tif": (-2.0, 10.5), "b.tif": (100.0, 0.0)}


def test_three_dimensions_put_z_first():
    assert parse_tile_configuration("dim = 3\na.tif;;(1,2,3)", "T") == {"a.tif": (3.0, 2.0, 1.0)}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("dim = 4", "T, line 1: dim is 4"),
        ("dim = 2\na.tif; ; (1, 2, 3)", "line 2: .* has 3 numbers"),
        ("a.tif; ; (1, x)", "not a list of numbers"),
        ("a.tif; ; (1, 2)\na.tif; ; (1, 2)", "listed twice"),
        ("a.tif 1 2", "expected 'name; ; \\(x, y\\)'"),
    ],
)
def test_faults_name_the_line(text, match):
    with pytest.raises(FormatError, match=match):
        parse_tile_configuration(text, "T")
