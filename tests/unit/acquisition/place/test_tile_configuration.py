import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mosaicflow.acquisition.place.file_names import FileNames
from mosaicflow.acquisition.place.tile_configuration import (
    parse_tile_configuration,
    read_tile_configuration,
)
from mosaicflow.errors import FormatError


def corners(text):
    return {tile.name: tile.corner_px for tile in parse_tile_configuration(text, "T")}


def test_positions_are_given_in_array_order():
    text = "# comment\ndim = 2\n\na b.tif; ; (10.5, -2)\nb.tif; 0; (0.0, 1e2)\n"

    assert corners(text) == {"a b.tif": (-2.0, 10.5), "b.tif": (100.0, 0.0)}


def test_three_dimensions_put_z_first():
    assert corners("dim = 3\na.tif;;(1,2,3)") == {"a.tif": (3.0, 2.0, 1.0)}


def test_a_hash_is_a_letter_in_a_name_and_a_comment_at_the_start_of_a_line():
    text = "DIM=2  # two\n#a.tif; ; (0, 0)\n  # b\nMaus #3 (1).tif; ; (1, 2)\n"

    assert corners(text) == {"Maus #3 (1).tif": (2.0, 1.0)}


def test_images_of_one_file_are_told_apart_by_their_series():
    text = "dim = 2\nmultiseries = true\na.tif; 0; (0, 0)\na.tif; 1; (5, 0)\n"

    assert [(t.series, t.corner_px) for t in parse_tile_configuration(text, "T")] == [
        (0, (0.0, 0.0)),
        (1, (0.0, 5.0)),
    ]


# A name as a disk may have it, and without what the format itself uses.
letters = st.characters(exclude_characters="/\\;\0", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
names = (
    st.text(letters, min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda name: name and not name.startswith("#") and name not in (".", ".."))
)


@given(
    names.map(lambda name: f"{name}.tif"),
    st.sampled_from(["NFC", "NFD"]),
    st.sampled_from(["{}", "./{}", ".\\{}", "C:\\data\\run 1\\{}", "/mnt/d #2/{}"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@example("'\u00d9.tif", "NFD", "{}", "utf-8")
def test_any_name_is_found_however_it_is_spelled(tmp_path_factory, name, form, path, encoding):
    listed = path.format(unicodedata.normalize(form, name))
    file = tmp_path_factory.mktemp("list") / "TileConfiguration.txt"
    file.write_bytes(f"dim = 2\r\n{listed}; ; (3, 4)\r\n".encode(encoding))

    (tile,) = read_tile_configuration(file)

    assert tile.corner_px == (4.0, 3.0)
    assert FileNames([name, "another.tif"]).find(tile.name) == name


def test_latin_letters_of_windows_are_read(tmp_path):
    file = tmp_path / "TileConfiguration.txt"
    file.write_bytes("dim = 2\nHälfte.tif; ; (3, 4)\n".encode("latin-1"))

    assert [tile.name for tile in read_tile_configuration(file)] == ["Hälfte.tif"]


def test_names_that_differ_in_case_only_are_not_mixed_up():
    names = FileNames(["a.tif", "A.tif", "b.tif"])

    assert (names.find("a.tif"), names.find("A.tif"), names.find("B.TIF")) == (
        "a.tif", "A.tif", "b.tif",
    )  # fmt: skip
    assert names.find("sub/a.tif") is None


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
