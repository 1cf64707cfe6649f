"""How the workflow schedules: waits in a queue, and runs of many slices.

``queue``: the same slices as one task per stage and as one task per slice between two waits, on a
SLURM whose jobs may not start before `delay` seconds after they were submitted. ``size``: many
slices of many tiles on this machine: memory of Nextflow, and how much of the time its slots stood
idle. The tasks of both are stubs; ``toy`` is ``size`` with simulated slices of four real tiles.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# One core and little memory for each task, so that the slots of a small machine decide.
SMALL = "process.resourceLimits = [cpus: 1, memory: 64.MB, time: 1.h]\n"
TRACE = "trace { raw = true\n fields = 'name,status,native_id,submit,start,complete' }\n"


def make_raw(folder: Path, slices: int, tiles: int) -> Path:
    """Make folders of slices with empty files as tiles."""
    raw = folder / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    for number in range(slices):
        own = raw / f"z{number:02d}"
        own.mkdir(parents=True)
        for tile in range(tiles):
            (own / f"tile_{tile:04d}.bin").touch()
    return raw


def run(
    folder: Path, slices: int, tiles: int, granularity: str, config: str, profile: str,
    params: Path | None = None,
) -> tuple[float, int, list[dict[str, str]]]:  # fmt: skip
    """Run stubs, or what `params` says; give wall seconds, Nextflow's peak [bytes], the trace."""
    here = folder / granularity
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    (here / "site.config").write_text(SMALL + TRACE + config)
    words = ["nextflow", "run", str(ROOT), "-profile", profile, "-c", "site.config"]
    words += ["--output", "out", "--granularity", granularity, "-ansi-log", "false"]
    if params is None:
        words += ["-stub-run", "--input", str(make_raw(here, slices, tiles))]
        words += ["--debug_slices", f"0-{slices - 1}"]
    else:
        words += ["-params-file", str(params)]
    began = time.monotonic()
    with (here / "log").open("w") as log:
        driver = subprocess.Popen(words, cwd=here, stdout=log, stderr=subprocess.STDOUT)
        peak = 0
        while driver.poll() is None:
            peak = max(peak, peak_bytes(driver.pid))
            time.sleep(1)
    wall = time.monotonic() - began
    if driver.returncode:
        raise SystemExit((here / "log").read_text())
    with (here / "out/pipeline_info/trace.txt").open() as file:
        return wall, peak, list(csv.DictReader(file, delimiter="\t"))


def peak_bytes(pid: int) -> int:
    """Read the peak of a process's memory; it may have ended."""
    status = Path(f"/proc/{pid}/status")
    text = status.read_text() if status.exists() else ""
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return 1024 * int(found[1]) if found else 0


def queue(arguments: argparse.Namespace) -> None:
    """Compare both granularities where every job waits."""
    config = f"process.clusterOptions = '--begin=now+{arguments.delay}'\n"
    for granularity in arguments.granularity:
        wall, peak, rows = run(
            arguments.folder, arguments.slices, arguments.tiles, granularity, config, "slurm"
        )
        tables = ("INSPECT", "PREDICT", "DETECT", "POOL", "SOLVE", "REPORT")
        beside = [row for row in rows if row["name"].split(":")[-1].startswith(tables)]
        queued = len(rows) - (len(beside) if granularity == "slice" else 0)
        say = f"{granularity}: {wall:.0f} s, {queued} jobs of {len(rows)} tasks"
        print(f"{say}, Nextflow {peak / 1e6:.0f} MB", flush=True)


def toy(arguments: argparse.Namespace) -> None:
    """Run simulated slices here."""
    from mosaicflow.simulation import preset, simulate

    settings = preset("toy", n_slices=arguments.slices, truth_volume=False)
    size(arguments, simulate(arguments.folder / "toy", settings=settings, threads=1).params)


def size(arguments: argparse.Namespace, params: Path | None = None) -> None:
    """Run many slices here."""
    for granularity in arguments.granularity:
        counts = (arguments.slices, arguments.tiles)
        wall, peak, rows = run(arguments.folder, *counts, granularity, "", "standard", params)
        idle = idle_share(rows, os.cpu_count() or 1)
        say = f"{granularity}: {arguments.slices * arguments.tiles} tiles, {len(rows)} tasks"
        say += f" in {wall:.0f} s, Nextflow {peak / 1e6:.0f} MB, idle {idle:.3f} of the slots"
        print(say, flush=True)


def idle_share(rows: list[dict[str, str]], slots: int) -> float:
    """Count slots that were free, as a share, while stages of slices or pairs were running."""
    events: list[tuple[int, int]] = []
    for row in rows:
        if "(" in row["name"].split(":")[-1]:  # of a slice or pair; others are waited for
            events += [(int(row["submit"]), 1), (int(row["complete"]), -1)]
    events.sort()
    used = whole = running = 0
    for (at, step), (following, _) in itertools.pairwise(events):
        running += step
        if running:
            used += min(running, slots) * (following - at)
            whole += slots * (following - at)
    return 1 - used / whole


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["queue", "size", "toy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--delay", type=int, default=60, help="of a job, in seconds")
    parser.add_argument("--granularity", nargs="+", default=["stage", "slice"])
    arguments = parser.parse_args()
    {"queue": queue, "size": size, "toy": toy}[arguments.what](arguments)


if __name__ == "__main__":
    main()
