"""What file systems refuse or forget: locks, folders in use."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Literal

from mosaicflow.errors import MosaicflowError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["clear_scratch", "in_one_line", "open_lock", "remove_tree", "say"]


def open_lock(path: Path) -> IO[str]:
    """Open a file to lock; a pipe in its place, which would be waited for, raises OSError."""

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK, 0o666)

    return open(path, "w", opener=at_once)  # for the caller to close


def clear_scratch(scratch: Path) -> None:
    """Remove what killed tasks left in their folders.

    A store whose finished parts are known to its journal stays: the same task goes on with it.

    Parameters
    ----------
    scratch : Path
        The private folder of one task.
    """
    from mosaicflow.io.zarr.journal import kept_for_later

    kept = kept_for_later(scratch) if scratch.is_dir() else set()
    if not kept:
        shutil.rmtree(scratch, ignore_errors=True)
        return
    for path in set(scratch.iterdir()) - kept:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_tree(path: Path, aside: Path) -> None:
    """Remove a folder that must never be seen half deleted.

    Parameters
    ----------
    path : Path
        The folder.
    aside : Path
        A free name in a private folder. What another program still reads there (on NFS a folder
        with an open file cannot be removed) stays for whoever clears the private folder.
    """
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        path.rename(aside)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.ENOTEMPTY, errno.EEXIST):
            raise
        aside = path  # on another disk, or the last one is in use: it is removed in its place
    shutil.rmtree(aside, ignore_errors=aside is not path)


@contextmanager
def in_one_line(folder: Path) -> Iterator[None]:
    """Turn what the system refuses a run, or one of its tasks, into one line.

    Parameters
    ----------
    folder : Path
        Where the run writes.

    Raises
    ------
    StoreError
        In place of an OSError or MemoryError.
    """
    try:
        yield
    except MosaicflowError:
        raise
    except (OSError, MemoryError) as error:
        from mosaicflow.stages._table import lack_of

        lack = lack_of(str(folder), error)
        raise lack or StoreError(
            f"{folder}: {error}", remedy="check the permissions and the disk, and run again"
        ) from error


def say(text: str, *, to: Literal["stdout", "stderr"] = "stderr") -> None:
    """Write a line for people; that it cannot be kept (a full disk, a closed pipe) stops no run."""
    try:
        stream = getattr(sys, to)
        stream.write(text)
        stream.flush()
    except (OSError, ValueError, AttributeError):  # AttributeError: closed before the start
        # Python would try again at its end, fail, and make the exit code 120.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1 if to == "stdout" else 2)
        os.close(nowhere)
