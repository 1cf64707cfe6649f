"""Taking an output folder for one run: what is refused, and what a killed run left there."""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.engine.disk import clear_scratch, open_lock, say
from mosaicflow.engine.layout import PUBLISHED, RunFolder
from mosaicflow.errors import InputError, MosaicflowError, ParameterError
from mosaicflow.io.disk import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mosaicflow.engine.parameters import Parameters

__all__ = ["check_folders", "check_source", "locked"]


def check_folders(raw: Path, root: Path) -> None:
    """Refuse what would mix raw data and results."""
    try:
        found, source, target = raw.exists(), raw.resolve(), root.resolve()
        is_file = target.exists() and not target.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name; links that go round
        reason = error.strerror if isinstance(error, OSError) else error
        raise ParameterError(f"--input {raw} or --output {root} is no path ({reason})") from error
    for option, path in (("--input", source), ("--output", target)):
        if os.fsencode(path).decode("utf-8", "replace").encode() != os.fsencode(path):
            raise ParameterError(f"{option} {path!r} is no text in UTF-8: give it another name")
    if not found:
        raise InputError(f"{raw}: not found, expected the folder of an acquisition")
    if target.is_relative_to(source if source.is_dir() else source.parent):
        raise ParameterError(
            f"--output {root} lies in the raw folder {raw}, which is never written to",
            remedy="choose a folder outside it",
        )
    if source.is_relative_to(target) and source.relative_to(target).parts[0] in PUBLISHED:
        raise ParameterError(
            f"--input {raw} lies where results are written below --output {root}",
            remedy="choose another --output",
        )
    if root.is_symlink() and not target.exists():
        raise ParameterError(f"--output {root} is a link to {target}, where nothing is")
    if is_file:
        raise ParameterError(f"--output {root} is a file, expected a folder for the results")


def check_source(parameters: Parameters, root: Path) -> None:
    """Refuse to take positions from the folder that they would be written to."""
    source = parameters.engine("positions_from")
    if source is not None and source.resolve() == root.resolve():
        raise ParameterError(
            f"--positions_from {source} is --output itself",
            remedy="choose another --output: a run's positions would replace themselves",
        )


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Keep a second run out of the same folder, and clear what a killed one left."""
    is_new = not folder.root.exists()
    folder.refuse_links()
    try:
        folder.finished.mkdir(parents=True, exist_ok=True)
        lock = open_lock(folder.private / "lock")
    except OSError as error:
        raise InputError(
            f"{folder.root}: cannot be written ({error.strerror})",
            remedy="choose another --output or change its permissions",
        ) from error
    with lock:
        try:
            if not lock_file(lock, wait=False):
                say(f"warning: {folder.root}: this disk knows no locks: start no second run here\n")
        except BlockingIOError:
            raise MosaicflowError(
                f"{folder.root}: another run is writing here", remedy="wait for it, or stop it"
            ) from None
        _clear(folder)
        for partial in folder.finished.glob(".*.tmp"):
            partial.unlink()
        for no_record in filter(Path.is_dir, folder.finished.iterdir()):
            shutil.rmtree(no_record)
        try:
            yield
            shutil.rmtree(folder.scratch, ignore_errors=True)
        finally:
            _clear(folder)
            _leave_nothing_empty(folder, is_new=is_new)


def _clear(folder: RunFolder) -> None:
    """Remove what tasks left, but for what they go on with."""
    for scratch in folder.scratch.glob("*"):
        clear_scratch(scratch)
    with contextlib.suppress(OSError):  # not empty, or not there
        folder.scratch.rmdir()


def _leave_nothing_empty(folder: RunFolder, *, is_new: bool) -> None:
    """Remove what was made for a run that published nothing."""
    if any(folder.finished.iterdir()):
        return
    shutil.rmtree(folder.private)
    if is_new and not any(folder.root.iterdir()):
        folder.root.rmdir()
