"""Corrections by hand: only what depends on them runs again."""

from __future__ import annotations

import csv

import pytest

from mosaicflow.cli.align import _images_of
from mosaicflow.corrections.package import read_package, write_package
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline

COLUMNS = (
    "kind", "slice_id", "iy", "ix", "dy_px", "dx_px", "angle_deg", "sigma_px", "lock", "exclude",
    "note",
)  # fmt: skip


def corrected(acquisition, root, table, *rows):
    """Run again with a table; the stages that did anything, once each."""
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    parameters = Parameters.read(acquisition.params, {"overrides": str(table)})
    result = run_pipeline(acquisition.raw, root, parameters, 2, "failed")
    return {one.stage for one in result.outcomes if one.state == "done"}


@pytest.mark.slow
def test_a_corrected_slice_is_solved_and_drawn_again_and_nothing_else(
    acquisition, run_copy, tmp_path
):
    package = tmp_path / "package"
    assert write_package(_images_of(run_copy), package, None, 1) == 2
    told = read_package(package)
    assert sorted(told["tiles"]) == ["0", "1"]
    assert len(told["tiles"]["0"]["tiles"]) == 4
    places = {one["slice_id"]: one for one in told["slices"]}
    rows = [
        {
            "kind": "slice", "slice_id": i, "dy_px": places[i]["shift_px"][0] + down,
            "dx_px": places[i]["shift_px"][1], "angle_deg": places[i]["angle_deg"], "lock": "true",
        }
        for i, down in ((0, 0), (1, 5))
    ]  # fmt: skip
    done = corrected(acquisition, run_copy, tmp_path / "o.csv", *rows)
    assert done - {"inspect_acquisition"} == {
        "solve_alignment", "estimate_depth_profile", "stack", "report",
    }  # fmt: skip
    write_package(_images_of(run_copy), package, None, 1)
    first, second = read_package(package)["slices"]
    step = second["shift_px"][0] - first["shift_px"][0]
    was = [one["shift_px"][0] for one in told["slices"]]
    assert step == pytest.approx(was[1] - was[0] + 5, abs=0.01)


@pytest.mark.slow
def test_a_corrected_tile_is_stitched_again_in_its_slice_alone(acquisition, run_copy, tmp_path):
    tile = {"kind": "tile", "slice_id": 1, "iy": 0, "dx_px": 0, "lock": "true"}
    rows = [{**tile, "ix": ix, "dy_px": 3 * ix} for ix in (0, 1)]
    parameters = Parameters.read(acquisition.params, {})
    corrected(acquisition, run_copy, tmp_path / "o.csv", *rows)
    stores = [run_copy / f"slices/stitch_3d/slice_z0{i}_stitch_3d.ome.zarr" for i in (0, 1)]
    times = [store.stat().st_mtime_ns for store in stores]
    run_pipeline(acquisition.raw, run_copy, parameters, 2, "failed")
    again = [store.stat().st_mtime_ns for store in stores]
    assert again[0] == times[0]  # slice 0 has the same places either way
    assert again[1] != times[1]
