"""Whether what a task published is still what it wrote."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.io.checksums import SUFFIX, checksum, damage, read_checksums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.layout import RunFolder

__all__ = ["Change", "Extent", "changes", "extent", "keep_edit", "list_of"]

Extent = list[int | str]

# What people open in an editor.
_TEXTS = frozenset({".csv", ".json", ".txt", ".tfm", ".xml"})
# Nobody has a reason to edit these.
_OURS = (SUFFIX, ".metrics.json")
# Files of one output that a message names.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One output that is not what was written.

    Parameters
    ----------
    name : str
        Path below the output folder.
    what : str
        What is wrong with it.
    is_edit : bool
        Whether somebody may have changed it on purpose: a text that is there.
    note : str
        What the reader is told, where it is nothing that was published.
    """

    name: str
    what: str
    is_edit: bool
    note: str = ""


def extent(path: Path) -> Extent | None:
    """Describe an output without reading it; None where it is no file and no folder.

    Returns
    -------
    list or None
        Number of files, bytes, and a digest of name, size, time of change, inode and time of the
        last change of the inode of each: that one cannot be set back, and costs no reading.
    """
    if not (path.is_dir() or path.is_file()):
        return None
    hasher, count, total = hashlib.sha256(), 0, 0
    for name, status in sorted(_statuses(path)):
        hasher.update(f"{name}\0{status}\0".encode("utf-8", "surrogateescape"))
        count, total = count + 1, total + status[0]
    return [count, total, hasher.hexdigest()[:16]]


def _statuses(path: Path) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    walk = os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]
    for folder, _, names in walk:
        for name in names:
            one = os.path.join(folder, name)
            found = os.lstat(one)
            key = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
            yield os.path.relpath(one, path), key


def list_of(outputs: Iterable[str]) -> str | None:
    """Find the list of checksums among the outputs of a task."""
    return next((name for name in outputs if name.endswith(SUFFIX)), None)


def changes(
    folder: RunFolder, outputs: Iterable[str], sums: str | None, asked: Sequence[str]
) -> list[Change]:
    """Compare outputs of a task with their checksums.

    Parameters
    ----------
    folder : RunFolder
        The run.
    outputs : iterable of str
        All that the task published.
    sums : str or None
        Checksum of the list of their checksums.
    asked : sequence of str
        Those to compare.

    Returns
    -------
    list of Change
        Empty where all are as they were written.
    """
    if not asked:
        return []
    sheet = list_of(outputs)
    if sheet is None:  # the page of a run, which is made anew each time
        return [Change(asked[0], "", is_edit=False)]
    known = _known(folder.root / sheet, sums)
    if known is None:  # without a list that can be trusted nothing can be compared
        what = "the list of its checksums is lost or changed, so it cannot be compared"
        return [Change(asked[0], what, is_edit=False)]
    return [change for name in asked for change in _compare(folder.root, name, known)]


def _known(sheet: Path, sums: str | None) -> Mapping[str, Mapping[str, str]] | None:
    if sums is None or not sheet.is_file() or checksum(sheet) != sums:
        return None
    found = read_checksums(sheet)
    if found is None:
        return None
    return {**{one: found.of(one) for one in found.outputs}, sheet.name: {"": sums}}


def _compare(root: Path, name: str, known: Mapping[str, Mapping[str, str]]) -> Iterator[Change]:
    path = root / name
    if not path.exists():
        yield Change(name, "is missing", is_edit=False)
        return
    wrong = [f"{inside} {what}".strip() for inside, what in damage(path, known.get(path.name, {}))]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        is_edit = path.is_file() and path.suffix in _TEXTS and not name.endswith(_OURS)
        yield Change(name, ", ".join(wrong[:_NAMED]) + more, is_edit)


def keep_edit(root: Path, change: Change) -> str:
    """Say what becomes of a change; a text that somebody may have edited is kept beside it.

    Parameters
    ----------
    root : Path
        The output folder.
    change : Change
        What is about to be replaced.

    Returns
    -------
    str
        A sentence for the reader; empty where there is nothing to say.
    """
    if change.note or not change.what:
        return change.note
    if not change.is_edit:
        return f"{change.name}: {change.what}; it was made again"
    path = root / change.name
    number, kept = 1, path.with_name(f"{path.name}.edited")
    while kept.exists() and kept.read_bytes() != path.read_bytes():
        number += 1
        kept = path.with_name(f"{path.name}.edited-{number}")
    shutil.copyfile(path, kept)
    return (
        f"{change.name}: was edited by hand and is replaced, because its inputs decide it; the"
        f" edit is kept as {kept.name} (slice_config.csv and overrides are where edits count)"
    )
