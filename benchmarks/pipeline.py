"""Time and memory of the whole pipeline, stage by stage, beside the cost of copying the data.

    python benchmarks/pipeline.py benchmark            8 slices x 5 x 5 tiles, 10 um
    python benchmarks/pipeline.py native               2 slices x 3 x 3 tiles at 3 um

Needs about three times the raw size in --folder; everything there is removed at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import cyclopts

FOLDER = Path(tempfile.gettempdir()) / "mosaicflow-benchmark"
COMMAND = [sys.executable, "-m", "mosaicflow.cli.main"]


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def copy_seconds(source: Path, target: Path) -> float:
    start = time.perf_counter()
    shutil.copytree(source, target)
    os.sync()
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


def peak_rss_mb(process: subprocess.Popen[bytes]) -> float:
    """Follow a process and all its children; the largest peak of any one of them."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in family(process.pid):
            peaks[pid] = max(peaks.get(pid, 0), status_mb(pid, "VmHWM"))
        time.sleep(0.1)
    return max(peaks.values(), default=0.0)


def family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        for thread in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in thread.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def status_mb(pid: int, field: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def main(
    preset: str = "benchmark",
    *,
    folder: Path = FOLDER,
    threads: int = 2,
    keep: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> None:
    """Simulate, copy, run, and print.

    Parameters
    ----------
    preset : str
        Preset of the simulator.
    folder : Path
        Where to work.
    threads : int
        Threads of the run.
    keep : bool
        Leave the data there.
    """
    data, out = folder / preset, folder / f"{preset}-results"
    if not (data / "params.yml").exists():
        subprocess.run([*COMMAND, "simulate", data, "--preset", preset], check=True)
    shutil.rmtree(out, ignore_errors=True)
    raw_mb = folder_bytes(data / "raw") / 1e6
    copying = copy_seconds(data / "raw", folder / "copy")
    start = time.perf_counter()
    run = [*COMMAND, "run", "-p", data / "params.yml", "--output", out, "--threads", str(threads)]
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak = peak_rss_mb(process)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"the run failed with exit code {process.returncode}")
    stages = json.loads((out / "pipeline_info/run.json").read_text())["engine"]["stages"]
    print(f"{'stage':<26}{'tasks':>6}{'s in all':>10}{'s per GB raw':>14}")
    for name, entry in stages.items():
        print(
            f"{name:<26}{entry.get('done', 0):>6.0f}{entry['seconds']:>10.1f}"
            f"{entry['seconds'] / raw_mb * 1e3:>14.2f}"
        )
    print(f"\nraw data            {raw_mb:8.0f} MB")
    print(f"copying it          {copying:8.1f} s   {raw_mb / copying:6.0f} MB/s")
    print(f"the whole run       {seconds:8.1f} s   {raw_mb / seconds:6.0f} MB/s")
    print(f"largest process     {peak:8.0f} MB")
    subprocess.run([*COMMAND, "evaluate", "--run", out, "--truth", data / "truth"], check=True)
    shutil.rmtree(out)
    if not keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    cyclopts.run(main)
