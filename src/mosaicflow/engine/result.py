"""What a run of the embedded engine gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.engine.task import Outcome

__all__ = ["RunResult"]


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
    excluded : dict of int to str
        Slice id -> reason, of finished slices that were left out of the volume.
    n_pairs : int
        Pairs of finished slices within reach of each other.
    unmatched : dict of str to str
        Pair (``zII_zJJ``) -> reason, of pairs that could not be compared.
    bugs : tuple of str
        Records, relative to `root`, of slices and pairs that a fault of mosaicflow ended.
    outputs : tuple of str
        Everything published, relative to `root`.
    outcomes : tuple of Outcome
        One per task.
    seconds : float
        Wall-clock time, but for the report's.
    closing : tuple of str
        The last words for a terminal: what was noticed, the verdict, what to open next.
    status : str
        The verdict: ``ok``, ``warning`` or ``error``.
    is_refused : bool
        Whether the verdict is as bad as `fail_on` allows.
    notes : tuple of str
        What this engine found about the output folder itself.
    """

    root: Path
    volume: Path
    n_slices: int
    failures: dict[int, str]
    excluded: dict[int, str]
    n_pairs: int
    unmatched: dict[str, str]
    bugs: tuple[str, ...]
    outputs: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float
    closing: tuple[str, ...]
    status: str
    is_refused: bool
    notes: tuple[str, ...]
