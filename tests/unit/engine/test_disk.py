"""What file systems refuse costs no result: locks, other disks, folders in use, full logs."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys

import pytest

from mosaicflow.engine import disk
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.run import run_pipeline
from mosaicflow.engine.tasks import execute
from mosaicflow.errors import ParameterError
from mosaicflow.io.disk import lock_file, sync


def once(monkeypatch, owner, name, number):
    """Let the next call of a function fail as the operating system does."""
    real, left = getattr(owner, name), [number]

    def failing(*args, **kwargs):
        if left:
            raise OSError(left.pop(), "simulated")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)
    return left


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_what_a_disk_without_locks_answers_is_no_failure(tmp_path, monkeypatch, number):
    left = once(monkeypatch, fcntl, "flock", number)
    with (tmp_path / "lock").open("w") as lock:
        assert not lock_file(lock, wait=False)
    assert not left


def test_a_disk_without_locks_is_worked_on_with_a_warning(
    acquisition, run_copy, monkeypatch, capsys
):
    left = once(monkeypatch, fcntl, "flock", errno.ENOLCK)
    parameters = Parameters.read(acquisition.params, {})
    result = run_pipeline(acquisition.raw, run_copy, parameters, 2)
    assert not left
    assert result.failures == {}
    assert "this disk knows no locks" in capsys.readouterr().err


def test_another_failure_of_a_lock_is_not_hidden(tmp_path, monkeypatch):
    once(monkeypatch, fcntl, "flock", errno.EIO)
    with (tmp_path / "lock").open("w") as lock, pytest.raises(OSError, match="simulated"):
        lock_file(lock, wait=True)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "store" / "0").mkdir(parents=True)
    (tmp_path / "store" / "0" / "0").write_text("x")
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("name", "number"),
    [("rename", errno.EXDEV), ("rename", errno.ENOTEMPTY), ("rmdir", errno.ENOTEMPTY)],
)
def test_a_folder_that_cannot_be_moved_or_is_in_use_goes_all_the_same(
    tree, tmp_path, monkeypatch, name, number
):
    left = once(monkeypatch, os, name, number)
    disk.remove_tree(tree, tmp_path / "private" / "removed")
    assert not left
    assert not tree.exists()


def test_the_data_is_on_the_disk_before_the_record_counts(acquisition, run_copy, monkeypatch):
    plan = plan_run(acquisition.raw, run_copy, [0, 1], Parameters.read(acquisition.params, {}), 2)
    task = plan.tasks["crop_interface z00"]
    shutil.rmtree(run_copy / "slices/crop_interface/slice_z00_crop_interface.ome.zarr")
    record = run_copy / ".mosaicflow/finished/crop_interface_z00.json"
    seen = []

    def looking(folder):
        outputs = json.loads(record.read_text())["outputs"]
        assert all((run_copy / name).exists() for name in outputs)
        seen.append(json.loads(record.read_text())["key"])
        sync(folder)

    monkeypatch.setattr("mosaicflow.engine.publish.sync", looking)
    assert execute(task).state == "done"
    assert seen == [None]
    assert json.loads(record.read_text())["key"] is not None


def test_an_output_that_is_a_link_to_nothing_is_named(acquisition, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(ParameterError, match=r"out is a link to .*gone, where nothing is"):
        run_pipeline(acquisition.raw, tmp_path / "out", Parameters({}), 1)
    assert not (tmp_path / "gone").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "redirection",
    ["2>/dev/full >&-", pytest.param("2>/dev/full >/dev/full", marks=pytest.mark.slow)],
)
def test_results_do_not_depend_on_the_log(
    acquisition, finished_run, tmp_path, content, redirection
):
    root = tmp_path / "out"
    command = (
        f"exec {sys.executable} -m mosaicflow.cli.main run -i {acquisition.raw} -o {root}"
        f" -p {acquisition.params} --threads 2 {redirection}"
    )
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 0
    volume = "3d_volume.ome.zarr"
    assert content(root / volume) == content(finished_run / volume)
    assert (root / "README.txt").is_file()
