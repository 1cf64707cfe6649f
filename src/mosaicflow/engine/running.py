"""The file ``RUNNING``: a run that goes on, or was broken off, never looks finished.

The workflow's functions/running.nf does the same.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.engine.disk import say
from mosaicflow.io.disk import sync
from mosaicflow.io.tables import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mosaicflow.engine.layout import RunFolder

__all__ = ["MARK", "running"]

MARK = "RUNNING"
_TEXT = """\
started: {started}
host: {host}
process: {process}

While this file is here the results in this folder are not complete: a run goes on, or was broken
off. Start it again with the same --output to finish it; what is finished is kept.
"""


@contextmanager
def running(folder: RunFolder) -> Iterator[None]:
    """Mark the output folder for the time of a run.

    The record of an earlier run is set aside first. Both stay as they are when the run ends by an
    error, unless it has changed nothing.

    Parameters
    ----------
    folder : RunFolder
        The run.
    """
    mark = folder.root / MARK
    before = _records(folder)
    was_marked = mark.is_file()
    if was_marked:
        say(f"note: an earlier run here was broken off ({_first_lines(mark)})\n")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    text = _TEXT.format(started=started, host=socket.gethostname(), process=os.getpid())
    write_text(mark, text)
    _set_aside(folder)
    try:
        yield
    except BaseException:
        if not was_marked and _records(folder) == before:
            _put_back(folder)
            mark.unlink(missing_ok=True)
        raise
    _aside(folder).unlink(missing_ok=True)
    sync(folder.root)  # the last act: all else is on the disk by then
    mark.unlink(missing_ok=True)


def _first_lines(mark: Path) -> str:
    lines = mark.read_text(encoding="utf-8", errors="replace").splitlines()
    return ", ".join(line[:80] for line in lines[:2])


def _records(folder: RunFolder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.finished.glob("*.json")}


def _record(folder: RunFolder) -> Path:
    return folder.path(names.RECORD.of())


def _aside(folder: RunFolder) -> Path:
    return folder.path(names.RECORD.of()).with_name("earlier_run.json")


def _set_aside(folder: RunFolder) -> None:
    if _record(folder).is_file():
        _record(folder).replace(_aside(folder))


def _put_back(folder: RunFolder) -> None:
    if _aside(folder).is_file():
        _aside(folder).replace(_record(folder))
