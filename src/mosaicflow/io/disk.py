"""Whether what was written is on the disk."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sync"]


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
