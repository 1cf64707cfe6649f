"""The table on a terminal while a run goes on: a bar per stage and one for all of it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.filesize import decimal

from mosaicflow.engine.memory import tree_bytes
from mosaicflow.engine.needs import readable_span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from mosaicflow.engine.task import Outcome

__all__ = ["Live", "Remaining"]

# Time between two looks at the memory of all processes [s], which take about 5 ms each. Doubled, a
# short peak is missed more easily; halved, looking costs 0.5 % of a core.
_LOOK_S = 2.0
# What a stage that nothing is predicted of counts for [s of CPU time], by judgement: few take more.
_UNKNOWN_S = 1.0
# Characters of a stage's name, as the longest has 23, and of a bar: with counts and times a row has
# 80, as terminals have at least. With twice as long a bar the memory would be cut off.
_NAME, _BAR = 23, 12


class Remaining:
    """How long the rest of a run takes, by what is predicted and how fast it went so far.

    Parameters
    ----------
    stages : sequence of str
        The stage of each task.
    expected_s : mapping of str to float
        Stage -> predicted time of one of its tasks, of which only the proportions count.
    """

    def __init__(self, stages: Sequence[str], expected_s: Mapping[str, float]) -> None:
        self._expected = {one: expected_s.get(one, _UNKNOWN_S) for one in stages}
        self._left = sum(self._expected[one] for one in stages)
        self._done = 0.0
        self._start_s = self._last_s = time.monotonic()

    def ended(self, stage: str, now_s: float, *, has_run: bool) -> None:
        """Count one task; one that was kept tells nothing about the pace."""
        self._left -= self._expected[stage]
        if has_run:
            self._done += self._expected[stage]
            self._last_s = now_s
        elif not self._done:
            self._start_s = self._last_s = now_s

    def seconds(self, now_s: float) -> float | None:
        """Estimate the time left; None while nothing has run."""
        if not self._done:
            return None
        pace = (self._last_s - self._start_s) / self._done
        return max(0.0, pace * self._left - (now_s - self._last_s))


class Live:
    """A bar per stage and one for all of them, redrawn in place.

    Parameters
    ----------
    stages : sequence of str
        The stage of each task.
    expected_s : mapping of str to float
        See `Remaining`.
    """

    def __init__(self, stages: Sequence[str], expected_s: Mapping[str, float]) -> None:
        self._totals = Counter(stages)
        self._states = {stage: Counter[str]() for stage in self._totals}
        self._remaining = Remaining(stages, expected_s)
        self._looked_s, self._used, self._most = 0.0, 0, 0
        self._bars = _table(self)
        self._ids: dict[str, TaskID] = {
            stage: self._bars.add_task(stage, total=total, start=False, look="none", told="")
            for stage, total in self._totals.items()
        }
        self._whole = self._bars.add_task("all", total=len(stages), look="bold", told=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def ended(self, outcome: Outcome) -> None:
        """Count one task."""
        states = self._states[outcome.stage]
        states[outcome.state] += 1
        has_run = outcome.state in ("done", "failed")
        self._remaining.ended(outcome.stage, time.monotonic(), has_run=has_run)
        bar = self._ids[outcome.stage]
        if has_run:
            self._bars.start_task(bar)
        is_kept = states["kept"] == self._totals[outcome.stage]
        self._bars.update(bar, advance=1, told=_counted(states), look="dim" if is_kept else "none")
        self._bars.advance(self._whole)
        if outcome.state == "failed":
            failure = f"{outcome.name}: FAILED: {outcome.reason}"
            self._bars.console.print(failure, markup=False, highlight=False)

    def told(self) -> str:
        """Say how long it takes still, and how much memory the run takes."""
        now = time.monotonic()
        if now - self._looked_s >= _LOOK_S:
            self._used, self._looked_s = tree_bytes() or 0, now
            self._most = max(self._most, self._used)
        if sum(map(Counter.total, self._states.values())) == self._totals.total():
            return f"memory up to {decimal(self._most)}" if self._most else ""
        left = self._remaining.seconds(now)
        parts = [] if left is None else [f"~{readable_span(left)} left"]
        parts += [f"memory {decimal(self._used)}"] if self._used else []
        return ", ".join(parts)


def _counted(states: Counter[str]) -> str:
    """Say what became of tasks that did not run to their end."""
    words = {"kept": "kept", "failed": "FAILED", "absent": "nothing to do"}
    return ", ".join(f"{states[state]} {word}" for state, word in words.items() if states[state])


def _table(live: Live) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.progress import Task as RichTask
    from rich.table import Column
    from rich.text import Text

    class _Told(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            told = task.fields["told"]
            return Text(live.told() if told is None else told, style=task.fields["look"])

    return RichProgress(
        TextColumn(f"[{{task.fields[look]}}]{{task.description:<{_NAME}}}"),
        BarColumn(bar_width=_BAR),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Told(table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
    )
