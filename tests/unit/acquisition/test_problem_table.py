"""Every kind of bad input, one test each: it is made, and the action on it is checked.

The numbers are those of the project's table of bad input.
"""

import json
import os
import shutil

import numpy as np
import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings, ScanOverrides
from mosaicflow.errors import InputError
from mosaicflow.ledger.proposal import config_rows
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.inspect_acquisition import inspect_acquisition

MANY = {"max_missing_fraction": 0.5}


def found(raw, **settings):
    return discover(raw.root, InspectSettings(**settings))


def actions(acquisition):
    return {problem.code: problem.action for problem in acquisition.problems}


def tile_of(acquisition, index, slice_number=0):
    tiles = acquisition.slices[slice_number].tiles
    return next(tile for tile in tiles if tile.index == index)


def shorten(folder, n_bytes):
    path = folder / "image_00000.bin"
    os.truncate(path, path.stat().st_size + n_bytes)


def test_sound_input_has_no_problem(raw):
    acquisition = found(raw.lattice())

    assert acquisition.problems == ()
    assert len(acquisition.slices[0].used) == 6


def test_1_slightly_truncated_file_is_used(raw):
    raw.lattice()
    shorten(raw.folder(1, 0, 0), -30)  # part of the last of 10 B-scans

    acquisition = found(raw)

    assert actions(acquisition) == {"bin_truncated": "repair"}
    assert tile_of(acquisition, (0, 1)).status == "repaired"


def test_1_badly_truncated_file_is_skipped(raw):
    raw.lattice()
    shorten(raw.folder(1, 0, 0), -2 * 4 * 6 * 16)

    acquisition = found(raw)

    assert actions(acquisition) == {"bin_truncated": "skip"}
    assert (0, 1) not in acquisition.slices[0].used
    assert "8 whole B-scans, expected 10" in tile_of(acquisition, (0, 1)).problem


def test_2_longer_file_is_cropped(raw):
    raw.lattice()
    shorten(raw.folder(1, 0, 0), 4 * 6 * 16)

    assert actions(found(raw)) == {"bin_too_long": "repair"}


def test_2_much_longer_file_stops(raw):
    raw.lattice()
    shorten(raw.folder(1, 0, 0), 11 * 4 * 6 * 16)

    acquisition = found(raw)

    assert actions(acquisition) == {"bin_much_too_long": "stop"}
    with pytest.raises(InputError, match=r"z00/tile_x01_y00_z00: .*info.txt does not belong"):
        acquisition.raise_on_stop()


def test_3_folder_without_data_is_skipped(raw):
    raw.lattice()
    (raw.folder(1, 0, 0) / "image_00000.bin").unlink()

    assert actions(found(raw)) == {"no_bin_file": "skip"}


def test_4_empty_file_is_skipped(raw):
    raw.lattice()
    shorten(raw.folder(1, 0, 0), -(4 * 6 * 16 * 10))

    assert actions(found(raw)) == {"empty_bin_file": "skip"}


def test_5_absent_folder_is_a_normal_hole(raw):
    raw.lattice()
    shutil.rmtree(raw.folder(2, 1, 0))

    acquisition = found(raw)

    assert acquisition.problems == ()
    assert acquisition.slices[0].grid_shape == (2, 3)
    assert len(acquisition.slices[0].used) == 5


def test_6_absent_column_keeps_its_place(raw):
    raw.lattice(2, 4)
    for y in range(2):
        shutil.rmtree(raw.folder(1, y, 0))

    acquisition = found(raw)

    assert actions(acquisition) == {"empty_line": "keep"}
    assert acquisition.slices[0].grid_shape == (2, 4)


def test_7_missing_info_is_borrowed(raw):
    raw.lattice()
    (raw.folder(1, 0, 0) / "info.txt").unlink()

    acquisition = found(raw)
    tile = tile_of(acquisition, (0, 1))

    assert actions(acquisition) == {"info_borrowed": "repair"}
    assert tile.position_source == "nominal"
    # The lattice of the others says where it must be.
    np.testing.assert_allclose(tile.centre_mm, (5.0, 10.08), atol=1e-9)


def test_7_without_a_sibling_the_slice_fails_alone(raw):
    raw.lattice(1, 2, 0).lattice(1, 2, 1)
    for x in range(2):
        (raw.folder(x, 0, 1) / "info.txt").unlink()

    acquisition = found(raw)

    assert actions(acquisition)["no_scan_info_in_slice"] == "fail"
    assert not acquisition.slices[0].failure
    assert "no tile of the slice has a usable info.txt" in acquisition.slices[1].failure
    assert len(acquisition.slices[1].tiles) == 2


def test_8_no_info_at_all_stops_and_names_the_options(raw):
    raw.lattice(1, 1)
    (raw.folder(0, 0, 0) / "info.txt").unlink()

    with pytest.raises(InputError, match="--nx --ny --nz --n_extra --width_um --height_um"):
        found(raw).raise_on_stop()


def test_8_with_the_options_it_runs(raw):
    raw.lattice()
    for path in raw.root.rglob("info.txt"):
        path.unlink()
    scan = ScanOverrides(nx=12, ny=10, nz=6, n_extra=4, width_um=120.0, height_um=100.0)

    acquisition = found(raw, scan=scan)

    assert not acquisition.stops
    assert len(acquisition.slices[0].used) == 6
    assert acquisition.slices[0].positions == "nominal"


def test_9_unparsable_info_is_borrowed(raw):
    raw.lattice()
    (raw.folder(1, 0, 0) / "info.txt").write_text("nx: twelve\n")

    assert actions(found(raw)) == {"info_borrowed": "repair"}


def test_10_repeated_key_is_noted(raw):
    raw.lattice()
    with (raw.folder(1, 0, 0) / "info.txt").open("a") as file:
        file.write("stage_z_pos_mm: 7\n")

    acquisition = found(raw)

    assert actions(acquisition) == {"repeated_key": "keep"}
    assert tile_of(acquisition, (0, 1)).z_mm == 7


def grid_problems(raw, tmp_path, **settings):
    out = tmp_path / "out"
    inspect_acquisition(raw=raw.root, output_dir=out)
    output = out / "mosaic_grid_3d_z00.ome.zarr"
    create_mosaic_grid(tiles=out / "z00_tiles.json", raw=raw.root, output=output, **settings)
    listed = json.loads((out / "mosaic_grid_3d_z00.problems.json").read_text())["problems"]
    attrs = json.loads((output / ".zattrs").read_text())["mosaicflow"]
    return {row["code"]: row["action"] for row in listed}, attrs


def damaged(raw, x, y, change):
    data = raw.data(x, y, 0)
    change(data.reshape(-1))
    data.tofile(raw.folder(x, y, 0) / "image_00000.bin")


def test_11_a_few_nan_become_zero(raw, tmp_path):
    raw.lattice()
    damaged(raw, 1, 0, lambda flat: flat.__setitem__(slice(0, 5), np.nan))

    codes, attrs = grid_problems(raw, tmp_path)

    assert codes == {"not_finite": "repair"}
    assert attrs["missing_tiles"] == []


def test_11_many_nan_skip_the_tile(raw, tmp_path):
    raw.lattice()
    damaged(raw, 1, 0, lambda flat: flat.__setitem__(slice(None, None, 7), np.inf))

    codes, attrs = grid_problems(raw, tmp_path)

    assert codes == {"not_finite": "skip"}
    assert attrs["missing_tiles"] == [[0, 1]]


def test_12_constant_tile_is_kept_and_marked(raw, tmp_path):
    raw.lattice()
    damaged(raw, 1, 0, lambda flat: flat.fill(7))
    damaged(raw, 2, 0, lambda flat: flat.fill(0))

    codes, attrs = grid_problems(raw, tmp_path)

    assert codes == {"blank_tile": "keep"}
    assert attrs["blank_tiles"] == [[0, 1]]
    assert attrs["missing_tiles"] == [[0, 2]]


def test_13_saturated_tile_is_kept_and_marked(raw, tmp_path):
    raw.lattice()
    damaged(raw, 1, 0, lambda flat: np.minimum(flat, 100, out=flat))

    codes, attrs = grid_problems(raw, tmp_path)

    assert codes == {"saturated_tile": "keep"}
    assert attrs["saturated_tiles"] == [[0, 1]]


def test_14_copy_of_a_tile_is_left_out(raw):
    raw.lattice()
    raw.but(layout="flat").tile(1, 0, 0)

    acquisition = found(raw)

    assert actions(acquisition) == {"duplicate_tile": "keep"}
    assert tile_of(acquisition, (0, 1)).path == "z00/tile_x01_y00_z00"


def test_14_different_tile_at_the_same_place_stops_and_names_both(raw):
    raw.lattice()
    raw.but(layout="flat").tile(1, 0, 0, stage_z_pos_mm=9)

    with pytest.raises(InputError, match=r"z00/tile_x01_y00_z00: tile_x01_y00_z00 has the same"):
        found(raw).raise_on_stop()


def test_14_zero_padding_does_not_hide_a_duplicate(raw):
    raw.lattice()
    raw.tile(1, 0, 0, folder=raw.root / "z00" / "tile_x1_y0_z0", width=121)

    assert actions(found(raw)) == {"two_tiles_at_one_place": "stop"}


def test_15_the_tile_name_wins_over_its_folder(raw):
    raw.lattice(1, 2, 0).lattice(1, 2, 1)
    raw.tile(2, 0, 1, folder=raw.root / "z00" / "tile_x02_y00_z01")

    acquisition = found(raw)

    assert actions(acquisition) == {"slice_mismatch": "keep"}
    assert [len(tiles.used) for tiles in acquisition.slices] == [2, 3]


def test_16_a_growing_lattice_is_normal(raw):
    raw.lattice(2, 2, 0, first=(1, 1)).lattice(3, 3, 1)

    acquisition = found(raw)

    assert acquisition.problems == ()
    assert [tiles.grid_shape for tiles in acquisition.slices] == [(2, 2), (3, 3)]
    assert [tiles.index_origin for tiles in acquisition.slices] == [(1, 1), (0, 0)]


def test_17_slightly_other_tile_shape_is_fitted(raw):
    raw = raw.but(nx=60)
    raw.lattice(2, 3)
    shutil.rmtree(raw.folder(1, 0, 0))
    raw.but(nx=61).tile(1, 0, 0, width=600 * 61 / 60, stage_y_pos_mm=5)

    assert actions(found(raw)) == {"tile_shape_differs": "repair"}


def test_17_very_different_tile_shape_is_skipped(raw):
    raw.lattice(2, 3)
    shutil.rmtree(raw.folder(1, 0, 0))
    raw.but(nx=20).tile(1, 0, 0, stage_y_pos_mm=5)

    assert actions(found(raw)) == {"odd_tile_shape": "skip"}


def test_18_another_pitch_in_one_slice_stops_unless_allowed(raw):
    raw.lattice(2, 2, 0).lattice(2, 2, 1)
    raw.but(pitch_um=10.5).lattice(2, 2, 2)

    assert actions(found(raw)) == {"pitch_differs": "stop"}
    assert actions(found(raw, allow_mixed_pitch=True)) == {"pitch_differs": "keep"}


def test_18_a_tiny_difference_of_pitch_is_noted(raw):
    raw.lattice(2, 2, 0).lattice(2, 2, 1)
    raw.but(pitch_um=10.05).lattice(2, 2, 2)

    assert actions(found(raw)) == {"pitch_differs": "keep"}


def test_19_without_positions_nominal_ones_are_used_and_said(raw):
    raw.but(with_positions=False).lattice()

    acquisition = found(raw)

    assert actions(acquisition) == {"no_positions": "keep"}
    assert acquisition.slices[0].positions == "nominal"
    np.testing.assert_allclose(tile_of(acquisition, (1, 2)).centre_mm, (0.096, 0.16), atol=1e-9)


@pytest.mark.parametrize("place", [0, 3.5])
def test_20_identical_positions_are_no_positions(raw, place):
    raw.lattice(stage_x_pos_mm=place, stage_y_pos_mm=place)

    acquisition = found(raw)

    assert actions(acquisition) == {"unusable_positions": "keep"}
    assert acquisition.slices[0].positions == "nominal"


def test_21_a_position_far_off_is_replaced(raw):
    raw.lattice(3, 3)
    shutil.rmtree(raw.folder(1, 1, 0))
    raw.tile(1, 1, 0, stage_x_pos_mm=99.0)

    acquisition = found(raw)

    assert actions(acquisition) == {"position_outlier": "repair"}
    np.testing.assert_allclose(tile_of(acquisition, (1, 1)).centre_mm, (5.096, 10.08), atol=1e-9)


def test_22_positions_in_micrometres_stop_and_name_the_option(raw):
    for y in range(2):
        for x in range(2):
            raw.tile(x, y, 0, stage_y_pos_mm=96.0 * y, stage_x_pos_mm=80.0 * x)

    assert actions(found(raw)) == {"wrong_stage_unit": "stop"}
    with pytest.raises(InputError, match="--stage_unit um"):
        found(raw).raise_on_stop()
    assert found(raw, stage_unit="um").problems == ()


def test_23_fields_of_view_in_millimetres_stop(raw):
    raw.lattice(width=0.12, height=0.1)

    assert actions(found(raw))["implausible_pitch"] == "stop"


def test_25_a_wrong_n_extra_is_found_from_the_sizes(raw):
    raw.lattice(n_extra=9)

    acquisition = found(raw)

    assert actions(acquisition) == {"wrong_n_extra": "repair"}
    assert tile_of(acquisition, (0, 0)).geometry.n_extra == 4


@pytest.mark.parametrize("dtype", [">f4", "<i2"])
def test_26_other_sample_types_fail_and_name_the_option(raw, tmp_path, dtype):
    for y in range(2):
        for x in range(2):
            data = raw.data(x, y, 0)
            stored = np.frombuffer(data.astype(dtype).tobytes() * 2, "<f4")[: data.size]
            raw.tile(x, y, 0, data=stored.reshape(10, -1))

    with pytest.raises(InputError, match="--raw_dtype"):
        grid_problems(raw, tmp_path)


def test_26_with_the_type_named_it_runs(raw, tmp_path):
    raw.lattice(1, 1, data=raw.data(0, 0, 0).astype(">i2"))
    out = tmp_path / "out"
    inspect_acquisition(raw=raw.root, output_dir=out, raw_dtype=">i2")
    tiles = json.loads((out / "z00_tiles.json").read_text())

    assert tiles["reader"]["dtype"] == ">i2"
    assert tiles["tiles"][0]["status"] == "ok"


def test_27_a_deeper_first_slice_is_left_out(raw):
    raw.but(nz=12).lattice(1, 2, 0)
    raw.lattice(1, 2, 1).lattice(1, 2, 2).lattice(1, 2, 3)

    rows = config_rows(found(raw).slices)

    assert [row.use for row in rows] == [False, True, True, True]
    assert rows[0].exclude_reason == "calibration_slice"


def test_28_a_broken_link_is_skipped(raw):
    raw.lattice()
    raw.folder(3, 0, 0).symlink_to(raw.root / "nowhere")

    assert actions(found(raw)) == {"unreadable_tile": "skip"}


def test_28_a_file_that_vanished_is_skipped(raw, tmp_path):
    raw.lattice()
    out = tmp_path / "out"
    inspect_acquisition(raw=raw.root, output_dir=out)
    (raw.folder(1, 0, 0) / "image_00000.bin").unlink()

    output = out / "mosaic_grid_3d_z00.ome.zarr"
    create_mosaic_grid(tiles=out / "z00_tiles.json", raw=raw.root, output=output)

    listed = json.loads((out / "mosaic_grid_3d_z00.problems.json").read_text())["problems"]
    assert [(row["code"], row["tile"]) for row in listed] == [("unreadable_tile", [0, 1])]


def forbid(monkeypatch, folder):
    """Refuse to list a folder: permissions do not stop a test that runs as root."""
    scandir = os.scandir

    def refusing(path="."):
        if os.fspath(path) == os.fspath(folder):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_28_a_slice_folder_that_cannot_be_read_fails_alone(raw, monkeypatch):
    raw.lattice(1, 2, 0).lattice(1, 2, 1)
    forbid(monkeypatch, raw.root / "z01")

    acquisition = found(raw)

    assert [bool(tiles.failure) for tiles in acquisition.slices] == [False, True]
    assert acquisition.slices[1].failure.startswith("z01: ")
    assert "Permission denied" in acquisition.slices[1].failure
    assert not acquisition.stops


def test_28_a_tile_folder_that_cannot_be_read_is_skipped(raw, monkeypatch):
    raw.lattice()
    forbid(monkeypatch, raw.folder(1, 0, 0))

    assert actions(found(raw)) == {"unreadable_tile": "skip"}


def test_28_links_in_circles_and_pipes_do_not_hang(raw):
    raw.lattice()
    (raw.root / "z00" / "loop").symlink_to("loop")
    (raw.root / "z05").symlink_to("z05")
    info = raw.folder(1, 0, 0) / "info.txt"
    info.unlink()
    os.mkfifo(info)

    assert actions(found(raw)) == {"info_borrowed": "repair"}


def test_a_raw_folder_that_cannot_be_read_is_named(raw, monkeypatch):
    raw.lattice()
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(InputError, match="the folder cannot be read"):
        found(raw)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00S\x00c", b"\x80\x81nx: 5", b"", b"\0" * 99])
def test_9_info_that_is_no_text_is_borrowed(raw, content):
    raw.lattice()
    (raw.folder(1, 0, 0) / "info.txt").write_bytes(content)

    assert actions(found(raw)) == {"info_borrowed": "repair"}


def test_9_letters_of_another_encoding_do_no_harm(raw):
    raw.lattice()
    info = raw.folder(1, 0, 0) / "info.txt"
    info.write_bytes("operator: J\xe9r\xf4me \xb5m\n".encode("latin-1") + info.read_bytes())

    assert found(raw).problems == ()


def test_absurd_sizes_fail_their_slice_without_taking_memory(raw):
    raw.lattice(2, 2, 0).lattice(2, 2, 1)
    for path in (raw.root / "z01").rglob("info.txt"):
        path.write_text(path.read_text() + "nx: 99999999999999999999\n")

    acquisition = found(raw)

    assert [bool(tiles.failure) for tiles in acquisition.slices] == [False, True]
    assert "0 whole B-scans, expected 10" in acquisition.slices[1].failure


def test_an_absurd_slice_number_is_named_before_tables_grow_with_it(raw):
    raw.lattice(1, 2)
    raw.but(layout="flat").tile(0, 0, 20250131)

    with pytest.raises(InputError, match=r"tile_x00_y00_z20250131: .*--debug_slices"):
        found(raw)


def test_an_absurd_lattice_index_is_named_before_lists_grow_with_it(raw):
    raw.lattice(1, 2)
    raw.tile(4_000_000_000, 0, 0, stage_x_pos_mm=5)

    acquisition = found(raw)

    assert actions(acquisition)["implausible_lattice"] == "stop"
    with pytest.raises(InputError, match=r"tile_x4000000000_y00_z00: the tile indices span"):
        acquisition.raise_on_stop()


def test_29_spaces_and_letters_beyond_ascii_work(raw):
    assert found(raw.lattice()).root_name == "raw data µ"


def test_30_two_folders_of_one_slice_are_merged(raw):
    raw.lattice(1, 2)
    raw.tile(2, 0, 0, folder=raw.root / "z0" / "tile_x02_y00_z00")

    acquisition = found(raw)

    assert acquisition.problems == ()
    assert len(acquisition.slices[0].used) == 3


def test_31_nothing_found_says_what_was_looked_for(raw):
    raw.root.mkdir()
    (raw.root / "notes.txt").touch()
    (raw.root / "tile_x00_y00_z00").touch()  # a file is not a tile

    with pytest.raises(InputError, match=r"no tile found; looked for tile_x.*found: notes.txt"):
        found(raw)


def test_32_a_tile_stored_from_another_depth_is_moved(raw):
    raw.lattice()
    shutil.rmtree(raw.folder(1, 0, 0))
    raw.tile(1, 0, 0, top_z=22, bottom_z=27)

    acquisition = found(raw)

    assert actions(acquisition) == {"depth_offset": "repair"}
    assert tile_of(acquisition, (0, 1)).z_offset == 2


def test_too_many_unusable_tiles_fail_their_slice_only(raw):
    raw.lattice(2, 2, 0).lattice(2, 2, 1)
    (raw.folder(0, 0, 1) / "image_00000.bin").unlink()

    acquisition = found(raw)

    assert [bool(tiles.failure) for tiles in acquisition.slices] == [False, True]
    assert "1 of 4 tiles cannot be used (25%" in acquisition.slices[1].failure
    assert not acquisition.stops
    assert not found(raw, **MANY).slices[1].failure


def test_without_any_slice_that_can_be_built_no_run_starts(raw):
    raw.lattice(2, 2, 0).lattice(2, 2, 1)
    for path in raw.root.rglob("image_*.bin"):
        path.unlink()

    with pytest.raises(InputError, match=r"none of the 2 slices can be built; .*no image_"):
        found(raw).raise_on_stop()


def test_strict_stops_where_something_would_be_skipped(raw):
    raw.lattice()
    (raw.folder(1, 0, 0) / "image_00000.bin").unlink()

    with pytest.raises(InputError, match="no image_"):
        found(raw, strict=True).raise_on_stop()


def test_unused_names_are_ignored(raw):
    raw.lattice()
    for name in (".DS_Store", "Thumbs.db", "quick_stitch_0.png", "._tile_x00_y00_z00"):
        (raw.root / "z00" / name).touch()
    (raw.root / "z00" / "other").mkdir()

    assert found(raw).problems == ()


def test_every_tile_is_accounted_for(raw):
    raw.lattice(3, 3)
    (raw.folder(1, 0, 0) / "image_00000.bin").unlink()
    shorten(raw.folder(2, 2, 0), -30)

    tiles = found(raw).slices[0].tiles

    assert len(tiles) == 9
    assert sorted(tile.status for tile in tiles) == ["ok"] * 7 + ["repaired", "skipped"]
    assert all(tile.problem for tile in tiles if tile.status != "ok")
