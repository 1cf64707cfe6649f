"""Compare what a run takes with what was predicted: memory and CPU time of every stage.

Each task runs in a process of its own, forked from one that has loaded everything: its time is that
of the work alone, at the pace that is measured before and after it, and its memory is what it adds
to that of the stage's own libraries. Run on a machine that does little else::

    python benchmarks/resources.py toy demo brain benchmark stack --folder /tmp/resources
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pkgutil
import resource
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

from PIL import Image

import mosaicflow
from mosaicflow.acquisition.tiles import read_slice_tiles
from mosaicflow.engine.costs import COSTS
from mosaicflow.engine.ends import inspection_task
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.needs import predict_needs
from mosaicflow.engine.pace import measured_pace
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.tasks import execute
from mosaicflow.names import TILES
from mosaicflow.simulation import preset, simulate
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from mosaicflow.engine.task import Task
    from mosaicflow.simulation.settings import PresetName

MIB = 2**20
# What the benchmark and the native preset are cut down to, so that a loaded machine ends as well.
CHANGES: dict[str, dict[str, Any]] = {
    "benchmark": {"n_slices": 2},
    "stack": {
        "n_slices": 3, "grid": (3, 2), "tile_shape": (160, 200, 180), "pitch_um": (2.5, 5.0, 5.0)
    },
}  # fmt: skip

_PRESETS: dict[str, PresetName] = {
    "toy": "toy", "demo": "demo", "benchmark": "benchmark", "stack": "native"
}  # fmt: skip


def acquisition(name: str, folder: Path) -> tuple[Path, Path]:
    """Make an acquisition, or take the example; give its raw folder and parameters."""
    if name == "brain":
        source = Path(mosaicflow.__file__).parent / "examples/brain_section"
        copytree(source, folder, dirs_exist_ok=True)
        return folder / "raw", folder / "params.yml"
    settings = preset(_PRESETS[name], truth_volume=False, **CHANGES.get(name, {}))
    made = simulate(folder, settings=settings, threads=1)
    return made.raw, made.params


def load_all() -> None:
    """Import everything that stages import, so that no task's time holds it."""
    rooms = ("acquisition", "io", "mosaic", "optics", "slices", "steps", "alignment", "stacking")
    for room in rooms:
        package = importlib.import_module(f"mosaicflow.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("scipy.cluster.hierarchy")
    Image.preinit()
    gc.freeze()  # collecting garbage would copy all of it into the fork: 0.3 s, by chance


def status_mib(key: str) -> float:
    """Read a number of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def measured(task: Task) -> dict[str, float | str]:
    """Run a task in a fork: the state it ended in, its CPU time and the memory that it added."""
    before = measured_pace()
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        start, base = resource.getrusage(resource.RUSAGE_SELF), status_mib("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the parent
        state = execute(task).state
        end, peak = resource.getrusage(resource.RUSAGE_SELF), status_mib("VmHWM")
        cpu = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
        os.write(sender, json.dumps({"state": state, "cpu": cpu, "mib": peak - base}).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as answer:
        found: dict[str, float | str] = json.load(answer)
    os.waitpid(child, 0)
    return {**found, "cpu": float(found["cpu"]) / ((before + measured_pace()) / 2)}


def compare(name: str, folder: Path, threads: int) -> bool:
    """Print what each stage of one acquisition took; whether all came within a factor 1.5."""
    raw, params = acquisition(name, folder / name)
    parameters, root = Parameters.read(params, {}), folder / f"{name}_run"
    RunFolder(root).finished.mkdir(parents=True, exist_ok=True)
    first = inspection_task(raw.resolve(), root, parameters)
    taken = defaultdict(list, {first.stage: [measured(first)]})
    slices = [read_slice_tiles(path) for path in RunFolder(root).all_of(TILES)]
    ids = sorted(one.slice_id for one in slices)
    plan = plan_run(raw.resolve(), root, ids, parameters, threads)
    for task in TopologicalSorter(plan.after).static_order():
        found = measured(plan.tasks[task])
        if found["state"] == "done":
            taken[plan.tasks[task].stage].append(found)
    is_near = True
    for need in predict_needs(slices, parameters, 1.0, threads=threads):
        rows = taken[need.stage]
        seconds = max(float(row["cpu"]) for row in rows)
        mib = COSTS[need.stage].base_mib + max(float(row["mib"]) for row in rows)
        ratios = need.seconds / seconds, need.memory_bytes / MIB / mib
        is_near &= all(1 / 1.5 < ratio < 1.5 for ratio in ratios)
        print(
            f"{name:<10} {need.stage:<26} {seconds:7.2f} s, predicted {ratios[0]:4.2f} of it;"
            f" {mib:6.0f} MiB, {ratios[1]:4.2f}"
        )
    return is_near


def main() -> None:
    """Compare the acquisitions that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=["toy", "demo", "brain", "benchmark", "stack"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # numpy read it when it was loaded, as workers do
        limit_threads(given.threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    limit_threads(given.threads)
    load_all()
    near = [compare(name, given.folder, given.threads) for name in given.names]
    raise SystemExit(0 if all(near) else 1)


if __name__ == "__main__":
    main()
