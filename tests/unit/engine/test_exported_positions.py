"""Positions of tiles and slices in the volume of a finished run, as other stitchers get them."""

import json
import shutil

import numpy as np
import pytest
from tests.positions import corners_of

from mosaicflow.cli.main import main
from mosaicflow.errors import InputError
from mosaicflow.formats.placements import parse_bdv_xml
from mosaicflow.io.tables import read_csv
from mosaicflow.io.zarr import open_level
from mosaicflow.stages.export import export
from mosaicflow.stages.stack import stack

NAMES = ["out_slices.xml", "out_slices_TileConfiguration.txt",
         "out_tiles.xml", "out_tiles_TileConfiguration.txt"]  # fmt: skip


def inputs_of(root):
    tables = root / "tables"
    return {
        "positions": tuple(sorted(tables.glob("z*_tile_positions.csv"))),
        "stages": tuple(sorted(tables.glob("z*_tile_stage.json"))),
        "slices": tuple(sorted((root / "slices/normalize").glob("*.ome.zarr"))),
    }


def exported(volume, inputs, folder):
    export(volume=volume, output_dir=folder, export_formats=("placements",), **inputs)
    stem = volume.name.removesuffix(".ome.zarr")
    return {
        what: (
            parse_bdv_xml((folder / f"{stem}_{what}.xml").read_text()),
            corners_of((folder / f"{stem}_{what}_TileConfiguration.txt").read_text()),
        )
        for what in ("tiles", "slices")
    }


def test_both_files_give_the_same_positions_of_every_tile_and_slice(finished_run, tmp_path):
    inputs = inputs_of(finished_run)
    found = exported(finished_run / "3d_volume.ome.zarr", inputs, tmp_path)
    files = [row["file"] for path in inputs["positions"] for row in read_csv(path, ["file"])]
    assert [tile.file for tile in found["tiles"][0]] == files
    assert [one.file for one in found["slices"][0]] == [path.name for path in inputs["slices"]]
    for listed, configuration in found.values():
        assert list(configuration) == [one.file for one in listed]
        for one in listed:
            assert configuration[one.file] == pytest.approx(one.corner_px, abs=1e-9)
    metrics = json.loads((tmp_path / "3d_volume_export.metrics.json").read_text())["metrics"]
    assert metrics["tiles_placed"]["value"] == len(files)
    assert metrics["slices_placed"]["value"] == len(inputs["slices"])


def test_tiles_of_a_slice_lie_to_each_other_as_its_table_has_them(finished_run, tmp_path):
    inputs = inputs_of(finished_run)
    listed, _ = exported(finished_run / "3d_volume.ome.zarr", inputs, tmp_path)["tiles"]
    by_file = {tile.file: tile for tile in listed}
    for path in inputs["positions"]:
        rows = read_csv(path, ["row_px", "col_px", "file"])
        table = np.array([[float(row["row_px"]), float(row["col_px"])] for row in rows])
        tiles = [by_file[row["file"]] for row in rows]
        there = np.array([tile.corner_px[1:] for tile in tiles])
        angle = np.deg2rad(tiles[0].turn_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        expected = (table - table[0]) @ turn.T
        np.testing.assert_allclose(there - there[0], expected, atol=1e-6)


def test_a_slice_lies_where_its_voxels_are_in_the_volume(finished_run, tmp_path):
    # The first slice's face is plane 0, and its array lies unturned in the toy's volume.
    inputs = inputs_of(finished_run)
    listed, _ = exported(finished_run / "3d_volume.ome.zarr", inputs, tmp_path)["slices"]
    volume = open_level(finished_run / "3d_volume.ome.zarr")
    pitch_um = 1000 * np.array(volume.resolution_mm)
    for one, path in zip(listed, inputs["slices"], strict=True):
        own = open_level(path)
        at = np.array(one.corner_px) * np.array(one.pitch_um) / pitch_um
        nearest = np.rint(at).astype(int)
        inner = tuple(slice(n // 4, 3 * n // 4) for n in own.shape)
        there = tuple(
            slice(part.start + first, part.stop + first)
            for part, first in zip(inner, nearest, strict=True)
        )
        mine, drawn = np.asarray(own[inner]), np.asarray(volume[there])
        assert np.corrcoef(mine.ravel(), drawn.ravel())[0, 1] > 0.9


def test_positions_follow_the_volume_and_not_the_table_of_the_alignment(finished_run, tmp_path):
    inputs = inputs_of(finished_run)
    other = tmp_path / "by_stage.ome.zarr"
    stack(
        slices=inputs["slices"], alignment=finished_run / "tables/alignment.json", output=other,
        apply_pairwise_transforms=False, stack_preview=False, pyramid_resolutions=(25.0,),
    )  # fmt: skip
    usual = exported(finished_run / "3d_volume.ome.zarr", inputs, tmp_path / "a")
    plain = exported(other, inputs, tmp_path / "b")
    assert {tile.turn_deg for tile in plain["tiles"][0]} == {0.0}
    corners = [[t.corner_px for t in found["slices"][0]] for found in (usual, plain)]
    moved = np.ptp(np.subtract(*corners), axis=0)
    assert moved[1:].max() > 0.1  # what registration found
    assert moved[0] == pytest.approx(0, abs=1e-6)
    # The pitch of the finest level counts for nothing: pixels are those of the tiles.
    assert plain["tiles"][0][0].pitch_um == usual["tiles"][0][0].pitch_um


@pytest.fixture
def command(invoke):
    def call(volume, folder, *options, code=0):
        words = ("export", volume, folder, "--formats", "placements", *options)
        return invoke(main, *words, code=code).stderr

    return call


def test_the_command_finds_the_rest_of_the_run_beside_the_volume(finished_run, tmp_path, command):
    volume = finished_run / "3d_volume.ome.zarr"
    exported(volume, inputs_of(finished_run), tmp_path / "stage")
    command(volume, tmp_path / "command")
    made = sorted(path.name for path in (tmp_path / "command").iterdir())
    assert made == [name.replace("out", "3d_volume") for name in NAMES]
    for name in made:
        own, other = (tmp_path / folder / name for folder in ("command", "stage"))
        assert own.read_bytes() == other.read_bytes()
    assert "exists" in command(volume, tmp_path / "command", code=1)
    command(volume, tmp_path / "command", "--overwrite")


def test_a_volume_away_from_its_run_says_what_is_missing(finished_run, tmp_path, command):
    shutil.copytree(finished_run / "3d_volume.ome.zarr", tmp_path / "v.ome.zarr")
    said = command(tmp_path / "v.ome.zarr", tmp_path / "out", code=1)
    assert "slice 0 (slice_z.._normalize.ome.zarr) is not there" in said
    assert "in the output folder of its run" in said
    assert not list((tmp_path / "out").glob("*"))
    inputs = inputs_of(finished_run)
    with pytest.raises(InputError, match=r"slice 1 \(z\.\._tile_positions\.csv\)"):
        exported(finished_run / "3d_volume.ome.zarr",
                 {**inputs, "positions": inputs["positions"][:1]}, tmp_path)  # fmt: skip


def test_a_volume_that_does_not_know_its_slices_is_refused(finished_run, tmp_path):
    volume = tmp_path / "v.ome.zarr"
    shutil.copytree(finished_run / "3d_volume.ome.zarr", volume)
    document = json.loads((volume / ".zattrs").read_text())
    del document["mosaicflow"]["slices"][1]["translation_yx"]
    (volume / ".zattrs").write_text(json.dumps(document))
    with pytest.raises(InputError, match="does not tell where its slices lie"):
        exported(volume, inputs_of(finished_run), tmp_path)


def test_a_name_that_a_format_cannot_hold_costs_that_file_alone(finished_run, tmp_path):
    inputs = inputs_of(finished_run)
    tables = []
    for path in inputs["positions"]:
        text = path.read_text()
        first = read_csv(path, ["file"])[0]["file"]
        (tmp_path / path.name).write_text(text.replace(first, f"{first};1"))
        tables.append(tmp_path / path.name)
    folder = tmp_path / "out"
    export(volume=finished_run / "3d_volume.ome.zarr", output_dir=folder,
           export_formats=("placements",), **{**inputs, "positions": tuple(tables)})  # fmt: skip
    assert sorted(path.name for path in folder.glob("*_tiles*")) == ["3d_volume_tiles.xml"]
    found = json.loads((folder / "3d_volume_export.metrics.json").read_text())
    assert "which a tile configuration cannot hold" in found["warnings"][0]


def test_a_slice_that_was_left_out_has_no_position(finished_run, tmp_path):
    volume = tmp_path / "v.ome.zarr"
    shutil.copytree(finished_run / "3d_volume.ome.zarr", volume)
    document = json.loads((volume / ".zattrs").read_text())
    del document["mosaicflow"]["slices"][1]
    (volume / ".zattrs").write_text(json.dumps(document))
    found = exported(volume, inputs_of(finished_run), tmp_path)
    assert len(found["slices"][0]) == 1
    assert {tile.file.partition("/")[0] for tile in found["tiles"][0]} == {"z00"}
