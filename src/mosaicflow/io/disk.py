"""What a disk is asked for: that what was written is on it, and that nobody else writes."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["lock_file", "sync"]

# Old NFS and Lustre without flock.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def sync(folder: Path) -> None:
    """Wait until all that was written to the folder's disk is on it.

    A record that reaches the disk before the data it names would, after a power cut, pass empty
    files for a result.

    Parameters
    ----------
    folder : Path
        Any folder of that disk.

    Raises
    ------
    OSError
        What was written is not there.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # of Linux
        if syncfs is None:
            os.sync()
        elif syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def lock_file(file: IO[str] | int, *, wait: bool) -> bool:
    """Lock an open file, or a folder, until it is closed.

    Parameters
    ----------
    file : file or int
        Open for writing; a folder for reading.
    wait : bool
        Wait for another holder, or raise BlockingIOError.

    Returns
    -------
    bool
        False where the file system knows no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
