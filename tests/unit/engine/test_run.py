import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mosaicflow.cli.run import run as cli_run
from mosaicflow.engine.layout import PUBLISHED
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.run import run_pipeline
from mosaicflow.errors import InputError, MosaicflowError, ParameterError, QualityError
from mosaicflow.io.tables import read_json
from mosaicflow.io.zarr import is_finished, validate_omezarr

COMMAND = [sys.executable, "-m", "mosaicflow.cli.main", "run"]


def stores(root):
    """Stores under final names; what the engine keeps to itself is hidden."""
    found = root.rglob("*.ome.zarr")
    return [p for p in found if not any(q.startswith(".") for q in p.relative_to(root).parts)]


def start(acquisition, root, *options):
    command = [*COMMAND, "-i", acquisition.raw, "-o", root, "-p", acquisition.params]
    return subprocess.Popen(
        [*map(str, command), "--threads", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def living(session):
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_run_publishes_everything_in_its_place(finished_run):
    assert is_finished(finished_run / "3d_volume.ome.zarr")
    found = {path.relative_to(finished_run).as_posix() for path in stores(finished_run)}
    for z in ("z00", "z01"):
        assert f"mosaic_grids/mosaic_grid_3d_{z}.ome.zarr" in found
        assert f"slices/normalize/slice_{z}_normalize.ome.zarr" in found
        assert (finished_run / f"metrics/slice_{z}_normalize.metrics.json").is_file()
        assert (finished_run / f"transforms/{z}_transform_xy.npy").is_file()
    assert all(validate_omezarr(path) == [] for path in stores(finished_run))
    assert not (finished_run / ".mosaicflow/scratch").exists()
    assert not list(finished_run.rglob("*.tmp"))


def test_the_record_counts_slices_and_tasks(finished_run):
    record = read_json(finished_run / "pipeline_info/run.json")
    assert record["slices"] == {"found": 2, "failed": {}, "excluded": {}, "placed": 2}
    assert record["pairs"] == {"found": 1, "failed": {}}
    assert record["engine"]["stages"]["stitch_3d"]["done"] == 2
    assert record["parameters"]["crop_depth_um"] == 290.0
    assert record["parameters"]["graph_span"] == 3
    for name in record["outputs"]:
        assert (finished_run / name).exists(), name
    assert "tables/alignment.json" in record["outputs"]


def test_the_guide_names_what_is_there(finished_run):
    text = (finished_run / "README.txt").read_text()
    assert text.startswith("3d_volume.ome.zarr and what it was made from\n")
    assert "  crop_depth_um: 290\n" in text
    assert "graph_span" not in text
    assert "@" not in text
    for folder in PUBLISHED:
        assert f"  {folder}/" in text
        # Exports are made only where they are asked for, and the guide says so.
        assert (finished_run / folder).is_dir() == (folder != "exports")


def test_a_second_run_does_nothing_again(acquisition, run_copy, content):
    before = content(run_copy / "3d_volume.ome.zarr")
    parameters = Parameters.read(acquisition.params, {})
    result = run_pipeline(acquisition.raw, run_copy, parameters, 2)
    states = {outcome.stage: outcome.state for outcome in result.outcomes}
    # The raw folder is looked at and the page written anew each time.
    assert (states.pop("inspect_acquisition"), states.pop("report")) == ("done", "done")
    assert set(states.values()) <= {"kept", "absent"}
    assert content(run_copy / "3d_volume.ome.zarr") == before


def test_a_changed_parameter_runs_only_what_follows_from_it(acquisition, run_copy):
    parameters = Parameters.read(acquisition.params, {"normalize_min_contrast": 0.2})
    result = run_pipeline(acquisition.raw, run_copy, parameters, 2)
    ran = {o.stage for o in result.outcomes if o.state == "done"} - {"inspect_acquisition"}
    assert ran == {
        "normalize",
        "register_pairwise",
        "solve_alignment",
        "estimate_depth_profile",
        "stack",
        "report",
    }


def test_one_bad_slice_does_not_stop_the_other(acquisition, raw_copy, run_copy):
    for image in raw_copy.glob("z01/**/image_*"):
        image.write_bytes(b"")
    parameters = Parameters.read(acquisition.params, {})
    result = run_pipeline(raw_copy, run_copy, parameters, 2)
    assert result.n_slices == 2
    assert (list(result.failures), result.excluded) == ([1], {})
    assert result.failures[1].startswith("create_mosaic_grid: ")
    assert is_finished(result.volume)
    # Nothing of the slice's earlier, successful run is left to be taken for a result.
    assert not [path for path in stores(run_copy) if "_z01" in path.name]
    record = read_json(run_copy / "pipeline_info/run.json")
    assert list(record["slices"]["failed"]) == ["1"]
    assert record["pairs"] == {"found": 0, "failed": {}}


def test_a_run_without_any_good_slice_fails(acquisition, raw_copy, tmp_path):
    for image in raw_copy.glob("**/image_*"):
        image.write_bytes(b"\xff" * image.stat().st_size)  # NaN, which no inspection sees
    parameters = Parameters.read(acquisition.params, {})
    with pytest.raises(
        QualityError, match="none of 2 slices could be processed; slice 0 failed in"
    ):
        run_pipeline(raw_copy, tmp_path / "out", parameters, 2)


def test_a_folder_that_is_not_there_or_cannot_be_written_is_named(acquisition, tmp_path):
    nothing = Parameters({}, "test")
    with pytest.raises(InputError, match="gone: not found, expected the folder of an acquisition"):
        run_pipeline(tmp_path / "gone", tmp_path / "out", nothing, 1)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParameterError, match=r"file is a file, expected a folder"):
        run_pipeline(acquisition.raw, tmp_path / "file", nothing, 1)
    with pytest.raises(ParameterError, match=r"--output .* is no path \(File name too long\)"):
        run_pipeline(acquisition.raw, tmp_path / ("x" * 300), nothing, 1)
    with pytest.raises(InputError, match=r"cannot be written .*choose another --output"):
        run_pipeline(acquisition.raw, tmp_path / "file" / "below", nothing, 1)


def test_raw_data_and_results_do_not_mix(raw_copy, tmp_path):
    nothing = Parameters({})
    for inside in (raw_copy, raw_copy / "results"):
        with pytest.raises(
            ParameterError, match=r"lies in the raw folder .*choose a folder outside"
        ):
            run_pipeline(raw_copy, inside, nothing, 1)
    raw_copy.rename(tmp_path / "slices")
    with pytest.raises(ParameterError, match="lies where results are written"):
        run_pipeline(tmp_path / "slices", tmp_path, nothing, 1)


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_without_any_tile_leaves_nothing_behind(tmp_path, exists):
    raw, root = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    if exists:
        root.mkdir()
    with pytest.raises(InputError, match="no tile"):
        run_pipeline(raw, root, Parameters({}), 1)
    assert root.exists() == exists
    assert not exists or not list(root.iterdir())


@pytest.mark.parametrize(("width", "options"), [(402, {}), (412, {"allow_mixed_pitch": True})])
def test_a_slice_of_another_pitch_goes_through(acquisition, raw_copy, tmp_path, width, options):
    for info in raw_copy.glob("z01/**/info.txt"):
        info.write_text(info.read_text().replace("width: 400.0", f"width: {width}"))
    parameters = Parameters.read(acquisition.params, options)
    result = run_pipeline(raw_copy, tmp_path / "out", parameters, 2)
    assert (result.failures, result.unmatched) == ({}, {})
    problems = read_json(tmp_path / "out/tables/acquisition.json")["problems"]
    assert "pitch_differs" in {problem["code"] for problem in problems}


def test_a_pair_that_cannot_be_compared_stops_nobody(acquisition, run_copy, monkeypatch):
    # Workers see the plan only: let the pair's task read what is no slice.
    plan = plan_run

    def with_a_bad_pair(*arguments, **options):
        found = plan(*arguments, **options)
        name = "register_pairwise z00 z01"
        inputs = {**found.tasks[name].inputs, "moving": "mosaic_grid_3d_z01.ome.zarr"}
        found.tasks[name] = replace(
            found.tasks[name], inputs={**inputs, "shifts": "slice_config.csv"}
        )
        return found

    monkeypatch.setattr("mosaicflow.engine.run.plan_run", with_a_bad_pair)
    parameters = Parameters.read(acquisition.params, {})
    result = run_pipeline(acquisition.raw, run_copy, parameters, 2)
    assert result.failures == {}
    assert list(result.unmatched) == ["z00_z01"]
    assert result.unmatched["z00_z01"].startswith("register_pairwise: slice_config.csv: ")
    assert not list((run_copy / "transforms").glob("z00_z01*"))
    record = read_json(run_copy / "pipeline_info/run.json")
    assert record["pairs"] == {"found": 1, "failed": result.unmatched}
    assert record["slices"]["placed"] == 2
    warnings = read_json(run_copy / "metrics/alignment.metrics.json")["warnings"]
    assert any(text.startswith("pair 0-1: slice_config.csv: ") for text in warnings)


def test_a_bug_in_one_slice_costs_that_slice_and_the_run_ends_with_1(
    acquisition, raw_copy, tmp_path, monkeypatch, capsys
):
    plan = plan_run

    def with_a_bug(*arguments, **options):
        found = plan(*arguments, **options)
        task = found.tasks["crop_interface z01"]
        settings = {**task.settings, "crop_depth_um": "deep"}  # passes no command line
        found.tasks[task.name] = replace(task, settings=settings)
        return found

    monkeypatch.setattr("mosaicflow.engine.run.plan_run", with_a_bug)
    root = tmp_path / "out"
    assert cli_run(input=raw_copy, output=root, params_file=acquisition.params, threads=2) == 1
    said = capsys.readouterr()
    assert (
        "slice 1 is not in the volume (failed): crop_interface: internal error (TypeError"
        in said.out
    )
    assert "1 of 2 slices" in said.out
    assert "a bug in mosaicflow ended tables/z01_failure.json" in said.err
    record = read_json(root / "tables/z01_failure.json")
    assert record["traceback"][0].startswith("Traceback")
    assert is_finished(root / "3d_volume.ome.zarr")
    monkeypatch.undo()  # mended
    assert cli_run(input=raw_copy, output=root, params_file=acquisition.params, threads=2) == 0
    assert not (root / "tables/z01_failure.json").exists()


def test_two_tiles_on_the_diagonal_are_a_slice(acquisition, raw_copy, tmp_path):
    for tile in ("tile_x00_y01_z01", "tile_x01_y00_z01"):
        shutil.rmtree(raw_copy / "z01" / tile)
    parameters = Parameters.read(acquisition.params, {})
    result = run_pipeline(raw_copy, tmp_path / "out", parameters, 2)
    assert result.failures == {}
    assert is_finished(result.volume)


def test_a_second_run_in_the_same_folder_is_refused(acquisition, tmp_path):
    root = tmp_path / "out"
    first = start(acquisition, root)
    try:
        wait_for(lambda: (root / "tables/z00_tiles.json").exists())
        with pytest.raises(MosaicflowError, match="another run is writing here"):
            run_pipeline(acquisition.raw, root, Parameters({}, "test"), 1)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def stop(acquisition, root, how):
    """Start a run and stop it while it works on slices."""
    run = start(acquisition, root)
    wait_for(lambda: (root / "slices").exists())
    os.kill(run.pid, how)
    _, errors = run.communicate(timeout=30)
    assert run.returncode != 0
    assert "Traceback" not in errors, errors
    return run


@pytest.mark.usefixtures("hearing")
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_leaves_no_half_store_and_no_process(acquisition, tmp_path, how):
    root = tmp_path / "out"
    run = stop(acquisition, root, how)
    wait_for(lambda: not living(run.pid), 20)
    assert all(is_finished(path) for path in stores(root))
    for file in root.rglob("*.json"):
        if ".mosaicflow" not in file.parts:
            json.loads(file.read_text())


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(acquisition, finished_run, tmp_path, content):
    root = tmp_path / "out"
    stop(acquisition, root, signal.SIGKILL)
    again = start(acquisition, root)
    out, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert "2 of 2 slices" in out
    assert "kept" in errors
    assert content(root / "3d_volume.ome.zarr") == content(finished_run / "3d_volume.ome.zarr")


def test_a_slice_left_out_by_hand_is_counted(acquisition, run_copy):
    ledger = run_copy / "tables/slice_config.csv"
    lines = ledger.read_text().splitlines()
    lines[2] = lines[2].replace("true", "false", 1)
    ledger.write_text("\n".join(lines) + "\n")
    result = run_pipeline(acquisition.raw, run_copy, Parameters.read(acquisition.params, {}), 2)
    assert list(result.excluded) == [1]
    counts = read_json(run_copy / "pipeline_info/run.json")["slices"]
    assert counts["found"] == counts["placed"] + len(counts["excluded"]) + len(counts["failed"])
    told = read_json(run_copy / "metrics/alignment.metrics.json")
    assert any(text.startswith("slice 1 excluded") for text in told["notes"])
    assert not any(text.startswith("slice 1") for text in told["warnings"])
    last_words = [
        line for line in result.closing if line.startswith("slice 1 is not in the volume")
    ]
    assert "(excluded by you)" in last_words[0]
