"""One task of a run, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mosaicflow.engine.changes import Extent

__all__ = ["Outcome", "Published", "Task"]

State = Literal["done", "kept", "failed", "absent", "damaged"]


@dataclass(frozen=True, slots=True)
class Task:
    """What one stage does to one slice, one pair or the whole run.

    Parameters
    ----------
    name : str
        Unique, such as ``stitch_3d z07``; also the name of its private folder.
    stage : str
        The stage's stem.
    root : Path
        Output folder of the run.
    inputs : mapping
        Argument -> base name, or tuple of base names, of published outputs. Of a tuple those that
        do not exist are left out; without a single one the task has nothing to do.
    settings : mapping
        Other arguments.
    output : str
        Base name of the output, or empty when the stage takes a folder.
    record : str
        Base name of the failure record; empty when a failure stops the run.
    threads : int
        Threads of the stage.
    optional : frozenset of str
        Inputs without which the task still has something to do.
    thorough : bool
        Compare the content of everything it published before, whatever its times say.
    unless : mapping
        Input -> (base name, other base name): the other is taken where the first is not there.
    held : bool
        What it published stays, although its inputs have changed since.
    """

    name: str
    stage: str
    root: Path
    inputs: Mapping[str, str | tuple[str, ...]]
    settings: Mapping[str, Any]
    output: str = ""
    record: str = ""
    threads: int = 1
    optional: frozenset[str] = field(default_factory=frozenset)
    thorough: bool = False
    unless: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What a task put at its place, and nothing counts yet.

    Parameters
    ----------
    record : Path
        Where it is recorded.
    key : str or None
        What decided the result; None of a failure.
    extents : mapping
        Path below the output folder -> what it looks like.
    scratch : Path
        The task's private folder.
    """

    record: Path
    key: str | None
    extents: Mapping[str, Extent | None]
    scratch: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended.

    Parameters
    ----------
    name, stage : str
        Of the task.
    state : {'done', 'kept', 'failed', 'absent', 'damaged'}
        Ran; was up to date; failed on this slice, with a record; had nothing to work on; one of
        its inputs is not what was written.
    seconds : float
        Wall-clock time.
    reason : str
        Of a failure.
    notes : tuple of str
        What became of outputs that were not as they had been written.
    damaged : str
        Base name of the damaged input.
    replaced : str
        The other version of this program whose results were made again, or empty.
    peak_bytes : int or None
        The most memory that was resident of its process meanwhile; None is "not measured".
    published : Published or None
        What is still to be recorded.
    """

    name: str
    stage: str
    state: State
    seconds: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()
    damaged: str = ""
    replaced: str = ""
    peak_bytes: int | None = None
    published: Published | None = None
