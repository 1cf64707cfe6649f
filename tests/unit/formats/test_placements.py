from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.positions import corners_of

from mosaicflow.acquisition.place.tile_configuration import parse_tile_configuration
from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.placements import (
    TilePosition,
    bdv_xml,
    parse_bdv_xml,
    tile_configuration,
)

coordinates = st.floats(-1e5, 1e5, allow_nan=False)
names = st.text("abcXYZ 019_-./é&<>'", min_size=1, max_size=20).map(str.strip).filter(bool)


def tiles_of(n_z, corners, files):
    return [
        TilePosition(file, (0.0, y, x), (n_z, 50, 60))
        for file, (y, x) in zip(files, corners, strict=False)
    ]


pitches = st.floats(0.05, 300)


@given(
    corner=st.tuples(coordinates, coordinates, coordinates),
    turn=st.floats(-179, 179),
    pitch=st.tuples(pitches, pitches, pitches),
    unit=st.tuples(pitches, pitches, pitches),
)
def test_turned_tiles_of_their_own_pitch_are_read_back(corner, turn, pitch, unit):
    tile = TilePosition("a.tif", corner, (3, 4, 5), turn, pitch)
    (found,) = parse_bdv_xml(bdv_xml([tile], unit))
    assert found.corner_px == pytest.approx(corner, abs=1e-6)
    assert found.turn_deg == pytest.approx(turn, abs=1e-9)
    assert found.pitch_um == pitch


def test_the_transforms_of_a_view_take_its_samples_to_their_place():
    # Composed as BigDataViewer does, the last one first, of (x, y, z).
    tile = TilePosition("a.tif", (4.0, 10.0, 20.0), (3, 4, 5), 30.0, (5.0, 2.0, 2.0))
    view = ET.fromstring(bdv_xml([tile], (5.0, 2.0, 2.0))).find(".//ViewRegistration")
    matrices = [
        np.vstack([np.array(t.text.split(), float).reshape(3, 4), [0, 0, 0, 1]])
        for t in view.iter("affine")
    ]
    moved = 2.0 * (np.linalg.multi_dot([*matrices, np.eye(4)]) @ [3, 2, 1, 1])[:3]  # um
    angle = np.deg2rad(30)
    y, x = 2 * 2, 3 * 2
    expected_y = 10 * 2 + np.cos(angle) * y - np.sin(angle) * x
    expected_x = 20 * 2 + np.sin(angle) * y + np.cos(angle) * x
    assert moved == pytest.approx([expected_x, expected_y, 4 * 5 + 1 * 5])


def test_planes_at_several_depths_keep_them():
    tiles = [TilePosition(f"{z:g}.tif", (z, 1.0, 2.0), (1, 9, 9)) for z in (0.0, 20.0)]
    assert corners_of(tile_configuration(tiles))["20.tif"] == (20.0, 1.0, 2.0)


def test_notes_are_for_people_only():
    text = tile_configuration([TilePosition("a.tif", (0.0, 1.0, 2.0), (1, 9, 9))], ["px of 2 um"])
    assert text.startswith("# px of 2 um\n")
    assert corners_of(text) == {"a.tif": (1.0, 2.0)}


@given(
    n_z=st.sampled_from([1, 7]),
    corners=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6),
    files=st.lists(names, min_size=6, max_size=6, unique=True),
)
def test_what_is_written_is_read_back(n_z, corners, files):
    tiles = tiles_of(n_z, corners, files)
    found = corners_of(tile_configuration(tiles))
    assert found == {t.file: t.corner_px[-2:] if n_z == 1 else t.corner_px for t in tiles}
    again = parse_bdv_xml(bdv_xml(tiles, (3.5, 10.0, 10.0)))
    assert [t.file for t in again] == [t.file for t in tiles]
    assert [t.shape for t in again] == [t.shape for t in tiles]
    for one, other in zip(again, tiles, strict=True):
        assert one.corner_px == pytest.approx(other.corner_px, abs=1e-6)


def test_our_own_reader_of_raw_folders_takes_the_configuration():
    tiles = [TilePosition("a/t1.tif", (0.0, 1.5, -2.25), (1, 9, 9))]
    found = parse_tile_configuration(tile_configuration(tiles), "TileConfiguration.txt")
    assert {tile.name: tile.corner_px for tile in found} == {"a/t1.tif": (1.5, -2.25)}


def test_places_in_depth_count_in_pixels_of_x():
    text = bdv_xml([TilePosition("t.tif", (4.0, 0.0, 0.0), (8, 9, 9))], (5.0, 10.0, 10.0))
    assert "0.0 0.0 1.0 2.0" in text
    assert parse_bdv_xml(text)[0].corner_px == (4.0, 0.0, 0.0)


def test_a_name_that_the_format_cannot_hold_is_refused():
    with pytest.raises(FormatError, match="rename the file"):
        tile_configuration([TilePosition("a;b.tif", (0.0, 0.0, 0.0), (1, 9, 9))])
    for name in ("a\x01.tif", "a\udcff.tif"):
        with pytest.raises(FormatError, match="rename the file"):
            bdv_xml([TilePosition(name, (0.0, 0.0, 0.0), (1, 9, 9))], (1.0, 1.0, 1.0))


@pytest.mark.parametrize("text", ["", "<a", "<!DOCTYPE x><a/>"])
def test_what_is_no_project_is_refused(text):
    with pytest.raises(FormatError):
        parse_bdv_xml(text)
