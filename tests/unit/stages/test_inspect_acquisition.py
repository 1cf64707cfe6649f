import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_csv
from mosaicflow.simulation import preset, simulate
from mosaicflow.stages.inspect_acquisition import inspect_acquisition


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    settings = preset("toy", truth_volume=False, n_slices=3)
    return simulate(tmp_path_factory.mktemp("acquisition"), settings=settings).raw


def test_all_outputs_are_written(raw, tmp_path):
    inspect_acquisition(raw=raw, output_dir=tmp_path, axial_resolution_um=10.0)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "acquisition.json", "acquisition.metrics.json", "layout.png", "shifts_xy.csv",
        "slice_config.csv", "z00_tiles.json", "z01_tiles.json", "z02_tiles.json",
    ]  # fmt: skip
    assert len(read_csv(tmp_path / "shifts_xy.csv")) == 2
    assert [row["slice_id"] for row in read_csv(tmp_path / "slice_config.csv")] == [
        "00",
        "01",
        "02",
    ]
    with Image.open(tmp_path / "layout.png") as picture:
        assert picture.size == (660, 708)


def test_slices_are_numbered_as_wide_as_asked(raw, tmp_path):
    inspect_acquisition(raw=raw, output_dir=tmp_path, axial_resolution_um=10.0, slice_digits=3)
    lists = sorted(path.name for path in tmp_path.glob("z*_tiles.json"))
    assert lists == ["z000_tiles.json", "z001_tiles.json", "z002_tiles.json"]


def test_counts_in_are_counts_out(raw, tmp_path):
    inspect_acquisition(raw=raw, output_dir=tmp_path, axial_resolution_um=10.0)

    metrics = json.loads((tmp_path / "acquisition.metrics.json").read_text())["metrics"]
    acquisition = json.loads((tmp_path / "acquisition.json").read_text())
    n_tiles = sum(len(piece["tiles"]) for piece in acquisition["slices"])
    parts = ("tiles_usable", "tiles_unusable", "tiles_unplaced")
    assert n_tiles == metrics["tiles_found"]["value"] == 12
    assert sum(metrics[name]["value"] for name in parts) == n_tiles


def test_nothing_written_names_the_machine(raw, tmp_path):
    inspect_acquisition(raw=raw, output_dir=tmp_path, axial_resolution_um=10.0)

    for path in tmp_path.glob("*.json"):
        assert str(raw.parent) not in path.read_text()


def test_a_tile_list_changes_with_its_own_slice_only(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    first, second = tmp_path / "a", tmp_path / "b"
    inspect_acquisition(raw=copy, output_dir=first, axial_resolution_um=10.0)
    shutil.rmtree(next(copy.glob("z01/tile_*")))

    inspect_acquisition(
        raw=copy, output_dir=second, axial_resolution_um=10.0, max_missing_fraction=0.5
    )

    same = {
        path.name: path.read_bytes() == (second / path.name).read_bytes()
        for path in first.glob("z*_tiles.json")
    }
    assert same == {"z00_tiles.json": True, "z01_tiles.json": False, "z02_tiles.json": True}


def test_a_stopping_problem_leaves_nothing(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    for path in copy.rglob("info.txt"):
        path.write_text("no parameters\n")

    with pytest.raises(InputError, match=r"z00/tile_x00_y00_z00: info.txt cannot be used"):
        inspect_acquisition(raw=copy, output_dir=tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_folder_that_cannot_be_written_is_named(raw, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match=r"file/out: the output folder cannot be written"):
        inspect_acquisition(raw=raw, output_dir=tmp_path / "file" / "out")


def test_a_full_disk_is_noticed_before_work_starts(raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(InputError, match=r"not enough disk, 1\.0 kB are free .* to 3\.\d MB"):
        inspect_acquisition(raw=raw, output_dir=tmp_path)


def test_a_users_slice_config_is_kept(raw, tmp_path):
    (tmp_path / "mine.csv").write_text("slice_id,use,exclude_reason\n1,no,low_quality\n")

    inspect_acquisition(raw=raw, output_dir=tmp_path / "out", slice_config=tmp_path / "mine.csv")

    rows = read_csv(tmp_path / "out" / "slice_config.csv")
    assert [(row["use"], row["exclude_reason"]) for row in rows] == [
        ("true", ""), ("false", "low_quality"), ("true", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "missing",
    [(), ("1/3/5", "1/3/6", "1/5/5", "1/5/6")],  # the second slice has its middle row only
)
def test_stage_positions_and_shifts_place_tiles_as_the_truth_does(tmp_path, missing):
    changes = {
        "missing_tiles": missing,
        "n_slices": 3, "grid": (3, 2), "first_index": (3, 5), "stage_sign": (-1, 1),
        "jitter_px": 0.0, "lattice_rotation_deg": 0.0, "residual_shift_um": 0.0,
        "residual_rotation_deg": 0.0, "drift_um": 80.0, "truth_volume": False,
    }  # fmt: skip
    made = simulate(tmp_path / "made", settings=preset("toy", **changes))
    inspect_acquisition(raw=made.raw, output_dir=tmp_path, axial_resolution_um=10.0)
    truth = json.loads((made.truth / "truth.json").read_text())["slices"]
    steps = {int(row["moving_id"]): row for row in read_csv(tmp_path / "shifts_xy.csv")}

    found, true = [], []
    placement = np.zeros(2)
    for number, piece in enumerate(truth):
        tiles = json.loads((tmp_path / f"z{number:02d}_tiles.json").read_text())
        signs = np.array([tiles["stage"][axis]["sign"] for axis in "yx"])
        if number in steps:
            shift_mm = [float(steps[number][f"{axis}_shift_mm"]) for axis in "yx"]
            placement = placement - signs * np.array(shift_mm)
        for tile in tiles["tiles"]:
            centre = np.array([tile["y_mm"], tile["x_mm"]]) - tiles["stage"]["origin_mm"]
            found.append((signs * centre + placement) / 0.01)
        there = [tile for tile in piece["tiles"] if tile["fault"] != "missing"]
        true += [(tile["row_px"], tile["col_px"]) for tile in there]

    difference = np.array(found) - np.array(true)
    np.testing.assert_allclose(difference - difference[0], 0, atol=1e-3)  # px; files keep 1 nm
