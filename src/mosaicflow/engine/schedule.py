"""Walking the tasks of a run; an input that is damaged is made again first."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.disk import say
from mosaicflow.engine.finished import forget_key
from mosaicflow.engine.progress import open_progress
from mosaicflow.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.engine.plan import Plan
    from mosaicflow.engine.progress import Progress, Telling
    from mosaicflow.engine.recorder import Recorder
    from mosaicflow.engine.task import Outcome, Task
    from mosaicflow.engine.workers import Workers

__all__ = ["run_plan"]

# How often one task may find an input damaged. Its makers may be damaged in turn, and another task
# may replace the input while this one reads it; a disk that spoils what is written ends here.
_MOST_DAMAGES = 8


def run_plan(
    plan: Plan,
    workers: Workers,
    recorder: Recorder,
    side_by_side: int,
    telling: Telling = "all",
    expected_s: Mapping[str, float] = MappingProxyType({}),
) -> list[Outcome]:
    """Walk the graph with dask; every task runs in a worker process.

    Parameters
    ----------
    plan : Plan
        The tasks.
    workers : Workers
        Where they run.
    recorder : Recorder
        Who records what they publish.
    side_by_side : int
        Tasks at the same time.
    telling : {'all', 'failed', 'events'}
        What to say meanwhile.
    expected_s : mapping of str to float
        Stage -> predicted time of one of its tasks.

    Returns
    -------
    list of Outcome
        One per task; all are recorded.
    """
    from dask.threaded import get

    stages = [task.stage for task in plan.tasks.values()]
    with open_progress(stages, telling, expected_s) as progress:
        walk = _Walk(plan, workers, recorder, progress)
        graph: dict[str, Any] = {
            f"task {name}": (walk.run, name, [f"task {before}" for before in plan.after[name]])
            for name in plan.tasks
        }
        found = get(graph, list(graph), num_workers=side_by_side)
        recorder.settle()
    return list(found)


class _Walk:
    def __init__(
        self, plan: Plan, workers: Workers, recorder: Recorder, progress: Progress
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._recorder = recorder
        self._progress = progress
        self._mending = threading.Lock()

    def run(self, name: str, _before: list[Outcome]) -> Outcome:
        outcome = self._published(self._plan.tasks[name])
        if outcome.state == "damaged":
            with self._mending:  # two tasks that read the same damage mend it once
                outcome = self._mended(name)
        self._progress.ended(outcome)
        for note in outcome.notes:
            say(f"note: {note}\n")
        return outcome

    def _published(self, task: Task) -> Outcome:
        outcome = self._workers.run(task)
        self._recorder.take(outcome.published)
        return outcome

    def _mended(self, name: str) -> Outcome:
        """Run a task until none of its inputs is damaged, making those again that are."""
        task = self._plan.tasks[name]
        for _ in range(_MOST_DAMAGES):
            outcome = self._published(task)
            if outcome.state != "damaged":
                return outcome
            maker = self._plan.maker.get(outcome.damaged)
            if maker is None:
                break
            say(f"note: {outcome.reason}; it is made again\n")
            self._recorder.settle()  # its maker may have ended just now
            forget_key(self._plan.tasks[maker])
            self._mended(maker)
        raise StoreError(
            f"{task.name}: {outcome.reason}",
            remedy="the disk or the memory of this machine spoils what is written: check them",
        )
