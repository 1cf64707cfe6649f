"""What is not kept goes at the end of a run, and comes back the same when it is wanted again."""

from __future__ import annotations

import json

import pytest

from mosaicflow.cli.verify import verify
from mosaicflow.engine.layout import is_kept
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline

GONE = {"qc": {"mosaic_grids", "slices/stitch_3d"}, "final": {"mosaic_grids", "slices", "previews"}}


def run(acquisition, root, keep):
    return run_pipeline(
        acquisition.raw, root, Parameters.read(acquisition.params, {"keep": keep}), 2
    )


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in {".json", ".html", ".txt"}
    }


@pytest.mark.parametrize(("name", "least"), [
    ("mosaic_grid_3d_z00.ome.zarr", "all"), ("slice_z00_stitch_3d.ome.zarr", "all"),
    ("mosaic_grid_3d_z00.crc32c.json", "all"), ("slice_z100_normalize.ome.zarr", "qc"),
    ("slice_z00_normalize.png", "qc"), ("z00_z01_transform.json", "qc"),
    ("z00_transform_xy.npy", "qc"),
    ("slice_z00_normalize.metrics.json", "final"), ("mosaic_grid_3d_z00.problems.json", "final"),
    ("mouse7.ome.zarr", "final"), ("illumination.npz", "final"), ("mouse7.mrc", "final"),
    ("report.html", "final"), ("z00_failure.json", "final"),
])  # fmt: skip
def test_an_output_is_kept_from_one_level_on(name, least):
    levels = ["final", "qc", "all"]
    assert [is_kept(name, keep) for keep in levels] == [
        levels.index(keep) >= levels.index(least) for keep in levels
    ]


@pytest.mark.parametrize("keep", GONE)
def test_what_is_not_kept_goes_when_all_is_done_and_verify_does_not_miss_it(
    acquisition, run_copy, keep, capsys
):
    result = run(acquisition, run_copy, keep)
    ran = {outcome.name for outcome in result.outcomes if outcome.state == "done"}
    assert ran == {"inspect_acquisition", "report"}
    for folder in GONE[keep]:
        assert not any((run_copy / folder).rglob("*.*")), folder
    assert (run_copy / "3d_volume.ome.zarr/.zattrs").is_file()
    assert (run_copy / "tables/alignment.json").is_file()
    assert (run_copy / "slices/normalize/slice_z00_normalize.ome.zarr").exists() == (keep == "qc")
    listed = json.loads((run_copy / "pipeline_info/run.json").read_text())["outputs"]
    assert [name for name in listed if not (run_copy / name).exists()] == []
    assert verify(run_copy) == 0
    (run_copy / "tables/alignment.json").unlink()
    assert verify(run_copy) == 1
    assert "alignment.json: is missing" in capsys.readouterr().out


@pytest.mark.slow
def test_what_was_not_kept_comes_back_the_same(acquisition, finished_run, run_copy):
    run(acquisition, run_copy, "final")
    result = run(acquisition, run_copy, "all")
    assert files(run_copy) == files(finished_run)
    ran = {outcome.stage for outcome in result.outcomes if outcome.state == "done"}
    assert "solve_alignment" not in ran
    assert "normalize" in ran
