"""Ctrl-C and SIGTERM end a command at any moment with one line and the code that shells expect."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.usefixtures("hearing")

RECORDS = 25  # of a finished toy run
NOISE = ("Traceback", "resource_tracker", "Exception ignored", "KeyboardInterrupt", "Fatal")
SAID = {
    signal.SIGINT: "error: interrupted; nothing unfinished was left under a final name",
    signal.SIGTERM: "error: stopped by signal 15; what is finished is kept",
}


def start(acquisition, root):
    command = ["run", "-i", acquisition.raw, "-o", root, "-p", acquisition.params, "--threads", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "mosaicflow.cli.main", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupted(run, how, ready):
    """Send a signal to the whole group, as a terminal or scheduler does, once something holds."""
    end = time.monotonic() + 200
    while not ready() and run.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    os.killpg(run.pid, how)
    out, errors = run.communicate(timeout=200)
    assert not [word for word in NOISE if word in errors], errors
    lines = [line for line in errors.splitlines() if line.startswith("error")]
    return out, lines


def one_line_at(acquisition, root, how, n_records):
    """Interrupt a run once it has so many records; say whether it was, or ended before."""
    finished = root / ".mosaicflow" / "finished"
    run = start(acquisition, root)
    _, lines = interrupted(
        run, how, lambda: finished.is_dir() and len(list(finished.glob("[!.]*.json"))) >= n_records
    )
    if run.returncode == 0:
        assert len(list(finished.glob("[!.]*.json"))) == RECORDS
        return False
    assert lines == [SAID[how]]
    assert run.returncode == 128 + how
    return True


@pytest.mark.parametrize(("how", "n_records"), [(signal.SIGINT, 0), (signal.SIGTERM, 4)])
def test_a_run_that_is_interrupted_says_one_line(acquisition, tmp_path, how, n_records):
    assert one_line_at(acquisition, tmp_path / "out", how, n_records)


@pytest.mark.slow
@pytest.mark.parametrize("how", SAID)
def test_at_every_record_of_a_run_an_interruption_is_one_line(acquisition, tmp_path, how):
    """The last records come so fast that on a busy machine the run may end before the signal."""
    were = [
        one_line_at(acquisition, tmp_path / f"out{n_records}", how, n_records)
        for n_records in range(RECORDS + 1)
    ]
    assert all(were[: RECORDS // 2])


@pytest.mark.slow
@pytest.mark.parametrize("how", SAID)
def test_in_the_first_seconds_an_interruption_is_one_line(acquisition, tmp_path, how):
    """Workers are started then. Python itself takes 0.2 s before anything of ours can answer."""
    for tenths in range(5, 40, 3):
        run = start(acquisition, tmp_path / f"out{tenths}")
        until = time.monotonic() + tenths / 10
        _, lines = interrupted(run, how, lambda until=until: time.monotonic() > until)
        assert lines == [SAID[how]]
        assert run.returncode == 128 + how


@pytest.mark.parametrize("how", SAID)
def test_a_stage_command_that_is_interrupted_says_one_line(tmp_path, how):
    ready = tmp_path / "ready"
    program = (
        "import pathlib, sys, time\n"
        "from mosaicflow.cli import stage_command\n"
        "import mosaicflow.stages.normalize as stage\n"
        "def wait(*, output: pathlib.Path, threads: int = 1) -> None:\n"
        "    'Wait.'\n"
        f"    pathlib.Path({str(ready)!r}).touch(); time.sleep(60)\n"
        "stage.normalize = wait\n"
        "sys.argv = ['normalize.py', '--output', 'a']\n"
        "stage_command('normalize')\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _, lines = interrupted(run, how, ready.exists)
    assert lines == [SAID[how]]
    assert run.returncode == 128 + how


@pytest.mark.parametrize("how", SAID)
def test_an_interruption_while_a_dataclass_is_made_leaves_with_its_code(tmp_path, how):
    text = f"import os; os.kill(os.getpid(), {int(how)})"  # dataclasses are made by exec, too
    (tmp_path / "program.py").write_text(
        f"from mosaicflow.cli.signals import interruptible\n"
        f"with interruptible():\n    exec({text!r})\n"
    )
    command = [sys.executable, "-m", "program"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 128 + how
    assert found.stderr.splitlines() == [SAID[how]]
