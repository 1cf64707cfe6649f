"""Several stages in one process: what separate tasks would leave, no more and no less."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mosaicflow.cli.chain import run_stages
from mosaicflow.errors import ParameterError, StoreError
from mosaicflow.io.flatfields import FlatField, save_flat_field

RECORD = "z01_failure.json"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a grid that is none, and a flat field."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mosaic_grid_3d_z01.ome.zarr").mkdir()
    ones, none = np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32)
    save_flat_field(tmp_path / "illumination.npz", FlatField(ones, none, none, none), n_tiles=1)
    return tmp_path


def words(stage, output, **options):
    common = {"failure_record": RECORD, "threads": 1} | output
    return [stage, *(f"--{n.replace('_', '-')}={value}" for n, value in (options | common).items())]


def fix(grid, result):
    return words("fix_illumination", {"output": result}, grid=grid, illumination="illumination.npz")


def test_a_stage_whose_input_was_lost_is_left_out(here):
    first = fix("mosaic_grid_3d_z01.ome.zarr", "mosaic_grid_3d_z01_illum_fix.ome.zarr")
    second = fix("mosaic_grid_3d_z01_illum_fix.ome.zarr", "mosaic_grid_3d_z01_again.ome.zarr")
    run_stages([*first, "--then", *second])
    found = json.loads((here / RECORD).read_text())
    assert (found["slice_id"], found["stage"]) == (1, "fix_illumination")
    assert "mosaic_grid_3d_z01.ome.zarr" in found["reason"]
    assert len(list(here.iterdir())) == 3


def test_of_two_branches_that_fail_the_first_record_stays(here):
    grid = "mosaic_grid_3d_z01.ome.zarr"
    other = words("estimate_tile_positions", {"output_dir": "."}, grid=grid)
    run_stages([*fix(grid, "mosaic_grid_3d_z01_illum_fix.ome.zarr"), "--then", *other])
    assert json.loads((here / RECORD).read_text())["stage"] == "fix_illumination"
    run_stages([*other, "--then", *fix(grid, "mosaic_grid_3d_z01_illum_fix.ome.zarr")])
    assert json.loads((here / RECORD).read_text())["stage"] == "fix_illumination"
    assert [path.name for path in here.glob(".*")] == []


@pytest.mark.parametrize("left", ["v.ome.zarr", "v.ome.zarr.address", "record.json", "other"])
def test_a_volume_written_to_its_place_leaves_its_address(here, monkeypatch, left):
    monkeypatch.setattr(
        "mosaicflow.cli.app.stage_app", lambda _name: lambda *_words, **_how: (here / left).touch()
    )
    line = ["stack", "--output=v.ome.zarr", "--failure-record=record.json"]
    if left == "other":
        with pytest.raises(StoreError, match=r"stack: left neither v\.ome\.zarr nor a record"):
            run_stages(line)
    else:
        run_stages(line)


@pytest.mark.parametrize("line", [[], ["--then"], ["report", "--then"], ["no_stage", "--a", "1"]])
def test_what_is_no_chain_is_refused(here, line):
    with pytest.raises(ParameterError, match="stage"):
        run_stages(line)
