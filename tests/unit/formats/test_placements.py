import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.tile_configuration import parse_tile_configuration
from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.placements import (
    TilePosition,
    bdv_xml,
    parse_bdv_xml,
    parse_configuration,
    tile_configuration,
)

coordinates = st.floats(-1e5, 1e5, allow_nan=False)
names = st.text("abcXYZ 019_-./é&<>'", min_size=1, max_size=20).map(str.strip).filter(bool)


def tiles_of(n_z, corners, files):
    return [
        TilePosition(file, (0.0, y, x), (n_z, 50, 60))
        for file, (y, x) in zip(files, corners, strict=False)
    ]


@given(
    n_z=st.sampled_from([1, 7]),
    corners=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6),
    files=st.lists(names, min_size=6, max_size=6, unique=True),
)
def test_what_is_written_is_read_back(n_z, corners, files):
    tiles = tiles_of(n_z, corners, files)
    found = parse_configuration(tile_configuration(tiles))
    assert found == {t.file: t.corner_px[-2:] if n_z == 1 else t.corner_px for t in tiles}
    again = parse_bdv_xml(bdv_xml(tiles, (3.5, 10.0, 10.0)))
    assert [t.file for t in again] == [t.file for t in tiles]
    assert [t.shape for t in again] == [t.shape for t in tiles]
    for one, other in zip(again, tiles, strict=True):
        assert one.corner_px == pytest.approx(other.corner_px, abs=1e-6)


def test_our_own_reader_of_raw_folders_takes_the_configuration():
    tiles = [TilePosition("a/t1.tif", (0.0, 1.5, -2.25), (1, 9, 9))]
    found = parse_tile_configuration(tile_configuration(tiles), "TileConfiguration.txt")
    assert found == {"a/t1.tif": (1.5, -2.25)}


def test_places_in_depth_count_in_pixels_of_x():
    text = bdv_xml([TilePosition("t.tif", (4.0, 0.0, 0.0), (8, 9, 9))], (5.0, 10.0, 10.0))
    assert "0.0 0.0 1.0 2.0" in text
    assert parse_bdv_xml(text)[0].corner_px == (4.0, 0.0, 0.0)


def test_a_name_that_the_format_cannot_hold_is_refused():
    with pytest.raises(FormatError, match="rename the file"):
        tile_configuration([TilePosition("a;b.tif", (0.0, 0.0, 0.0), (1, 9, 9))])


@pytest.mark.parametrize("text", ["t.tif; (1, 2)", "hello"])
def test_a_line_of_another_kind_is_named(text):
    with pytest.raises(FormatError, match="line 1"):
        parse_configuration(text)


@pytest.mark.parametrize("text", ["", "<a", "<!DOCTYPE x><a/>"])
def test_what_is_no_project_is_refused(text):
    with pytest.raises(FormatError):
        parse_bdv_xml(text)
