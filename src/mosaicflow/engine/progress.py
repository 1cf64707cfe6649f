"""Saying how far a run is: a live table on a terminal, plain lines or objects elsewhere."""

from __future__ import annotations

import json
import sys
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

from mosaicflow.engine.disk import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from mosaicflow.engine.task import Outcome

__all__ = ["Progress", "Telling", "open_progress"]


class Progress(Protocol):
    """Told about every task that ends."""

    def __enter__(self) -> Self:
        """Start showing."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop showing."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """Count one task."""
        ...


Telling = Literal["all", "failed", "events"]
"""What is said while a run goes on: every task, those that failed, or each as a line of JSON."""


def open_progress(
    stages: Sequence[str],
    telling: Telling = "all",
    expected_s: Mapping[str, float] = MappingProxyType({}),
) -> Progress:
    """Choose the display that suits stderr.

    Parameters
    ----------
    stages : sequence of str
        The stage of each task of the run, one entry per task.
    telling : {'all', 'failed', 'events'}
        What to say.
    expected_s : mapping of str to float
        Stage -> predicted time of one of its tasks; of those that are not in it little is expected.
    """
    if telling == "events":
        return _Events(stages)
    if telling == "failed":
        return _ProgressLines(stages, quiet=True)
    if not sys.stderr.isatty():
        return _ProgressLines(stages)
    from mosaicflow.engine.live import Live

    return Live(stages, expected_s)


def _words(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return f"FAILED: {outcome.reason}"
    if outcome.state == "kept":
        return "up to date"
    return "nothing to do" if outcome.state == "absent" else f"{outcome.seconds:.1f} s"


class _ProgressLines:
    """One line per task that ran; tasks that were up to date are only counted."""

    def __init__(self, stages: Sequence[str], *, quiet: bool = False) -> None:
        self._total = len(stages)
        self._told = ("failed",) if quiet else ("done", "failed")
        self._quiet = quiet
        self._states: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._quiet:
            return
        words = {"absent": "with nothing to do"}
        counts = (f"{number} {words.get(one, one)}" for one, number in self._states.most_common())
        say(f"{self._total} tasks: {', '.join(counts) or 'none ended'}\n")

    def ended(self, outcome: Outcome) -> None:
        self._states[outcome.state] += 1
        if outcome.state in self._told:
            number = sum(self._states.values())
            say(f"[{number}/{self._total}] {outcome.name}: {_words(outcome)}\n")


class _Events:
    """One JSON object per line for each task that ended, whatever became of it."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._total = len(stages)
        self._ended = 0

    def __enter__(self) -> Self:
        self._say({"event": "start", "tasks": self._total})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._say({"event": "end", "ended": self._ended, "tasks": self._total})

    def ended(self, outcome: Outcome) -> None:
        self._ended += 1
        told = {"event": "task", "ended": self._ended, "tasks": self._total}
        told |= {"name": outcome.name, "stage": outcome.stage, "state": outcome.state}
        self._say({**told, "seconds": round(outcome.seconds, 3), "reason": outcome.reason})

    @staticmethod
    def _say(event: dict[str, object]) -> None:
        say(json.dumps(event) + "\n")
