"""What a terminal shows of a run: one bar for all, the time left, memory, and what is kept."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.engine import memory
from mosaicflow.engine.live import Remaining

# Tasks that end as those of a run do: what was kept at once, then work of a known length.
SCRIPT = """
import time
from mosaicflow.engine.progress import open_progress
from mosaicflow.engine.task import Outcome
stages = ["normalize"] * 5 + ["stack"] * 4
with open_progress(stages, "all", {"normalize": 3.0, "stack": 0.2}) as progress:
    for z in range(5):
        progress.ended(Outcome(f"normalize z{z:02d}", "normalize", "kept"))
    for part in range(3):
        time.sleep(0.2)
        progress.ended(Outcome(f"stack {part}", "stack", "done", 0.2))
    time.sleep(0.1)
    progress.ended(Outcome("stack 3", "stack", "failed", 0.1, "no [bold]tile[/bold]"))
"""


def shown(command, width=80) -> str:
    """Everything that a command writes to a terminal of its own."""
    end, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    ) as run:
        os.close(terminal)
        parts = []
        while True:
            try:
                part = os.read(end, 65536)
            except OSError:  # the terminal has nobody any more
                break
            if not part:
                break
            parts.append(part)
    os.close(end)
    assert run.returncode == 0, b"".join(parts)
    return b"".join(parts).decode()


def rows(text, name) -> list[str]:
    """Each state of a row, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.startswith(f"{name} ")]


@pytest.fixture(scope="module")
def screen():
    return shown([sys.executable, "-c", SCRIPT])


def test_one_bar_counts_all_tasks_with_the_time_left_and_memory(screen):
    whole = rows(screen, "all")
    assert "9/9" in whole[-1]
    assert any(re.search(r"~\d+ s left, memory [\d.]+ MB$", row) for row in whole)
    assert re.search(r"memory up to [\d.]+ MB$", whole[-1])


def test_kept_stages_look_kept(screen):
    kept = rows(screen, "normalize")[-1]
    assert "5/5" in kept
    assert kept.endswith("5 kept")
    # Their name is dim; that of a stage that runs is not.
    assert re.search(r"\x1b\[2m\s*normalize", screen)
    assert not re.search(r"\x1b\[2m\s*stack", screen)


def test_a_failure_stands_above_the_bars_as_it_is_written(screen):
    assert "stack 3: FAILED: no [bold]tile[/bold]" in screen
    assert rows(screen, "stack")[-1].endswith("1 FAILED")


def test_it_fits_a_narrow_terminal():
    text = shown([sys.executable, "-c", SCRIPT], width=60)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 60


@pytest.mark.slow
def test_a_second_run_at_a_terminal_shows_that_all_is_kept(acquisition, run_copy):
    command = ["run", acquisition.raw, "-o", run_copy, "-p", acquisition.params, "--threads", "2"]
    text = shown([sys.executable, "-m", "mosaicflow", *map(str, command)])
    assert rows(text, "stitch_3d")[-1].endswith("2 kept")
    assert "\nverdict   " in text.replace("\r", "")


@given(
    lengths=st.lists(st.floats(0.1, 50), min_size=2, max_size=30),
    pace=st.floats(0.1, 10),
    kept=st.integers(0, 5),
)
def test_at_an_even_pace_the_time_left_is_true(lengths, pace, kept):
    """Whatever the proportions of the stages: what is predicted may be wrong by any factor."""
    stages = [f"s{i}" for i in range(len(lengths))]
    expected = {**dict(zip(stages, lengths, strict=True)), "kept": 1e4}
    remaining = Remaining([*stages, *["kept"] * kept], expected)
    now = time.monotonic()
    for _ in range(kept):
        remaining.ended("kept", now, has_run=False)
    assert remaining.seconds(now) is None
    start = remaining._start_s
    for i, stage in enumerate(stages):
        now = start + pace * sum(lengths[: i + 1])
        remaining.ended(stage, now, has_run=True)
        left = pace * sum(lengths[i + 1 :])
        assert remaining.seconds(now) == pytest.approx(left, abs=1e-3 * (1 + left))
        # While the next one runs, time goes on.
        assert remaining.seconds(now + 0.5 * left) == pytest.approx(
            0.5 * left, abs=1e-3 * (1 + left)
        )


def test_the_peak_is_that_of_what_ran_since_it_was_set_back():
    if not memory.forget_peak():
        pytest.skip("needs Linux, and the right to set a peak back")
    before = memory.peak_bytes()
    block = np.ones(8 * 2**20)  # 64 MiB
    assert 60 < (memory.peak_bytes() - before) / 2**20 < 80
    del block
    assert memory.forget_peak()
    assert memory.peak_bytes() - before < 30 * 2**20


def test_memory_of_a_process_and_what_it_started_is_counted_once():
    alone = memory.tree_bytes()
    if alone is None:
        pytest.skip("needs Linux")
    script = "block = bytes(range(256)) * 400 * 2**10; print(1, flush=True); input()"  # 100 MiB
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "1\n"
        assert 95 < (memory.tree_bytes() - alone) / 2**20 < 140
        other.communicate("\n")
