"""Whether the raw files that a grid was made of are still the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.changes import Change
from mosaicflow.errors import MosaicflowError
from mosaicflow.io.checksums import checksum
from mosaicflow.io.tables import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["raw_changes"]

Seen = list[list[int]]


def raw_changes(
    raw: Path, metrics: Path, known: object, *, thorough: bool
) -> tuple[list[Change], Seen | None]:
    """Compare raw files with what was read of them, where anything about them looks new.

    Name, size and time of change are known to be the same: they are in the tile list, on which
    the grid depends. Inode and time of the inode's last change are free to look at and cannot be
    set back; only where they differ, as after a move, is the content compared.

    Parameters
    ----------
    raw : Path
        The raw folder.
    metrics : Path
        Metrics of the grid, which hold what was read.
    known : object
        What the record of the task says of the files when they were last compared.
    thorough : bool
        Compare the content in any case.

    Returns
    -------
    changes : list of Change
        Files of another content.
    seen : list of list of int, or None
        Inode and time of each file now, where they were compared and are the same.
    """
    root = raw.parent if raw.is_file() else raw
    rows = [row for row in _rows(metrics) if _is_below(root, row)]
    try:
        now = [_look(root / row["path"]) for row in rows]
    except OSError:
        return [], None  # gone: the tile list will say so
    read = [[row["inode"], row["ctime_ns"]] for row in rows]
    if not thorough and now in (read, known):
        return [], None
    changed = [row["path"] for row in rows if checksum(root / row["path"]) != row["crc32c"]]
    text = "{}: its content changed, its size and time did not; its slice is made again"
    return [Change(path, "", is_edit=False, note=text.format(path)) for path in changed], now


def _rows(metrics: Path) -> Sequence[Mapping[str, Any]]:
    try:
        rows = read_document(metrics)["raw_files"]
    except (MosaicflowError, KeyError, TypeError):
        return ()  # of a version that did not note them, or lost: the task runs again anyway
    keys = {"path", "inode", "ctime_ns", "crc32c"}
    return [row for row in rows if isinstance(row, dict) and keys <= row.keys()]


def _is_below(root: Path, row: Mapping[str, Any]) -> bool:
    """Whether a row, which may come from somebody else, names a file of the raw folder."""
    path = os.path.realpath(root / str(row["path"]))
    return Path(path).is_relative_to(os.path.realpath(root)) and os.path.isfile(path)


def _look(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_ctime_ns]
