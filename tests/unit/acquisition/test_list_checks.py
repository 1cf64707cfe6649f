"""A list of tiles may come with somebody's folder of results: it is read, or refused by name."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.tiles import read_slice_tiles
from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.io.tables import write_document

VALUES = st.sampled_from(
    [None, "x", "", -1, 0, 1e308, 10**30, [], {}, [[]], True, 1.5, "9" * 5000, -1e-300, [1] * 7]
)


@pytest.fixture
def listed(raw):
    raw.lattice(1, 2)
    (tiles,) = discover(raw.root, InspectSettings()).slices
    return tiles.to_dict()


def places(value):
    """Every (container, key) in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in items if isinstance(value, dict | list) else ():
        yield value, key
        if isinstance(one, dict | list):
            yield from places(one)


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../../x", "a\0b", None, 7])
@pytest.mark.parametrize("what", ["tile", "file"])
def test_a_list_that_names_what_lies_outside_is_refused(listed, tmp_path, what, path):
    tile = listed["tiles"][1]
    if what == "tile":
        tile["path"] = path
    else:
        tile["files"][0]["name"] = path
    write_document(tmp_path / "z00_tiles.json", listed)
    with pytest.raises(FormatError, match=r"z00_tiles.json: the tile list .* path"):
        read_slice_tiles(tmp_path / "z00_tiles.json")


@settings(suppress_health_check=list(HealthCheck), max_examples=80)
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(listed, tmp_path, data):
    changed = copy.deepcopy(listed)
    container, key = data.draw(st.sampled_from(list(places(changed))))
    container[key] = data.draw(VALUES)
    write_document(tmp_path / "z00_tiles.json", changed)
    try:
        tiles = read_slice_tiles(tmp_path / "z00_tiles.json")
    except (FormatError, ParameterError):
        return
    assert max(tiles.tile_shape) <= 10**6
    assert all(
        0 <= n < size for i in tiles.used for n, size in zip(i, tiles.grid_shape, strict=True)
    )
