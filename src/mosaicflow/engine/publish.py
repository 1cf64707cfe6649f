"""What a task made goes to its place under final names, metrics last; then it is recorded."""

from __future__ import annotations

import contextlib
import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mosaicflow.engine.changes import extent
from mosaicflow.engine.disk import open_lock
from mosaicflow.engine.finished import (
    expect,
    read_finished,
    record_file,
    remove_output,
    write_finished,
)
from mosaicflow.engine.task import Published
from mosaicflow.io.disk import lock_file, sync
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mosaicflow.engine.finished import Finished
    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.engine.task import Task

__all__ = ["publish", "reclaim", "record"]


def publish(task: Task, scratch: Path, folder: RunFolder, key: str | None) -> Published:
    """Move everything a stage made to its place, metrics last.

    The outputs are listed before the first one moves, and the key that makes them count is added
    after the last, by `record`: whenever a run is killed, the next one knows what to remove.
    """
    failure = scratch / task.record if task.record else None
    made = [path for path in scratch.iterdir() if path.name[0] != "." and path != failure]
    made.sort(key=lambda path: (path.name.endswith(".metrics.json"), path.name))
    outputs = [folder.place(path.name) for path in made]
    listed = record_file(task, folder)
    before = read_finished(listed, folder).outputs
    replaced = [name for name in before if name not in outputs]
    expect(listed, [*outputs, *replaced])
    for name in replaced:
        remove_output(folder.root / name, folder)
    for path, place in zip(made, outputs, strict=True):
        target = folder.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            remove_output(target, folder)
        path.replace(target)
    if failure is not None and failure.is_file():
        _publish_failure(failure, folder)
    extents = {name: extent(folder.root / name) for name in outputs}
    return Published(listed, key, extents, scratch)


def record(folder: RunFolder, published: Sequence[Published]) -> None:
    """Make what tasks published count, once it is on the disk.

    Raises
    ------
    OSError
        The disk has not taken it.
    """
    sync(folder.root)  # the data first, then the records that make it count
    for one in published:
        write_finished(one.record, folder, one.key, one.extents)
        shutil.rmtree(one.scratch)  # last: journals of stores that are not recorded lie there


def _publish_failure(failure: Path, folder: RunFolder) -> None:
    """Publish why a slice failed; of two branches that did, the earlier stage's reason stays."""
    target = folder.path(failure.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        order = list(STAGES)
        if not target.is_file() or order.index(_stage_of(failure)) < order.index(_stage_of(target)):
            failure.replace(target)


def _stage_of(failure: Path) -> str:
    return str(json.loads(failure.read_text(encoding="utf-8"))["stage"])


@contextmanager
def _only_one(folder: RunFolder) -> Iterator[None]:
    """Let one worker at a time look at the failure records."""
    with open_lock(folder.private / "records.lock") as lock:
        lock_file(lock, wait=True)
        yield


def reclaim(finished: Finished, scratch: Path, folder: RunFolder) -> None:
    """Give a task back what was killed between publishing it and its record.

    Only stores that a journal in its private folder knows: it says what of them is as written.
    """
    from mosaicflow.io.zarr.journal import finished_stores

    if finished.key is not None:
        return
    known = {path.name for path in finished_stores(scratch)}
    for name in finished.outputs:
        place, back = folder.root / name, scratch / name.rpartition("/")[2]
        if back.name in known and place.is_dir() and not back.exists():
            with contextlib.suppress(OSError):  # of another disk: it is made again
                place.rename(back)
