"""What a stage made, with its checksums; and whether its inputs are what was written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.io.checksums import (
    SUFFIX,
    DamageError,
    checksum,
    find_checksums,
    read_checksums,
    sums_of,
    sums_path,
    write_checksums,
)
from mosaicflow.names import about

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["check_inputs", "list_outputs", "see_folder"]

_log = logging.getLogger(__name__)
_METRICS = ".metrics.json"
# What people open in an editor, and may have good reasons to change.
_EDITABLE = frozenset({".csv", ".json", ".txt"})


def see_folder(folder: Path) -> dict[str, tuple[int, int]]:
    """Note what lies in a folder before a stage writes there; links are inputs."""
    if not folder.is_dir():
        return {}
    entries = [path for path in folder.iterdir() if path.name[0] != "." and not path.is_symlink()]
    return {path.name: ((one := path.stat()).st_ino, one.st_mtime_ns) for path in entries}


def list_outputs(
    folder: Path, before: Mapping[str, tuple[int, int]], output: Path | None
) -> Path | None:
    """Write the checksums of all files that a stage made.

    Parameters
    ----------
    folder : Path
        Where the stage wrote.
    before : mapping
        What `see_folder` gave before.
    output : Path or None
        Output of the stage, whose name the list gets; None for a stage that fills a folder.

    Returns
    -------
    Path or None
        The list; None where nothing was made.
    """
    now = see_folder(folder)
    made = sorted(
        name for name, seen in now.items() if before.get(name) != seen and not name.endswith(SUFFIX)
    )
    named = output if output is not None else _main_output(folder, made)
    if named is None:
        return None
    target = sums_path(named)
    # The writer of a store took its checksums on the way.
    is_new = now.get(target.name) not in (None, before.get(target.name))
    of_store = read_checksums(target) if is_new else None
    write_checksums(target, sums_of(folder, made, of_store.files if of_store else {}))
    return target


def _main_output(folder: Path, made: list[str]) -> Path | None:
    """Choose the metrics file that names what a stage made: the one about the whole run."""
    metrics = [name for name in made if name.endswith(_METRICS)]
    metrics.sort(key=lambda name: (about(name) != (), name))
    return folder / metrics[0] if metrics else None


def check_inputs(arguments: Mapping[str, Any]) -> dict[str, bool]:
    """Compare the files that a stage is about to read with their checksums.

    Stores are left to their readers, which compare what they read.

    Returns
    -------
    dict of str to bool
        Base names of those that may hold anything: True where somebody changed it, False where no
        checksum tells.

    Raises
    ------
    DamageError
        One of them is not what was written, and is nothing that people edit.
    """
    doubtful: dict[str, bool] = {}
    for path in _files(arguments):
        found = find_checksums(path)
        known = None if found is None else found.of(Path(path.resolve()).name).get("")
        if known is not None and known == checksum(path):
            continue
        doubtful[path.name] = known is not None
        if known is None:
            continue
        if path.suffix not in _EDITABLE:
            raise DamageError(
                f"{path}: is not what was written",
                remedy="run the stage again that wrote it",
                output=path.name,
            )
        _log.warning("%s: is not what was written; it is taken as somebody's edit", path.name)
    return doubtful


def _files(arguments: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in arguments.items():
        if name == "raw" or name.startswith("output"):
            continue
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, Path) and one.is_file():
                yield one
