"""Several channels of the same tiles: one placement for all of them."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.tiles import read_slice_tiles
from mosaicflow.engine.channels import channel_parts
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.errors import InputError, ParameterError, QualityError
from mosaicflow.io.zarr import is_finished, open_level
from mosaicflow.report.counts import count
from mosaicflow.report.records import RunFiles, read_measured
from mosaicflow.simulation.plan import rotation
from mosaicflow.stages.inspect_acquisition import inspect_acquisition
from mosaicflow.stages.take_positions import take_positions

PITCH_UM = 10.0
# Far above 0, which means that there is no data.
FAR_UM = 5000.0
SETTINGS = {
    "axial_resolution_um": PITCH_UM, "slicing_interval_mm": 0.2, "resolution_um": -1,
    "crop_depth_um": 290.0, "pyramid_resolutions": [10.0, 50.0], "channel_kind":
    ["intensity", "intensity", "angle"], "fix_illum_enabled": False, "normalize_enabled": False,
    "compensate_psf_enabled": False, "detect_rehoming": False, "graph_span": 1,
    "stitch_gain_compensation": False, "stack_overlap_z_gain": False,
}  # fmt: skip


def angle_at(x_um):
    """Crosses 180 degrees within the specimen [deg]."""
    return (178.0 + x_um / 50) % 180


@pytest.fixture(scope="module")
def three_channels(acquisition, tmp_path_factory):
    """Raw folder: what the toy shows, where in the specimen that lies along x, and an angle."""
    folder = tmp_path_factory.mktemp("channels")
    inspect_acquisition(raw=acquisition.raw, output_dir=folder, axial_resolution_um=PITCH_UM)
    truth = json.loads((acquisition.truth / "truth.json").read_text())
    raw = folder / "raw"
    raw.mkdir()
    rows = ["path,slice,iy,ix,y_mm,x_mm"]
    for piece in truth["slices"]:
        tiles = read_slice_tiles(folder / f"z{piece['slice_id']:02d}_tiles.json")
        corners = {(t["iy"], t["ix"]): (t["row_px"], t["col_px"]) for t in piece["tiles"]}
        for (iy, ix), tile in tiles.used.items():
            shown = np.empty(tiles.tile_shape, np.float32)
            read_tile(acquisition.raw, tiles, tile, shown)
            axes = [c + np.arange(n) for c, n in zip(corners[iy, ix], shown.shape[1:], strict=True)]
            spots = PITCH_UM * np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            place = (spots - piece["shift_um"]) @ rotation(-piece["angle_deg"]).T
            x_um = np.broadcast_to(place[..., 1], shown.shape)
            noise = np.random.default_rng(ix).normal(0, 3, shown.shape)  # deg
            image = np.stack([shown, x_um + FAR_UM, (angle_at(x_um) + noise) % 180])
            name = f"z{piece['slice_id']}_{iy}_{ix}.ome.tif"
            pitch = {f"PhysicalSize{axis}": PITCH_UM for axis in "XYZ"}
            tifffile.imwrite(
                raw / name, image.astype(np.float32), metadata={"axes": "CZYX", **pitch}, ome=True
            )
            y_mm, x_mm = tile.centre_mm
            rows.append(f"{name},{piece['slice_id']},{iy},{ix},{y_mm},{x_mm}")
    (raw / "tile_table.csv").write_text("\n".join(rows) + "\n")
    return raw


@pytest.fixture(scope="module")
def run(three_channels, tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "out"
    run_pipeline(three_channels, root, Parameters(SETTINGS), 2)
    return root


def volume(root, suffix, level=0):
    return np.asarray(open_level(root / f"3d_volume{suffix}.ome.zarr", level)[...])


def test_another_channel_lies_where_the_measured_one_was_placed(run):
    """Its values say where in the specimen each voxel belongs."""
    shown, x_um = volume(run, ""), volume(run, "_c1")
    assert shown.shape == x_um.shape
    there = (shown != 0) & (x_um != 0)
    assert there.mean() > 0.3
    off_px = (x_um[there] - FAR_UM) / PITCH_UM - np.nonzero(there)[2]
    off_px = np.abs(off_px - np.median(off_px))
    assert np.median(off_px) < 0.2  # px, of tiles of 40 px and two slices
    assert np.percentile(off_px, 95) < 0.5


def test_angles_near_180_degrees_are_averaged_as_directions(run):
    x_um, found = volume(run, "_c1"), volume(run, "_c2")
    there = (x_um != 0) & (found != 0)
    off = (found[there] - angle_at(x_um[there] - FAR_UM) + 90) % 180 - 90
    assert np.median(np.abs(off)) < 1.5  # deg, of noise of 3
    assert np.percentile(np.abs(off), 99) < 10  # a plain mean is off by up to 90
    assert abs(off.mean()) < 0.1
    coarse = volume(run, "_c2", 1)
    assert ((coarse >= 0) & (coarse <= 180)).all()
    near = np.abs((coarse[coarse != 0] + 90) % 180 - 90)
    assert near.max() < 45  # deg from 180: the specimen is 0.7 mm wide


def test_every_stage_of_a_channel_has_its_own_name(run):
    for name in ("stitch_3d", "crop_interface", "normalize"):
        for z in ("00", "01"):
            assert is_finished(run / f"slices/{name}_c1/slice_z{z}_{name}_c1.ome.zarr")
    assert (run / "tables/z_matches_c1.csv").is_file()
    assert (run / "tables/z_matches.csv").is_file()


def test_the_report_is_about_the_measured_channel(run):
    files = RunFiles(sorted((run / "metrics").glob("*.json")))
    measured = read_measured(files)
    assert count(files, measured, ()).tiles == 8
    assert {one.channel for one in measured} == {"", "1", "2", "2cos", "2sin"}
    assert not any(one.channel for one in measured if one.slice_id is not None)


@pytest.fixture(scope="module")
def second_channel(three_channels, tmp_path_factory):
    """Channel 1 alone, as a microscope writes it that records each channel in its own folder."""
    raw = tmp_path_factory.mktemp("second") / "raw"
    raw.mkdir()
    for path in three_channels.glob("*.ome.tif"):
        pitch = {f"PhysicalSize{axis}": PITCH_UM for axis in "XYZ"}
        image = tifffile.imread(path)[1]
        tifffile.imwrite(raw / path.name, image, metadata={"axes": "ZYX", **pitch}, ome=True)
    shutil.copy(three_channels / "tile_table.csv", raw)
    return raw


def test_a_channel_in_its_own_folder_takes_positions_from_another_run(
    run, second_channel, tmp_path
):
    root = tmp_path / "out"
    run_pipeline(second_channel, root, Parameters({**SETTINGS, "positions_from": run}), 2)
    np.testing.assert_array_equal(volume(root, ""), volume(run, "_c1"))
    assert not list((root / "tables").glob("z*_tile_links.csv"))  # nothing was measured
    places = (root / "tables/z00_tile_positions.csv").read_text()
    assert places == (run / "tables/z00_tile_positions.csv").read_text()


def test_a_channel_that_shows_nothing_does_not_end_the_run(three_channels, tmp_path):
    """A laser that was off: one value everywhere, or no light at all."""
    raw, root = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    head, *rows = (three_channels / "tile_table.csv").read_text().splitlines()
    rows = [row for row in rows if row.split(",")[1] == "0"]
    (raw / "tile_table.csv").write_text("\n".join([head, *rows]) + "\n")
    for name in (row.split(",")[0] for row in rows):
        shown = tifffile.imread(three_channels / name)[0]
        image = np.stack([shown, np.full_like(shown, 7), np.zeros_like(shown)])
        pitch = {f"PhysicalSize{axis}": PITCH_UM for axis in "XYZ"}
        tifffile.imwrite(raw / name, image, metadata={"axes": "CZYX", **pitch}, ome=True)
    settings = {"axial_resolution_um": PITCH_UM, "resolution_um": -1, "crop_depth_um": 290.0}
    result = run_pipeline(raw, root, Parameters(settings), 2)
    assert is_finished(root / "3d_volume.ome.zarr")
    assert not result.bugs
    told = json.loads((root / "metrics/illumination_c1.metrics.json").read_text())
    assert "no shading could be measured" in told["warnings"][0]
    assert told["metrics"]["method"]["value"] == "none"


def taken(tmp_path, run, raw, **tables):
    """Run the stage alone on the tiles of a raw folder."""
    lists = tmp_path / "lists"
    inspect_acquisition(raw=raw, output_dir=lists, axial_resolution_um=PITCH_UM)
    given = {
        "run_tiles": sorted((run / "tables").glob("z*_tiles.json")),
        "run_positions": sorted((run / "tables").glob("z*_tile_positions.csv")),
        **tables,
    }
    take_positions(
        tiles=tuple(sorted(lists.glob("z*_tiles.json"))),
        **{name: tuple(paths) for name, paths in given.items()},
        distortion=run / "tables/tile_distortion.csv",
        alignment=run / "tables/alignment.json",
        output_dir=tmp_path / "made",
    )
    return tmp_path / "made"


def test_a_slice_that_the_other_run_lost_is_named_and_has_no_places(run, second_channel, tmp_path):
    one = [run / "tables/z00_tile_positions.csv"]
    made = taken(tmp_path, run, second_channel, run_positions=one)
    told = json.loads((made / "alignment.metrics.json").read_text())
    assert "slice 1" in told["warnings"][0]
    assert len((made / "z01_tile_positions.csv").read_text().splitlines()) == 1
    assert len((made / "z00_tile_positions.csv").read_text().splitlines()) == 5


def test_tiles_of_other_places_are_refused_by_name(run, second_channel, tmp_path):
    """A lattice that begins one column later has the same indices, and other tiles."""
    raw = tmp_path / "raw"
    shutil.copytree(second_channel, raw)
    table = raw / "tile_table.csv"
    head, *rows = table.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    moved = [",".join([*row[:5], str(float(row[5]) + 0.3)]) for row in cells]
    table.write_text("\n".join([head, *moved]) + "\n")
    with pytest.raises(InputError, match=r"slice 0: tile \(iy, ix\) = \(0, 0\) lies 0.00 tiles"):
        taken(tmp_path, run, raw)


def test_positions_come_from_a_finished_run_in_another_folder(run, second_channel, tmp_path):
    given = Parameters({**SETTINGS, "positions_from": tmp_path})
    with pytest.raises(InputError, match=r"has no tables/alignment.json"):
        run_pipeline(second_channel, tmp_path / "out", given, 2)
    given = Parameters({**SETTINGS, "positions_from": run})
    with pytest.raises(ParameterError, match="is --output itself"):
        run_pipeline(second_channel, run, given, 2)
    with pytest.raises(ParameterError, match="is not a folder"):
        Parameters({"positions_from": tmp_path / "none"})


def parts(n_channels, **given):
    return channel_parts(n_channels, Parameters(given))


def test_the_measured_channel_is_not_made_twice():
    assert parts({"00": 3}) == {"1": ["00"], "2": ["00"]}
    assert parts({"00": 3}, positions_channel=1) == {"0": ["00"], "2": ["00"]}
    assert parts({"00": 1, "01": 1}) == {}


def test_one_word_says_what_all_others_hold():
    found = parts({"00": 2}, channel_kind=["angle"])
    assert found == {"1cos": ["00"], "1sin": ["00"]}
    found = parts({"00": 3}, channel_kind=["intensity", "angle"])
    assert list(found) == ["1cos", "1sin", "2"]


def test_a_slice_without_a_channel_has_no_task_for_it():
    assert parts({"00": 2, "01": 1}) == {"1": ["00"]}


def test_a_channel_that_no_tile_has_is_named(three_channels, tmp_path):
    with pytest.raises(QualityError, match="not one of number 7"):
        run_pipeline(
            three_channels, tmp_path / "out", Parameters({**SETTINGS, "positions_channel": 7}), 2
        )
