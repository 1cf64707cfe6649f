"""What finished tasks published, as their records say: read, written, forgotten."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.changes import Change, Extent, changes, extent, keep_edit, list_of
from mosaicflow.engine.disk import remove_tree
from mosaicflow.engine.layout import RunFolder, is_kept
from mosaicflow.io.checksums import checksum
from mosaicflow.io.tables import SCHEMA, file_content, write_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mosaicflow.engine.task import Task

__all__ = [
    "Finished",
    "all_outputs",
    "drop_outputs",
    "expect",
    "forget",
    "forget_key",
    "forget_others",
    "found_changes",
    "published_outputs",
    "read_finished",
    "record_file",
    "remove_output",
    "write_finished",
]


@dataclass(frozen=True, slots=True)
class Finished:
    """What a task published.

    Parameters
    ----------
    key : str or None
        What decided the result; None where it does not count: the task is under way, was killed
        or failed.
    outputs : mapping of str to list or None
        Path below the output folder -> what it looked like (see `extent`); None while it is not
        known to be there whole.
    sums : str or None
        Checksum of the list that holds those of all outputs.
    raw : object
        What raw files looked like when they were last compared (see `raw_changes`).
    """

    key: str | None = None
    outputs: Mapping[str, Extent | None] = field(default_factory=dict)
    sums: str | None = None
    raw: Any = None


def record_file(task: Task, folder: RunFolder) -> Path:
    """Name the record of a task."""
    return folder.finished / f"{task.name.replace(' ', '_')}.json"


def read_finished(record: Path, folder: RunFolder) -> Finished:
    """Read what a task published; nothing where it never ran or that cannot be trusted.

    What a record names is removed when it no longer belongs to its inputs, so one with a single
    name that no run publishes counts as absent.
    """
    try:
        found = json.loads(file_content(record))
    except (OSError, ValueError, RecursionError):
        return Finished()
    # Of a later program: what it means is not known.
    if not isinstance(found, dict) or found.get("schema", SCHEMA) != SCHEMA:
        return Finished()
    outputs = found.get("outputs")
    if not isinstance(outputs, dict) or not all(map(folder.places, outputs)):
        return Finished()
    return Finished(found.get("key"), outputs, found.get("sums"), found.get("raw"))


def write_finished(
    record: Path,
    folder: RunFolder,
    key: str | None,
    extents: Mapping[str, Extent | None],
    *,
    raw: object = None,
) -> Finished:
    """Record what a task published, with the checksum of the list that holds all others."""
    name = list_of(extents)
    sums = None if name is None else checksum(folder.root / name)
    made = Finished(key, dict(extents), sums, raw)
    write_document(record, {"key": key, "outputs": made.outputs, "sums": sums, "raw": raw})
    return made


def expect(record: Path, outputs: Iterable[str]) -> None:
    """Record what is about to be published or removed: after a kill it is known what to remove."""
    write_document(record, {"key": None, "outputs": dict.fromkeys(outputs)})


def found_changes(
    finished: Finished, folder: RunFolder, *, thorough: bool = False
) -> tuple[list[Change], dict[str, Extent | None]]:
    """Find the outputs that are not as they were written, and what all of them look like now."""
    known = {name: was for name, was in finished.outputs.items() if was is not None}
    now = {name: extent(folder.root / name) for name in known}
    asked = [name for name in known if thorough or now[name] != known[name]]
    return changes(folder, finished.outputs, finished.sums, asked), now


def forget(record: Path, folder: RunFolder) -> None:
    """Remove what a task left that no longer belongs to its inputs."""
    for name in read_finished(record, folder).outputs:
        remove_output(folder.root / name, folder)
    record.unlink(missing_ok=True)  # last: what it lists is known until it is gone


def remove_output(path: Path, folder: RunFolder) -> None:
    """Remove a file or store that a task published."""
    if path.is_dir() and not path.is_symlink():
        # Out of sight first: a half-deleted store must not look whole, nor stay after a kill.
        remove_tree(path, folder.scratch / f"removed_{path.name}")
    else:
        path.unlink(missing_ok=True)


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
    for record in sorted(folder.finished.glob("*.json")):
        if record.stem not in known:
            found, _ = found_changes(read_finished(record, folder), folder)
            edits = [change for change in found if change.is_edit]
            notes += [keep_edit(folder.root, change) for change in edits]
            forget(record, folder)
    for failure in folder.failure_records():
        remove_output(failure, folder)
    return tuple(notes)


def forget_key(task: Task) -> None:
    """Have a task run again although nothing it depends on has changed."""
    folder = RunFolder(task.root)
    record = record_file(task, folder)
    write_finished(record, folder, None, read_finished(record, folder).outputs)


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
    for record in sorted(folder.finished.glob("*.json")):
        finished = read_finished(record, folder)
        kept = {
            n: was for n, was in finished.outputs.items() if is_kept(n.rpartition("/")[2], keep)
        }
        if kept == finished.outputs:
            continue
        # Without a key first: a kill from here on costs time only.
        write_finished(record, folder, None, finished.outputs)
        for name in finished.outputs.keys() - kept.keys():
            remove_output(folder.root / name, folder)
        write_finished(record, folder, None, kept)


def published_outputs(task: Task) -> list[str]:
    """List what a finished task published, as paths below the output folder."""
    folder = RunFolder(task.root)
    return list(read_finished(record_file(task, folder), folder).outputs)


def all_outputs(root: Path) -> tuple[str, ...]:
    """List what all tasks published, failure records included, as paths below the output folder."""
    folder = RunFolder(root)
    found = [failure.relative_to(root).as_posix() for failure in folder.failure_records()]
    for record in folder.finished.glob("*.json"):
        found += read_finished(record, folder).outputs
    return tuple(sorted(found))
