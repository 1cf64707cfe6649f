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

from mosaicflow.engine.claim import locked
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.tasks import execute
from mosaicflow.errors import StoreError
from mosaicflow.io.zarr import analysis
from mosaicflow.stacking import build, draw

RECORDS = 25  # of a finished toy run
ALWAYS = ("inspect_acquisition", "report")  # the looks at the raw folder, and at the run


def finished_tasks(root):
    """Name the tasks whose record makes their outputs count."""
    records = (root / ".mosaicflow" / "finished").glob("[!.]*.json")
    return {one.stem for one in records if json.loads(one.read_text())["key"] is not None}


def kill_at(acquisition, root, n_records):
    """Kill a run and all its workers as soon as it has so many records."""
    command = ["run", "-i", acquisition.raw, "-o", root, "-p", acquisition.params, "--threads", "2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "mosaicflow.cli.main", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    finished, end = root / ".mosaicflow" / "finished", time.monotonic() + 400
    while len(list(finished.glob("[!.]*.json"))) < n_records and run.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_a_toy_run_leaves_as_many_records_as_the_tests_of_interruptions_count(finished_run):
    assert len(list((finished_run / ".mosaicflow" / "finished").glob("[!.]*.json"))) == RECORDS


@pytest.mark.parametrize(
    "n_records",
    [8, *(pytest.param(n, marks=pytest.mark.slow) for n in range(RECORDS + 1) if n != 8)],
)
def test_a_killed_run_keeps_every_task_that_has_a_record(
    acquisition, finished_run, tmp_path, n_records
):
    root = tmp_path / "out"
    kill_at(acquisition, root, n_records)
    finished = {name for name in finished_tasks(root) if name not in ALWAYS}
    assert len(finished) >= n_records - 1 - 2  # a record without a key: one under way per worker
    outcomes = again(acquisition, root).outcomes
    kept = {o.name.replace(" ", "_") for o in outcomes if o.state == "kept"}
    assert kept - set(ALWAYS) == finished
    assert results(root) == results(finished_run)


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
