import json
import shutil

import numpy as np
import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.find.oct_folders import find_tile_folders
from mosaicflow.acquisition.find.oct_source import read_overlap
from mosaicflow.acquisition.place.layout_image import draw_layout
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.tiles import SliceTiles
from mosaicflow.errors import InputError, ParameterError


def found(raw, **settings):
    return discover(raw.root, InspectSettings(**settings))


@pytest.mark.parametrize("layout", ["flat", "per_slice", "acquisition"])
def test_every_layout_is_recognised(raw, layout):
    raw.but(layout=layout).lattice(2, 2, 0).lattice(2, 2, 1)

    acquisition = found(raw)

    assert acquisition.layout == layout
    assert [len(tiles.used) for tiles in acquisition.slices] == [4, 4]


def test_layouts_may_be_mixed_and_one_may_be_chosen(raw):
    raw.lattice(1, 2, 0)
    raw.but(layout="flat").lattice(1, 2, 1)

    assert found(raw).layout == "flat+per_slice"
    assert [tiles.slice_id for tiles in found(raw, layout="flat").slices] == [1]


def test_archived_metadata_counts_for_shifts_only(raw):
    archived = raw.but(layout="archived")
    archived.lattice(2, 2, 0)
    for path in raw.root.rglob("*.bin"):
        path.unlink()

    (piece,) = found(raw).slices

    assert piece.failure.endswith("only metadata is kept; it counts for shifts")
    assert piece.positions == "stage"
    assert piece.stage.origin_mm == pytest.approx((4.94, 9.95))


def test_archived_metadata_beside_data_is_left_out(raw):
    raw.lattice(1, 2, 0)
    raw.but(layout="archived").lattice(1, 2, 1)

    assert {folder.layout for folder in find_tile_folders(raw.root)} == {"per_slice"}


def test_indices_keep_their_order_beyond_two_digits(raw):
    raw.lattice(1, 1, 100).lattice(1, 1, 11)

    assert [tiles.slice_id for tiles in found(raw).slices] == [11, 100]


def test_fields_of_view_follow_the_orientation(raw):
    raw.lattice(2, 3)

    turned, straight = found(raw).slices[0], found(raw, preprocess=False).slices[0]

    assert (turned.tile_shape, straight.tile_shape) == ((6, 12, 10), (6, 10, 12))
    assert turned.fov_mm == pytest.approx((0.12, 0.1))
    assert turned.overlap_fraction == pytest.approx(0.2)
    assert turned.stage.origin_mm == pytest.approx((5 - 0.06, 10 - 0.05))


def test_the_tile_list_comes_back_from_its_file_form(raw):
    raw.lattice(2, 3)
    (raw.folder(1, 0, 0) / "image_00000.bin").unlink()

    (piece,) = found(raw).slices

    assert SliceTiles.from_dict(json.loads(json.dumps(piece.to_dict()))) == piece


def test_files_are_ordered_by_number(raw):
    raw.tile(0, 0, 0)
    folder = raw.folder(0, 0, 0)
    data = raw.data(0, 0, 0)
    (folder / "image_00000.bin").unlink()
    for number, piece in ((10, data[6:]), (2, data[:6])):
        piece.tofile(folder / f"image_{number}.bin")

    (tile,) = found(raw).slices[0].tiles

    assert [file.name for file in tile.files] == ["image_2.bin", "image_10.bin"]


def test_the_noted_overlap_is_that_of_the_same_slice(raw):
    acquired = raw.but(layout="acquisition", with_positions=False)
    acquired.lattice(1, 2, 1).lattice(1, 2, 11)
    (raw.root / "state.json").write_text('{"overlap_fraction": 0.3}')
    (raw.root / "slice_z11" / "metadata.json").write_text('{"overlap_fraction": 0.1}')

    assert read_overlap(raw.root, 1) == 0.3
    assert read_overlap(raw.root, 11) == 0.1
    assert [tiles.overlap_fraction for tiles in found(raw).slices] == [0.3, 0.1]


def test_a_damaged_note_is_ignored(raw):
    raw.lattice(1, 2)
    (raw.root / "state.json").write_text("{")

    assert read_overlap(raw.root, 0) is None


def test_a_single_tile_is_enough(raw):
    raw.tile(0, 0, 0)

    (piece,) = found(raw).slices

    assert (piece.grid_shape, piece.positions, piece.stage.y.sign) == ((1, 1), "stage", 0)


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: not found"):
        discover(tmp_path / "nowhere", InspectSettings())


@pytest.mark.parametrize(
    "settings",
    [
        {"axial_resolution_um": 0.0},
        {"overlap_fraction": 1.5},
        {"raw_dtype": "complex64"},
        {"raw_dtype": "nonsense"},
        {"orientation": "up,down"},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ParameterError):
        InspectSettings(**settings)


def test_the_layout_picture_shows_each_tile(raw):
    raw.lattice(2, 2, 0)
    shutil.rmtree(raw.folder(1, 1, 0))

    picture = np.asarray(draw_layout(found(raw).slices))

    blue = (picture == (70, 130, 180)).all(axis=-1)
    assert blue[20:, :].any()
    # The fourth quarter of the panel belongs to the tile that is not there.
    assert not blue[16 + 12 + 450 : 16 + 660, 12 + 450 :].any()


def test_the_layout_picture_tells_tiles_that_are_unlike_the_others(raw):
    """A cut tile in the corner is drawn over its neighbours, and its colour is explained."""
    raw.lattice(2, 2, 0)
    data = min(raw.folder(0, 0, 0).glob("*.bin"))
    data.write_bytes(data.read_bytes()[:-1])

    slices = found(raw).slices
    picture = np.asarray(draw_layout(slices))

    kinds = {tile.status for tile in slices[0].tiles}
    assert kinds == {"ok", "repaired"}
    assert picture.shape[0] == 16 + 660 + 16 * len(kinds)
    orange = (picture == (230, 160, 40)).all(axis=-1)
    assert orange[: 16 + 660].any(axis=1).sum() > 300  # every line of its tile, unbroken
    assert orange[16 + 660 :].any()
