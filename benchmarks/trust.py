"""Measure what it costs that results can be trusted: a run with checksums and syncs, and without.

Every task of a run is carried out twice, into a folder of its own each, by forks of a process that
has loaded everything: once as users have it, once with all checksums, comparisons, looks at the
files behind a record, and syncs left out. The two take turns in being first, and what the one left
to be written is on the disk before the other starts, so that a loaded machine hits both alike::

    python benchmarks/trust.py benchmark --folder /tmp/trust --passes 2

With ``--whole`` it is whole runs that take turns, as users start them::

    python benchmarks/trust.py benchmark --folder /tmp/trust --passes 5 --threads 2 --whole
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from left_out import LEFT_OUT, leave_out  # beside this file
from resources import load_all

from mosaicflow.acquisition.tiles import read_slice_tiles
from mosaicflow.engine import tasks
from mosaicflow.engine.ends import inspection_task
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.names import TILES
from mosaicflow.simulation import preset, simulate
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from mosaicflow.engine.task import Task

WITH, WITHOUT = "with", "without"
Cost = tuple[float, float]  # CPU and wall [s]


def measured(task: Task, how: str) -> Cost:
    """Run a task in a fork."""
    os.sync()
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        if how == WITHOUT:
            leave_out()
        used, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        state = tasks.execute(task).state
        wall, end = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        cpu = end.ru_utime + end.ru_stime - used.ru_utime - used.ru_stime
        os.write(sender, json.dumps([state, cpu, wall]).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as answer:
        state, cpu, wall = json.load(answer)
    os.waitpid(child, 0)
    if state not in ("done", "absent"):
        raise SystemExit(f"{task.name} ended as {state!r} {how} checks")
    return cpu, wall


def one_pass(raw: Path, params: Path, folder: Path, threads: int) -> dict[str, dict[str, Cost]]:
    """Run everything in both ways; give stage -> way -> cost."""
    parameters = Parameters.read(params, {})
    roots = {how: folder / how for how in (WITH, WITHOUT)}
    for root in roots.values():
        shutil.rmtree(root, ignore_errors=True)
        RunFolder(root).finished.mkdir(parents=True)
    taken: dict[str, dict[str, Cost]] = defaultdict(lambda: {WITH: (0, 0), WITHOUT: (0, 0)})
    order = [WITH, WITHOUT]

    def both(jobs: dict[str, Task]) -> None:
        costs = {how: measured(jobs[how], how) for how in order}
        for how, cost in costs.items():
            so_far = taken[jobs[how].stage][how]
            taken[jobs[how].stage][how] = (so_far[0] + cost[0], so_far[1] + cost[1])
        order.reverse()
        told = ", ".join(f"{how} {costs[how][0]:.2f} / {costs[how][1]:.2f}" for how in roots)
        print(f"{jobs[WITH].name}: CPU / wall [s] {told}", flush=True)

    both({how: inspection_task(raw, root, parameters) for how, root in roots.items()})
    ids = sorted(read_slice_tiles(p).slice_id for p in RunFolder(roots[WITH]).all_of(TILES))
    plans = {how: plan_run(raw, root, ids, parameters, threads) for how, root in roots.items()}
    for name in TopologicalSorter(plans[WITH].after).static_order():
        both({how: plan.tasks[name] for how, plan in plans.items()})
    return taken


def show(taken: dict[str, dict[str, Cost]]) -> None:
    """Print what each stage took, and all of them."""
    rows = {stage: [*ways[WITH], *ways[WITHOUT]] for stage, ways in taken.items()}
    rows["all"] = [sum(row[column] for row in rows.values()) for column in range(4)]
    print(f"{'stage':<26} {'CPU with [s]':>13} {'more':>7} {'wall with [s]':>14} {'more':>7}")
    for stage, (cpu, wall, bare_cpu, bare_wall) in rows.items():
        more = [100 * (a / b - 1) if b else 0.0 for a, b in ((cpu, bare_cpu), (wall, bare_wall))]
        print(f"{stage:<26} {cpu:>13.2f} {more[0]:>6.2f}% {wall:>14.2f} {more[1]:>6.2f}%")


_RUN = """
import left_out
from mosaicflow.cli.main import main
from mosaicflow.engine import workers
workers._PRELOADED.append("left_out")
if __name__ == "__main__":
    main()
"""


def whole_runs(params: Path, folder: Path, passes: int, threads: int) -> None:
    """Time whole runs with and without in turn; print each, and the middle of their ratios."""
    here = str(Path(__file__).parent)
    took: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    order = [WITH, WITHOUT]
    for _ in range(passes):
        for how in order:
            output = folder / how
            shutil.rmtree(output, ignore_errors=True)
            os.sync()
            environment = {**os.environ, "PYTHONPATH": here, LEFT_OUT: "1" * (how == WITHOUT)}
            words = ["run", "--params-file", str(params), "--output", str(output)]
            words += ["--threads", str(threads), "--json"]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", _RUN, *words],
                env=environment, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            os.sync()  # a run that takes longer than this one waits for its data anyway
            took[how].append(time.perf_counter() - start)
            print(f"{how}: wall {took[how][-1]:.2f} s", flush=True)
        order.reverse()
    more = [100 * (a / b - 1) for a, b in zip(took[WITH], took[WITHOUT], strict=True)]
    each = " ".join(f"{one:.2f}" for one in more)
    print(f"wall: {statistics.median(more):.2f} % more in the middle of {each}")


def main() -> None:
    """Compare both ways to run one acquisition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["toy", "demo", "benchmark", "native"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--slices", type=int, help="so many, not all of the preset")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="time whole runs")
    given = parser.parse_args()
    limit_threads(given.threads)
    load_all()
    data = given.folder / given.name
    if not (data / "params.yml").exists():
        fewer = {} if given.slices is None else {"n_slices": given.slices}
        simulate(data, settings=preset(given.name, truth_volume=False, **fewer), threads=1)
    if given.whole:
        whole_runs(data / "params.yml", given.folder, given.passes, given.threads)
        return
    for _ in range(given.passes):
        taken = one_pass((data / "raw").resolve(), data / "params.yml", given.folder, given.threads)
        show(taken)


if __name__ == "__main__":
    main()
