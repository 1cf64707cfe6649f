"""What a run that was broken off loses: the tasks under way, and of a large volume not all."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.unit.engine.test_damage import again, results

from mosaicflow.cli.verify import verify
from mosaicflow.engine.claim import locked
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.tasks import execute
from mosaicflow.errors import StoreError
from mosaicflow.io.zarr import analysis
from mosaicflow.io.zarr.target import TargetArray
from mosaicflow.stacking import build, draw

RECORDS = 25  # of a finished toy run
ALWAYS = ("inspect_acquisition", "report")  # the looks at the raw folder, and at the run


def finished_tasks(root):
    """Name the tasks whose record makes their outputs count."""
    records = (root / ".mosaicflow" / "finished").glob("[!.]*.json")
    return {one.stem for one in records if json.loads(one.read_text())["key"] is not None}


def kill_at(acquisition, root, n_records):
    """Kill a run and all its workers as soon as so many tasks are recorded as finished."""
    command = ["run", "-i", acquisition.raw, "-o", root, "-p", acquisition.params, "--threads", "2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "mosaicflow.cli.main", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 400
    while len(finished_tasks(root)) < n_records and run.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_a_toy_run_leaves_as_many_records_as_the_tests_of_interruptions_count(finished_run):
    assert len(list((finished_run / ".mosaicflow" / "finished").glob("[!.]*.json"))) == RECORDS


@pytest.mark.slow  # with real workers; test_faults kills forked ones, always
@pytest.mark.parametrize("n_records", range(RECORDS + 1))
def test_a_killed_run_keeps_every_task_that_has_a_record(
    acquisition, finished_run, tmp_path, n_records
):
    root = tmp_path / "out"
    kill_at(acquisition, root, n_records)
    finished = {name for name in finished_tasks(root) if name not in ALWAYS}
    assert len(finished) >= n_records - len(ALWAYS)
    outcomes = again(acquisition, root).outcomes
    kept = {o.name.replace(" ", "_") for o in outcomes if o.state == "kept"}
    assert kept - set(ALWAYS) == finished
    assert results(root) == results(finished_run)


# Runs the task `stack` of a run, and kills itself at the n-th rename or removal by the engine.
KILLED = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
from mosaicflow.engine import publish, tasks
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.io.zarr import journal
from mosaicflow.stacking import build
raw, root, params, left = *map(Path, sys.argv[1:4]), int(sys.argv[4])
build._KEPT_BYTES, journal._EVERY_S = 0, 0
plan = plan_run(raw, root, [0, 1], Parameters.read(params, {}), 2)
def counting(one):
    def counted(*given, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return one(*given, **more)
    return counted
moved = tasks.publish
def publishing(*given):
    Path.replace = counting(Path.replace)
    shutil.rmtree = counting(shutil.rmtree)
    publish.sync = counting(publish.sync)
    publish.record(RunFolder(root), [moved(*given)])
    sys.exit(3)
tasks.publish = publishing
tasks.execute(plan.tasks["stack"])
"""
# The list of outputs, seven of them, a sync, the record; then the private folder goes.
LAST_ACTS = 11


@pytest.mark.parametrize(
    "n_acts", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in range(LAST_ACTS) if n != 9)]
)
def test_a_volume_that_is_published_but_not_recorded_is_not_drawn_again(
    acquisition, finished_run, run_copy, monkeypatch, n_acts
):
    record = run_copy / ".mosaicflow/finished/stack.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"key": "of other settings"}))
    words = (acquisition.raw, run_copy, acquisition.params, n_acts)
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], check=False)
    assert killed.returncode == -signal.SIGKILL
    is_recorded = "stack" in finished_tasks(run_copy)
    assert is_recorded == (n_acts == LAST_ACTS - 1)
    monkeypatch.setattr(build, "_KEPT_BYTES", 0)
    for name in ("write", "render"):
        monkeypatch.setattr(TargetArray, name, lambda *_: pytest.fail("written again"))
    with locked(RunFolder(run_copy)):
        plan = plan_run(
            acquisition.raw, run_copy, [0, 1], Parameters.read(acquisition.params, {}), 2
        )
        assert execute(plan.tasks["stack"]).state == ("kept" if is_recorded else "done")
    assert results(run_copy) == results(finished_run)
    assert verify(run_copy) == 0
    assert not (run_copy / ".mosaicflow/scratch").exists()


def test_a_volume_that_a_full_disk_broke_off_is_not_drawn_again(
    acquisition, finished_run, run_copy, monkeypatch
):
    plan = plan_run(acquisition.raw, run_copy, [0, 1], Parameters.read(acquisition.params, {}), 2)
    task, fill = plan.tasks["stack"], analysis.fill_level
    monkeypatch.setattr(build, "_KEPT_BYTES", 0)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(analysis, "fill_level", full)
    (run_copy / ".mosaicflow/finished/stack.json").unlink()
    with pytest.raises(StoreError, match="no space left"):
        execute(task)
    scratch = run_copy / ".mosaicflow/scratch/stack"
    (scratch / "half.csv").write_text("x")
    (scratch / ".half.ome.zarr.tmp").mkdir()
    with pytest.raises(KeyboardInterrupt), locked(RunFolder(run_copy)):
        raise KeyboardInterrupt
    kept = [f"3d_volume.ome.zarr{part}.tmp" for part in ("", ".base")]  # each with its journal
    assert {path.name for path in scratch.iterdir()} == {
        f".{name}{end}" for name in kept for end in ("", ".journal")
    }
    monkeypatch.setattr(analysis, "fill_level", fill)
    monkeypatch.setattr(draw._Column, "draw", lambda *_: pytest.fail("drawn again"))
    assert execute(task).state == "done"
    assert results(run_copy) == results(finished_run)
    with locked(RunFolder(run_copy)):
        pass
    assert not (run_copy / ".mosaicflow/scratch").exists()
