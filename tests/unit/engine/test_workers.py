"""Workers, and the server that starts them, may be killed at any moment."""

import subprocess
import sys

import pytest

# The server stops, is asked for a worker, and is killed while the asking waits for its answer.
PROGRAM = """
import os, signal, sys, threading
from multiprocessing import forkserver
from pathlib import Path
from mosaicflow.engine.task import Task
from mosaicflow.engine.workers import Workers
from mosaicflow.errors import MosaicflowError

def ask(workers):
    if sys.argv[1] == "warm_up":
        workers.warm_up()
    workers.run(Task("a task", "stack", Path("."), {}, {}))

if __name__ == "__main__":
    try:
        with Workers(1, 1) as workers:
            server = forkserver._forkserver._forkserver_pid
            os.kill(server, signal.SIGSTOP)
            threading.Timer(0.2, os.kill, (server, signal.SIGKILL)).start()
            ask(workers)
    except MosaicflowError as error:
        print(f"{error}")
"""


@pytest.mark.parametrize("moment", ["warm_up", "task"])
def test_a_server_of_workers_that_is_killed_is_one_line(tmp_path, moment):
    (tmp_path / "program.py").write_text(PROGRAM)
    found = subprocess.run(
        [sys.executable, tmp_path / "program.py", moment],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert found.stdout.startswith("a worker process was killed while "), found.stderr
    assert len(found.stdout.splitlines()) == 1
    assert (found.returncode, found.stderr) == (0, "")
