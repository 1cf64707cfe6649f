import time

import numpy as np
import pytest
import tifffile

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.errors import InputError


def found(root, **settings):
    return discover(root, InspectSettings(pixel_size_um=10.0, **settings))


@pytest.fixture
def images(tmp_path):
    for name in "abcd":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((20, 30), np.uint16))
    return tmp_path


def table(root, *rows, header="path,slice,iy,ix,y_mm,x_mm", name="tile_table.csv"):
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root / name


def test_indices_and_positions_are_taken_as_given(images):
    table(images, "a.tif,4,0,0,1.0,2.0", "b.tif,4,0,1,1.0,2.24", "c.tif,5,0,0,,")

    four, five = found(images).slices

    assert (four.slice_id, four.positions) == (4, "stage")
    assert four.used[0, 1].centre_mm == (1.0, 2.24)
    assert five.positions == "nominal"


def test_positions_alone_make_the_lattice(images):
    table(images, "a.tif,0,,,1.0,2.0", "b.tif,0,,,1.0,2.24", "c.tif,0,,,1.16,2.0")

    (piece,) = found(images).slices

    assert {i: t.path for i, t in piece.used.items()} == {
        (0, 0): "a.tif", (0, 1): "b.tif", (1, 0): "c.tif",
    }  # fmt: skip


def test_a_row_without_either_is_unplaced(images):
    table(images, "a.tif,0,0,0,,", "b.tif,0,,,,")

    (piece,) = found(images).slices

    assert [tile.status for tile in piece.tiles] == ["ok", "unplaced"]


def test_the_table_may_be_the_input_or_an_option(images):
    path = table(images, "a.tif,0,0,0,,", name="mine.csv")

    assert len(found(path).slices[0].used) == 1
    assert len(found(images, tile_table=path).slices[0].used) == 1


def test_oct_folders_can_be_listed_too(raw):
    raw.lattice(1, 2)
    (raw.root / "z00").rename(raw.root / "elsewhere")
    table(
        raw.root,
        "elsewhere/tile_x00_y00_z00,7,0,0",
        "elsewhere/tile_x01_y00_z00,7,0,1",
        header="path,slice,iy,ix",
    )

    (piece,) = found(raw.root).slices

    assert (piece.slice_id, piece.tile_shape, piece.positions) == (7, (6, 12, 10), "stage")
    assert sorted(piece.used) == [(0, 0), (0, 1)]


def test_a_listed_file_that_does_not_exist_is_skipped(images):
    table(images, *[f"{n}.tif,0,0,{i},," for i, n in enumerate("abcd")], "e.tif,0,0,4,,")

    (piece,) = found(images).slices

    assert [t.status for t in piece.tiles] == ["ok"] * 4 + ["skipped"]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("a.tif,0,0.5,0,,", "row 2: iy is '0.5'"),
        ("a.tif,0,0,0,one,", "row 2: y_mm is 'one'"),
        ("a.tif,first,0,0,,", "found no slice id"),
        ("/data/a.tif,0,0,0,,", "row 2: path is '/data/a.tif', expected one relative"),
        ("../a.tif,0,0,0,,", "row 2: path is"),
        (",0,0,0,,", "row 2: path is ''"),
    ],
)
def test_cells_that_cannot_be_read_are_named(images, row, match):
    table(images, row)

    with pytest.raises(InputError, match=match):
        found(images)


def test_a_table_without_rows_is_named(images):
    table(images)

    with pytest.raises(InputError, match=r"tile_table\.csv: the table has no row"):
        found(images)


def test_a_path_listed_twice_is_an_error(images):
    table(images, "a.tif,0,0,0,,", "a.tif,0,0,1,,")

    with pytest.raises(InputError, match=r"a\.tif is listed more than once"):
        found(images)


def test_two_tiles_at_one_place_stop(images):
    table(images, "a.tif,0,0,0,,", "b.tif,0,0,0,,")

    with pytest.raises(InputError, match=r"a\.tif: b\.tif has the same place"):
        found(images).raise_on_stop()


def test_a_row_that_leads_out_of_the_raw_folder_through_a_link_is_refused(images, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (images / "a.tif").rename(elsewhere / "a.tif")
    (images / "link").symlink_to(elsewhere)
    (images / "inner").symlink_to(images)

    table(images, "inner/b.tif,0,0,0,,")
    assert len(found(images).slices[0].used) == 1

    table(images, "link/a.tif,0,0,0,,", "b.tif,0,0,1,,")
    with pytest.raises(InputError, match=r"tile_table.csv: link/a.tif is a link to .*elsewhere"):
        found(images)


def test_a_table_of_a_hundred_thousand_rows_is_read_in_seconds(images):
    rows = [f"b.tif,0,0,{n},," for n in range(99_999)]

    table(images, *rows, "c.tif,0,1,0,,")
    start = time.process_time()
    with pytest.raises(InputError, match=r"b.tif is listed more than once"):
        found(images)

    assert time.process_time() - start < 10  # s; counting each row anew took minutes


def test_a_folder_is_listed_once_however_many_rows_spell_its_files_another_way(images, monkeypatch):
    seen = []
    listing = type(images).iterdir

    def counted(folder):
        seen.append(folder)
        return listing(folder)

    monkeypatch.setattr(type(images), "iterdir", counted)
    table(images, *(f"ABSENT_{n}.tif,{n},0,0,," for n in range(300)), "B.TIF,0,1,0,,")
    found(images)
    assert seen.count(images) < 10


def test_a_null_byte_in_a_path_is_named(images):
    table(images, "a\0.tif,0,0,0,,")
    with pytest.raises(InputError, match="relative to the raw folder"):
        found(images)
