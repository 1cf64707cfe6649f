"""The list of stages: the one place that knows which exist and what each works on."""

from __future__ import annotations

import errno
import importlib
import re
import shutil
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.errors import (
    InputError,
    MosaicflowError,
    ParameterError,
    StoreError,
    in_brief,
    shortage_behind,
)
from mosaicflow.io.failures import FailureRecord, write_failure
from mosaicflow.names import FAILURE, PAIR_FAILURE, labels_in, split_channel
from mosaicflow.stages._contract import CONTRACTS
from mosaicflow.stages._outputs import check_inputs, list_outputs, see_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import Any

    from mosaicflow.names import Kind
    from mosaicflow.stages._contract import Contract, Per

__all__ = ["STAGES", "Stage", "lack_of", "run_stage", "slice_chain"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline.

    Parameters
    ----------
    name : str
        The stem of its module, command, page and function.
    """

    name: str

    @property
    def function(self) -> Callable[..., None]:
        """The stage function; importing it costs little, its libraries load when it runs."""
        function: Callable[..., None] = getattr(self._module(), self.name)
        return function

    @property
    def contract(self) -> Contract:
        """What it reads, makes and can be told."""
        self._module()
        return CONTRACTS[self.name]

    @property
    def per(self) -> Per:
        """What one task of it works on."""
        return self.contract.per

    @property
    def reads(self) -> dict[str, tuple[Kind, ...]]:
        """The files that other stages make: argument -> kinds, of which the first there counts."""
        before = _ORDER[: _ORDER.index(self.name)]
        made = [kind for name in reversed(before) for kind in STAGES[name].contract.makes]
        return {
            name: one.kinds or tuple(kind for kind in made if kind.folder.startswith(one.newest))
            for name, one in self.contract.reads.items()
        }

    def _module(self) -> ModuleType:
        return importlib.import_module(f"mosaicflow.stages.{self.name}")


# In the order of a run.
_ORDER = (
    "inspect_acquisition",
    "create_mosaic_grid",
    "resample_mosaic_grid",
    "estimate_illumination",
    "fix_illumination",
    "fix_focal_curvature",
    "estimate_tile_positions",
    "pool_tile_positions",
    "take_positions",
    "stitch_3d",
    "correct_axial",
    "crop_interface",
    "normalize",
    "detect_rehoming",
    "register_pairwise",
    "solve_alignment",
    "estimate_depth_profile",
    "stack",
    "join_angle",
    "export",
    "report",
)

STAGES: dict[str, Stage] = {name: Stage(name) for name in _ORDER}


def slice_chain() -> tuple[str, ...]:
    """List what a stitched slice goes through, one after the other, before slices are compared."""
    return tuple(n for n in _ORDER[_ORDER.index("stitch_3d") + 1 :] if STAGES[n].per == "slice")


def run_stage(
    name: str,
    arguments: Mapping[str, Any],
    failure_record: Path | None = None,
    *,
    raised: tuple[type[MosaicflowError], ...] = (ParameterError,),
) -> bool:
    """Run one stage; turn a failure into a record when one is asked for.

    Whatever goes wrong in one slice or pair is its own matter: a record of something that nobody
    expected holds the traceback. Only what would stop all of them is raised: a senseless setting,
    a full disk, too little memory.

    Parameters
    ----------
    name : str
        The stage's stem.
    arguments : mapping
        Keyword arguments of the stage function.
    failure_record : Path, optional
        Where to write what went wrong: ``zNN_failure.json`` of a slice, ``zII_zJJ_failure.json``
        of a pair. Without it errors are raised.
    raised : tuple of type
        Errors that are raised all the same. A senseless setting is no fault of this slice: it
        would fail on all of them.

    Returns
    -------
    bool
        False when the stage failed and the record was written.
    """
    stage = STAGES[name]
    # Read first: a wrong name must not hide the reason later.
    blank = None if failure_record is None else _blank_record(failure_record, stage)
    try:
        _run(stage, arguments, by_hand=failure_record is None)
    except MosaicflowError as error:
        shortage = shortage_behind(error)
        if shortage is not None and (lack := lack_of(name, shortage)) is not None:
            raise lack from error
        if failure_record is None or blank is None or isinstance(error, raised):
            raise
        reason = _without_folders(error.args[0], arguments)
        write_failure(failure_record, replace(blank, reason=reason, remedy=error.remedy))
        return False
    except Exception as error:  # a fault of ours
        if (lack := lack_of(name, error)) is not None:
            raise lack from error
        if failure_record is None or blank is None:
            raise
        write_failure(failure_record, _bug(blank, error, arguments))
        _discard(arguments.get("output"))
        return False
    return True


def _run(stage: Stage, arguments: Mapping[str, Any], *, by_hand: bool) -> None:
    """Run a stage on what was written, and list what it wrote.

    In a run what has no list of checksums is a copy of what was written, so that an error that
    nobody expected is a bug; by hand it may be anything.
    """
    output: Path | None = arguments.get("output")
    folder: Path | None = arguments.get("output_dir") if output is None else output.parent
    seen = check_inputs(arguments)
    doubtful = [name for name, is_changed in seen.items() if is_changed or by_hand]
    before = {} if folder is None else see_folder(folder)
    try:
        stage.function(**arguments)
    except MosaicflowError:
        raise
    except Exception as error:
        if not doubtful or lack_of(stage.name, error) is not None:
            raise
        raise _unusable(doubtful, error) from error
    if folder is not None:
        list_outputs(folder, before, output)


def _unusable(names: Sequence[str], error: Exception) -> InputError:
    """Blame what may hold anything for an error that nobody expected, and say where it arose."""
    told = f"not known to be as a stage wrote it, and cannot be used ({in_brief(error)})"
    return InputError(
        f"{', '.join(names)}: {told}",
        remedy="make it again with the stage that wrote it",
    )


def _discard(output: Path | None) -> None:
    """Remove what a stage finished before it failed: no slice is both there and lost."""
    if output is not None and output.is_dir():
        shutil.rmtree(output)
    elif output is not None:
        output.unlink(missing_ok=True)


# What one answer of the system says about all slices, and what to do; by error number.
_FULL = (
    "no space left on the disk",
    "free some, or choose another disk, and run again: what is finished is kept",
)
_FAILS = (
    "the disk failed",
    "check the disk and its connection, and run again: what is finished is kept",
)
_MANY = ("too many files are open", "raise the limit (ulimit -n), or run with fewer --threads")
_MEMORY = (
    "not enough memory",
    "run with fewer --threads, or where there is more: what is finished is kept",
)
_LACKS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _FAILS,
    errno.EROFS: _FAILS,
    errno.ESTALE: _FAILS,
    errno.EMFILE: _MANY,
    errno.ENFILE: _MANY,
    errno.ENOMEM: _MEMORY,
    errno.EFBIG: (
        "a file became larger than this place allows",
        "raise the limit (ulimit -f), or choose another disk",
    ),
}
_IN_WORDS = re.compile(r"\(os error (\d+)\)")


def lack_of(what: str, error: BaseException) -> StoreError | None:
    """Explain what a machine does not have enough of; None for any other error.

    Parameters
    ----------
    what : str
        What could not go on.
    error : BaseException
        Of the system, Python, or the Rust codecs, which tell it in words.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _IN_WORDS.search(str(error))):
        number = int(found[1])
    known = _MEMORY if isinstance(error, MemoryError) else _LACKS.get(number or 0)
    if known is None:
        return None
    said = f" ({error})" if known in (_MEMORY, _FAILS) and str(error) else ""
    return StoreError(f"{what}: {known[0]}{said}", remedy=known[1])


def _bug(blank: FailureRecord, error: Exception, arguments: Mapping[str, Any]) -> FailureRecord:
    """Describe an error that nobody expected, for whoever is to mend it."""
    said = _without_folders(f"{type(error).__name__}: {error}", arguments)
    return replace(
        blank,
        reason=f"internal error ({said})",
        remedy="this is a bug in mosaicflow: please report it with this file",
        traceback=tuple(traceback.format_exception(error)),
    )


def _blank_record(record: Path, stage: Stage) -> FailureRecord:
    """Read whom a record is about from its name."""
    kind = PAIR_FAILURE if stage.per == "pair" else FAILURE
    ids = kind.ids(split_channel(record.name)[0]) or ()
    labels = tuple(labels_in(record.name))
    if len(ids) != (2 if stage.per == "pair" else 1):
        example = kind.of(*("zII", "zJJ") if stage.per == "pair" else ("zNN",))
        raise InputError(
            f"{record}: found {len(labels)} slice ids in the name",
            remedy=f"use {example}",
        )
    if stage.per == "pair":
        return FailureRecord(labels, stage.name, "", pair_ids=(ids[0], ids[1]))
    return FailureRecord(labels, stage.name, "", ids[0])


def _without_folders(text: str, arguments: Mapping[str, Any]) -> str:
    """Name files as they are called everywhere: where a task found them is of no use later."""
    paths = [value for value in arguments.values() if isinstance(value, Path)]
    folders = {str(path.parent) for path in paths} | {str(arguments.get("raw", "."))}
    for folder in sorted(folders - {".", "/"}, key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return text
