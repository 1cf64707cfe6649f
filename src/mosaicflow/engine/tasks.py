"""One task: run a stage in a private folder, then publish what it made under final names."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.changes import Change, keep_edit
from mosaicflow.engine.disk import clear_scratch, in_one_line
from mosaicflow.engine.finished import (
    Finished,
    forget,
    found_changes,
    read_finished,
    record_file,
    write_finished,
)
from mosaicflow.engine.layout import LEDGER, RunFolder
from mosaicflow.engine.publish import publish, reclaim
from mosaicflow.engine.publish import record as record_published
from mosaicflow.engine.raw import raw_changes
from mosaicflow.engine.task import Outcome, Task
from mosaicflow.errors import ParameterError
from mosaicflow.io.checksums import DamageError
from mosaicflow.io.upload import ADDRESS_SUFFIX
from mosaicflow.stages._table import STAGES, run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["execute", "perform"]


def execute(task: Task) -> Outcome:
    """Run a task as `perform` does, and record what it published."""
    outcome = perform(task)
    if outcome.published is None:
        return outcome
    with in_one_line(task.root):
        record_published(RunFolder(task.root), [outcome.published])
    return replace(outcome, published=None)


def perform(task: Task) -> Outcome:
    """Run a task unless its published outputs are those that it would make.

    Parameters
    ----------
    task : Task
        What to do.

    Returns
    -------
    Outcome
        What it published is still to be recorded.

    Raises
    ------
    MosaicflowError
        When a failure stops the run, also one of the disk or for want of memory.
    """
    with in_one_line(task.root):
        return _perform(task)


def _perform(task: Task) -> Outcome:
    from mosaicflow.io.zarr.journal import kept_until_recorded

    start = time.perf_counter()
    folder = RunFolder(task.root)
    inputs = _existing_inputs(task, folder)
    if inputs is None:
        forget(record_file(task, folder), folder)
        return Outcome(task.name, task.stage, "absent")
    scratch = folder.scratch / task.name.replace(" ", "_")
    arguments = _arguments(task, inputs, scratch)
    key = _key(task.stage, arguments)
    found, finished = _changes(task, folder)
    if not found and _up_to_date(task, finished, key):
        return Outcome(task.name, task.stage, "kept", time.perf_counter() - start)
    notes = tuple(filter(None, (keep_edit(folder.root, change) for change in found)))
    reclaim(finished, scratch, folder)
    if task.inputs:  # the inspection may be told to read a table that an earlier one published
        forget(record_file(task, folder), folder)
    clear_scratch(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    record = scratch / task.record if task.record else None
    try:
        with kept_until_recorded():
            succeeded = run_stage(
                task.stage, arguments, record, raised=(ParameterError, DamageError)
            )
    except DamageError as error:
        clear_scratch(scratch)
        seconds = time.perf_counter() - start
        return Outcome(
            task.name, task.stage, "damaged", seconds, str(error.args[0]), notes, error.output
        )
    reason = "" if record is None or succeeded else _reason(record)
    published = publish(task, scratch, folder, key if succeeded else None)
    seconds = time.perf_counter() - start
    return Outcome(
        task.name,
        task.stage,
        "done" if succeeded else "failed",
        seconds,
        reason,
        notes,
        replaced=_other_version(finished.key, key),
        published=published,
    )


def _other_version(before: str | None, now: str | None) -> str:
    """Name the program that made what was there, where it is not this one."""
    makers = [json.loads(key).get("software", "") if key else "" for key in (before, now)]
    return makers[0] if makers[0] != makers[1] else ""


def _reason(record: Path) -> str:
    return str(json.loads(record.read_text(encoding="utf-8"))["reason"])


def _existing_inputs(task: Task, folder: RunFolder) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for name, value in task.inputs.items():
        needed, other = task.unless.get(name, ("", ""))
        if needed and not folder.path(needed).exists():
            value = other
        names = (value,) if isinstance(value, str) else value
        paths = tuple(path for path in map(folder.path, names) if path.exists())
        if not paths and name not in task.optional:
            return None
        found[name] = paths if isinstance(value, tuple) else paths[0] if paths else None
    return found


def _arguments(task: Task, inputs: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    target = {"output": scratch / task.output} if task.output else {"output_dir": scratch}
    given = {**inputs, **task.settings, **target, "threads": task.threads}
    return STAGES[task.stage].contract.bind(given)


def _key(stage: str, arguments: Mapping[str, Any]) -> str | None:
    """Say what decides the result; None where an input cannot be read: the stage will tell."""
    from mosaicflow.errors import InputError
    from mosaicflow.io.report import StageReport

    try:
        found = StageReport.of(stage, arguments).key
    except InputError:
        return None
    # Through JSON, because that is how it comes back.
    return json.dumps(found, sort_keys=True, default=str)


def _up_to_date(task: Task, finished: Finished, key: str | None) -> bool:
    if task.stage == "inspect_acquisition":  # the raw folder itself is what may have changed
        return False
    outputs = finished.outputs
    address = task.settings.get("volume_at", "")
    wanted = f"{task.output}{ADDRESS_SUFFIX}" if address else task.output
    if wanted and RunFolder.place(wanted) not in outputs:
        return False  # the same result is now wanted under another name
    if address and not _is_there(address):
        return False
    is_same = finished.key is not None if task.held else finished.key == key
    return key is not None and is_same and None not in outputs.values()


def _is_there(address: str) -> bool:
    from mosaicflow.io.zarr import is_finished

    return is_finished(address)


def _changes(task: Task, folder: RunFolder) -> tuple[list[Change], Finished]:
    """Find what is not as the task wrote it, and its record.

    What only looks new is known from now on.
    """
    record = record_file(task, folder)
    finished = read_finished(record, folder)
    found, extents = found_changes(finished, folder, thorough=task.thorough)
    raw, seen = _raw_changes(task, folder, finished)
    found += raw
    is_new = extents != finished.outputs or seen is not None
    if not found and is_new and finished.key is not None:
        seen = seen or finished.raw
        finished = write_finished(record, folder, finished.key, extents, raw=seen)
    # The ledger is where people decide: it is handed to the inspection, edits and all.
    return [change for change in found if not change.name.endswith(f"/{LEDGER}")], finished


def _raw_changes(task: Task, folder: RunFolder, finished: Finished) -> tuple[list[Change], Any]:
    name = next((n for n in finished.outputs if n.endswith(".metrics.json")), None)
    if task.stage != "create_mosaic_grid" or name is None or finished.key is None:
        return [], None
    raw = task.settings["raw"]
    return raw_changes(raw, folder.root / name, finished.raw, thorough=task.thorough)
