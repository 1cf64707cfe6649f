"""What was wrong with the raw data and what was done about it, as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mosaicflow.errors import InputError

__all__ = ["Action", "Problem", "ProblemLog"]

Action = Literal["keep", "repair", "skip", "fail", "stop"]
_SEVERITY = {
    "keep": "warning",
    "repair": "warning",
    "skip": "warning",
    "fail": "error",
    "stop": "error",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found wrong.

    Parameters
    ----------
    code : str
        Short fixed name, for programs.
    action : {'keep', 'repair', 'skip', 'fail', 'stop'}
        ``keep``: only reported; ``repair``: used after the change the message describes; ``skip``:
        the tile counts as missing; ``fail``: the slice gives nothing; ``stop``: no run.
    message : str
        What was found and what was expected.
    slice_id : int, optional
        The slice concerned; None for the whole acquisition.
    tile : tuple of int, optional
        Index (y, x) of the tile in the lattice of its slice.
    path : str
        File or folder, relative to the raw root.
    remedy : str
        What the reader can do.
    """

    code: str
    action: Action
    message: str
    slice_id: int | None = None
    tile: tuple[int, int] | None = None
    path: str = ""
    remedy: str = ""

    @property
    def severity(self) -> str:
        """``warning`` while the run goes on with the slice, else ``error``."""
        return _SEVERITY[self.action]

    def line(self) -> str:
        """Say it in one line that starts with the place."""
        slice_name = "" if self.slice_id is None else f"slice {self.slice_id:02d}"
        place = self.path or slice_name or "acquisition"
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}: {self.message}{remedy} [{self.code}, {self.action}]"

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "code": self.code,
            "severity": self.severity,
            "slice": self.slice_id,
            "tile": None if self.tile is None else list(self.tile),
            "path": self.path,
            "message": self.message,
            "action": self.action,
            "remedy": self.remedy,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Problem:
        """Read the JSON form."""
        tile = value.get("tile")
        return cls(
            value["code"],
            value["action"],
            value["message"],
            slice_id=value.get("slice"),
            tile=None if tile is None else (int(tile[0]), int(tile[1])),
            path=value.get("path", ""),
            remedy=value.get("remedy", ""),
        )


@dataclass(slots=True)
class ProblemLog:
    """Collects problems; with `strict`, what would be skipped or repaired stops the run."""

    strict: bool = False
    problems: list[Problem] = field(default_factory=list)
    _first: dict[tuple[int | None, Action], Problem] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for problem in self.problems:
            self._first.setdefault((problem.slice_id, problem.action), problem)

    def add(
        self,
        code: str,
        action: Action,
        message: str,
        *,
        slice_id: int | None = None,
        tile: tuple[int, int] | None = None,
        path: str = "",
        remedy: str = "",
    ) -> None:
        """Record one problem."""
        if self.strict and action in ("repair", "skip"):
            action = "stop"
            message += " (strict)"
        problem = Problem(code, action, message, slice_id, tile, path, remedy)
        self.problems.append(problem)
        self._first.setdefault((slice_id, action), problem)

    def first_of(self, slice_id: int, action: Action) -> Problem | None:
        """Return what a slice met first of a kind."""
        return self._first.get((slice_id, action))

    @property
    def stops(self) -> list[Problem]:
        """The problems that forbid a run."""
        return [problem for problem in self.problems if problem.action == "stop"]

    def raise_on_stop(self) -> None:
        """Raise an `InputError` that names the first stopping problem and counts the others."""
        if not self.stops:
            return
        first, more = self.stops[0], len(self.stops) - 1
        others = f" (and {more} more problems that stop the run)" if more else ""
        place = first.path or "acquisition"
        raise InputError(f"{place}: {first.message}{others}", remedy=first.remedy)
