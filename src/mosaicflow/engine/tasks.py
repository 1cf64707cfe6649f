"""One task: run a stage in a private folder, then publish what it made under final names."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.changes import Change, Extent, changes, extent, keep_edit, list_of
from mosaicflow.engine.disk import clear_scratch, in_one_line, lock_file, open_lock, remove_tree
from mosaicflow.engine.layout import LEDGER, RunFolder, is_kept
from mosaicflow.engine.raw import raw_changes
from mosaicflow.engine.task import Outcome, Task
from mosaicflow.errors import ParameterError
from mosaicflow.io.checksums import DamageError, checksum
from mosaicflow.io.disk import sync
from mosaicflow.io.tables import SCHEMA, file_content, write_document
from mosaicflow.io.upload import ADDRESS_SUFFIX
from mosaicflow.stages._table import STAGES, run_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "all_outputs",
    "drop_outputs",
    "execute",
    "forget_key",
    "forget_others",
    "published_outputs",
]


def execute(task: Task) -> Outcome:
    """Run a task unless its published outputs are those that it would make.

    Parameters
    ----------
    task : Task
        What to do.

    Returns
    -------
    Outcome

    Raises
    ------
    MosaicflowError
        When a failure stops the run, also one of the disk or for want of memory.
    """
    with in_one_line(task.root):
        return _execute(task)


def _execute(task: Task) -> Outcome:
    from mosaicflow.io.zarr.journal import kept_until_recorded

    start = time.perf_counter()
    folder = RunFolder(task.root)
    inputs = _existing_inputs(task, folder)
    if inputs is None:
        _forget(_state_file(task, folder), folder)
        return Outcome(task.name, task.stage, "absent")
    scratch = folder.scratch / task.name.replace(" ", "_")
    arguments = _arguments(task, inputs, scratch)
    key = _key(task.stage, arguments)
    found, state = _changes(task, folder)
    if not found and _up_to_date(task, state, key):
        return Outcome(task.name, task.stage, "kept", time.perf_counter() - start)
    notes = tuple(filter(None, (keep_edit(folder.root, change) for change in found)))
    _reclaim(state, scratch, folder)
    if task.inputs:  # the inspection may be told to read a table that an earlier one published
        _forget(_state_file(task, folder), folder)
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
    _publish(task, scratch, folder, key if succeeded else None)
    seconds = time.perf_counter() - start
    return Outcome(
        task.name,
        task.stage,
        "done" if succeeded else "failed",
        seconds,
        reason,
        notes,
        replaced=_other_version(state["key"], key),
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


def _up_to_date(task: Task, state: Mapping[str, Any], key: str | None) -> bool:
    if task.stage == "inspect_acquisition":  # the raw folder itself is what may have changed
        return False
    outputs = state["outputs"]
    address = task.settings.get("volume_at", "")
    wanted = f"{task.output}{ADDRESS_SUFFIX}" if address else task.output
    if wanted and RunFolder.place(wanted) not in outputs:
        return False  # the same result is now wanted under another name
    if address and not _is_there(address):
        return False
    is_same = state["key"] is not None if task.held else state["key"] == key
    return key is not None and is_same and None not in outputs.values()


def _is_there(address: str) -> bool:
    from mosaicflow.io.zarr import is_finished

    return is_finished(address)


def _changes(task: Task, folder: RunFolder) -> tuple[list[Change], Mapping[str, Any]]:
    """Find what is not as the task wrote it, and its record.

    What only looks new is known from now on.
    """
    state_file = _state_file(task, folder)
    state: Mapping[str, Any] = _read_state(state_file, folder)
    found, extents = _found_changes(state, folder, thorough=task.thorough)
    raw, seen = _raw_changes(task, folder, state)
    found += raw
    is_new = extents != state["outputs"] or seen is not None
    if not found and is_new and state["key"] is not None:
        seen = seen or state["raw"]
        state = _write_state(state_file, folder, state["key"], extents, raw=seen)
    # The ledger is where people decide: it is handed to the inspection, edits and all.
    return [change for change in found if not change.name.endswith(f"/{LEDGER}")], state


def _raw_changes(
    task: Task, folder: RunFolder, state: Mapping[str, Any]
) -> tuple[list[Change], Any]:
    name = next((n for n in state["outputs"] if n.endswith(".metrics.json")), None)
    if task.stage != "create_mosaic_grid" or name is None or state["key"] is None:
        return [], None
    raw = task.settings["raw"]
    return raw_changes(raw, folder.root / name, state, thorough=task.thorough)


def _found_changes(
    state: Mapping[str, Any], folder: RunFolder, *, thorough: bool = False
) -> tuple[list[Change], dict[str, Extent | None]]:
    known = {name: was for name, was in state["outputs"].items() if was is not None}
    now = {name: extent(folder.root / name) for name in known}
    asked = [name for name in known if thorough or now[name] != known[name]]
    return changes(folder, state, asked), now


def _state_file(task: Task, folder: RunFolder) -> Path:
    return folder.finished / f"{task.name.replace(' ', '_')}.json"


def _read_state(state_file: Path, folder: RunFolder) -> dict[str, Any]:
    """Read what a task published; nothing where it never ran or that cannot be trusted.

    What a record names is removed when it no longer belongs to its inputs, so one with a single
    name that no run publishes counts as absent.
    """
    try:
        state = json.loads(file_content(state_file))
    except (OSError, ValueError, RecursionError):
        state = {}
    if isinstance(state, dict) and state.get("schema", SCHEMA) != SCHEMA:
        state = {}  # of a later program: what it means is not known
    outputs = state.get("outputs") if isinstance(state, dict) else None
    if isinstance(outputs, dict) and all(map(folder.places, outputs)):
        more = {name: state.get(name) for name in ("sums", "raw")}
        return {"key": state.get("key"), "outputs": outputs, **more}
    return {"key": None, "outputs": {}, "sums": None, "raw": None}


def _write_state(
    state_file: Path,
    folder: RunFolder,
    key: str | None,
    extents: Mapping[str, object],
    *,
    raw: object = None,
) -> dict[str, Any]:
    """Record what a task published, with the checksum of the list that holds all others."""
    name = list_of(extents)
    sums = None if name is None else checksum(folder.root / name)
    state = {"key": key, "outputs": dict(extents), "sums": sums, "raw": raw}
    write_document(state_file, state)
    return state


def forget_others(root: Path, tasks: Iterable[Task]) -> tuple[str, ...]:
    """Remove what tasks of earlier runs left that have no part in this one, and all records.

    A slice that is no longer in the raw folder, or a stage that is switched off, would otherwise
    pass for a result of this run. What failed before runs again and writes its record anew.

    Parameters
    ----------
    root : Path
        Output folder.
    tasks : iterable of Task
        All tasks of this run.

    Returns
    -------
    tuple of str
        What became of texts that somebody had edited.
    """
    folder = RunFolder(root)
    notes: list[str] = []
    known = {task.name.replace(" ", "_") for task in tasks}
    for state_file in sorted(folder.finished.glob("*.json")):
        if state_file.stem not in known:
            found, _ = _found_changes(_read_state(state_file, folder), folder)
            edits = [change for change in found if change.is_edit]
            notes += [keep_edit(folder.root, change) for change in edits]
            _forget(state_file, folder)
    for record in folder.failure_records():
        _remove(record, folder)
    return tuple(notes)


def _forget(state_file: Path, folder: RunFolder) -> None:
    """Remove what a task left that no longer belongs to its inputs."""
    for name in _read_state(state_file, folder)["outputs"]:
        _remove(folder.root / name, folder)
    state_file.unlink(missing_ok=True)  # last: what it lists is known until it is gone


def _reclaim(state: Mapping[str, Any], scratch: Path, folder: RunFolder) -> None:
    """Give a task back what was killed between publishing it and its record.

    Only stores that a journal in its private folder knows: it says what of them is as written.
    """
    from mosaicflow.io.zarr.journal import finished_stores

    if state["key"] is not None:
        return
    known = {path.name for path in finished_stores(scratch)}
    for name in state["outputs"]:
        place, back = folder.root / name, scratch / name.rpartition("/")[2]
        if back.name in known and place.is_dir() and not back.exists():
            with contextlib.suppress(OSError):  # of another disk: it is made again
                place.rename(back)


def _remove(path: Path, folder: RunFolder) -> None:
    if path.is_dir() and not path.is_symlink():
        # Out of sight first: a half-deleted store must not look whole, nor stay after a kill.
        remove_tree(path, folder.scratch / f"removed_{path.name}")
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _only_one(folder: RunFolder) -> Iterator[None]:
    """Let one worker at a time look at the failure records."""
    with open_lock(folder.private / "records.lock") as lock:
        lock_file(lock, wait=True)
        yield


def _publish_record(record: Path, folder: RunFolder) -> None:
    """Publish why a slice failed; of two branches that did, the earlier stage's reason stays."""
    target = folder.path(record.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        order = list(STAGES)
        if not target.is_file() or order.index(_stage_of(record)) < order.index(_stage_of(target)):
            record.replace(target)


def _stage_of(record: Path) -> str:
    return str(json.loads(record.read_text(encoding="utf-8"))["stage"])


def _publish(task: Task, scratch: Path, folder: RunFolder, key: str | None) -> None:
    """Move everything a stage made to its place, metrics last.

    The outputs are listed before the first one moves, and the key that makes them count is added
    after the last: whenever a run is killed, the next one knows what to remove. A failure has no
    key.
    """
    record = scratch / task.record if task.record else None
    made = [path for path in scratch.iterdir() if path.name[0] != "." and path != record]
    made.sort(key=lambda path: (path.name.endswith(".metrics.json"), path.name))
    outputs = [folder.place(path.name) for path in made]
    state_file = _state_file(task, folder)
    before = _read_state(state_file, folder)["outputs"]
    replaced = [name for name in before if name not in outputs]
    write_document(state_file, {"key": None, "outputs": dict.fromkeys([*outputs, *replaced])})
    for name in replaced:
        _remove(folder.root / name, folder)
    for path, place in zip(made, outputs, strict=True):
        target = folder.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            _remove(target, folder)
        path.replace(target)
    if record is not None and record.is_file():
        _publish_record(record, folder)
    extents = {name: extent(folder.root / name) for name in outputs}
    sync(folder.root)  # the data first, then the record that makes it count
    _write_state(state_file, folder, key, extents)
    shutil.rmtree(scratch)  # last: journals of stores that are not recorded lie there


def forget_key(task: Task) -> None:
    """Have a task run again although nothing it depends on has changed."""
    folder = RunFolder(task.root)
    state_file = _state_file(task, folder)
    _write_state(state_file, folder, None, _read_state(state_file, folder)["outputs"])


def drop_outputs(root: Path, keep: str) -> None:
    """Remove what is not to be kept, at the end of a run; the tasks that made it will run again.

    Parameters
    ----------
    root : Path
        Output folder.
    keep : {'all', 'qc', 'final'}
        See `mosaicflow.engine.layout.is_kept`.
    """
    folder = RunFolder(root)
    for state_file in sorted(folder.finished.glob("*.json")):
        state = _read_state(state_file, folder)
        kept = {
            n: was for n, was in state["outputs"].items() if is_kept(n.rpartition("/")[2], keep)
        }
        if kept == state["outputs"]:
            continue
        # Without a key first: a kill from here on costs time only.
        _write_state(state_file, folder, None, state["outputs"])
        for name in state["outputs"].keys() - kept.keys():
            _remove(folder.root / name, folder)
        _write_state(state_file, folder, None, kept)


def published_outputs(task: Task) -> list[str]:
    """List what a finished task published, as paths below the output folder."""
    folder = RunFolder(task.root)
    return list(_read_state(_state_file(task, folder), folder)["outputs"])


def all_outputs(root: Path) -> tuple[str, ...]:
    """List what all tasks published, failure records included, as paths below the output folder."""
    folder = RunFolder(root)
    found = [record.relative_to(root).as_posix() for record in folder.failure_records()]
    for state_file in folder.finished.glob("*.json"):
        found += _read_state(state_file, folder)["outputs"]
    return tuple(sorted(found))
