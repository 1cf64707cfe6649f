"""Running the whole pipeline on one machine."""

from __future__ import annotations

import fcntl
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import __version__
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.plan import inspection_task, plan_run
from mosaicflow.engine.progress import open_progress
from mosaicflow.engine.tasks import execute, forget_others, published_outputs
from mosaicflow.engine.workers import Workers
from mosaicflow.errors import InputError, MosaicflowError, QualityError
from mosaicflow.io.tables import parse_slice_id, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.engine.plan import Plan
    from mosaicflow.engine.tasks import Outcome

__all__ = ["RunResult", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave.

    Parameters
    ----------
    root : Path
        Output folder.
    volume : Path
        Final volume.
    n_slices : int
        Slices found.
    failures : dict of int to str
        Slice id -> reason, of slices that are not in the volume because a stage failed.
    outcomes : tuple of Outcome
        One per task.
    seconds : float
        Wall-clock time.
    """

    root: Path
    volume: Path
    n_slices: int
    failures: dict[int, str]
    outcomes: tuple[Outcome, ...]
    seconds: float


def run_pipeline(raw: Path, root: Path, parameters: Parameters, threads: int) -> RunResult:
    """Turn a raw acquisition into a volume.

    Parameters
    ----------
    raw : Path
        Raw folder.
    root : Path
        Output folder; made when absent. Work of an earlier run in it is reused where inputs,
        parameters and version are the same.
    parameters : Parameters
        Settings of the run.
    threads : int
        Threads to use in all.

    Returns
    -------
    RunResult

    Raises
    ------
    MosaicflowError
        When the input cannot be used at all, or a stage that needs all slices fails.
    """
    start = time.perf_counter()
    if not raw.exists():
        raise InputError(f"{raw}: not found, expected the folder of an acquisition")
    folder = RunFolder(root)
    with _locked(folder), Workers(threads, threads) as workers:
        workers.warm_up()  # their libraries load while the inspection runs
        inspection = inspection_task(raw.resolve(), root, parameters)
        first = execute(inspection)
        folder.remember_ledger()
        lists = [name for name in published_outputs(inspection) if name.endswith("_tiles.json")]
        ids = sorted(parse_slice_id(name) for name in lists)
        plan = plan_run(raw.resolve(), root, ids, parameters, threads)
        forget_others(root, [inspection, *plan.tasks.values()])
        outcomes = (first, *_run_plan(plan, workers, max(1, min(len(ids), threads))))
        failures = _failures(folder, ids)
        _check_counts(folder, ids, failures)
        result = RunResult(
            root,
            folder.path(plan.tasks["stack"].output),
            len(ids),
            failures,
            outcomes,
            time.perf_counter() - start,
        )
        _write_record(result, parameters, folder)
    return result


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Keep a second run out of the same folder, and clear what a killed one left."""
    try:
        folder.finished.mkdir(parents=True, exist_ok=True)
        lock = (folder.private / "lock").open("w")
    except OSError as error:
        raise InputError(
            f"{folder.root}: cannot be written ({error.strerror})",
            remedy="choose another --output or change its permissions",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MosaicflowError(
                f"{folder.root}: another run is writing here", remedy="wait for it, or stop it"
            ) from None
        shutil.rmtree(folder.scratch, ignore_errors=True)
        yield
        shutil.rmtree(folder.scratch, ignore_errors=True)


def _run_plan(plan: Plan, workers: Workers, side_by_side: int) -> list[Outcome]:
    """Walk the graph with dask; every task runs in a worker process."""
    from dask.threaded import get

    with open_progress([task.stage for task in plan.tasks.values()]) as progress:

        def run(name: str, _before: list[Outcome]) -> Outcome:
            outcome = workers.run(plan.tasks[name])
            progress.ended(outcome)
            return outcome

        graph: dict[str, Any] = {
            f"task {name}": (run, name, [f"task {before}" for before in plan.after[name]])
            for name in plan.tasks
        }
        found = get(graph, list(graph), num_workers=side_by_side)
    return list(found)


def _failures(folder: RunFolder, ids: list[int]) -> dict[int, str]:
    records = [read_json(path) for path in (folder.root / "tables").glob("z*_failure.json")]
    return {
        int(record["slice_id"]): f"{record['stage']}: {record['reason']}"
        for record in records
        if record["slice_id"] in ids
    }


def _check_counts(folder: RunFolder, ids: list[int], failures: dict[int, str]) -> None:
    """Every slice that went in has come out, or there is a record of why not."""
    made = {parse_slice_id(p) for p in (folder.root / "slices" / "normalize").glob("*.ome.zarr")}
    lost = [z for z in ids if z not in made and z not in failures]
    if lost:
        raise MosaicflowError(
            f"{folder.root}: slices {lost} went in and neither came out nor left a record",
            remedy="this is a bug in mosaicflow: please report it with the metrics folder",
        )
    if ids and not made.intersection(ids):
        raise QualityError(
            f"{folder.root}: none of {len(ids)} slices could be processed; "
            f"slice {ids[0]} failed in {failures[ids[0]]}",
            remedy="see tables/z*_failure.json for all of them",
        )


def _write_record(result: RunResult, parameters: Parameters, folder: RunFolder) -> None:
    stages: dict[str, dict[str, float]] = {}
    for outcome in result.outcomes:
        entry = stages.setdefault(outcome.stage, {"seconds": 0.0})
        entry[outcome.state] = entry.get(outcome.state, 0) + 1
        entry["seconds"] = round(entry["seconds"] + outcome.seconds, 2)
    target = folder.root / "pipeline_info"
    target.mkdir(exist_ok=True)
    write_json(
        target / "run.json",
        {
            "software": f"mosaicflow {__version__}",
            "parameters": parameters.given,
            "slices": {"found": result.n_slices, "failed": result.failures},
            "stages": stages,
            "seconds": round(result.seconds, 1),
        },
    )
