"""Folders that a command reads may come from anybody, and hold anything."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mosaicflow.errors import FormatError, MosaicflowError, in_brief

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["reading"]


@contextmanager
def reading(*folders: Path) -> Iterator[None]:
    """Name the folders that a command reads where their content leads to a strange error.

    Parameters
    ----------
    *folders : Path
        Results, packages.

    Raises
    ------
    FormatError
        In place of an error that nobody expected.
    """
    try:
        yield
    except (MosaicflowError, OSError, MemoryError):
        raise
    except Exception as error:
        raise FormatError(
            f"{', '.join(map(str, folders))}: holds what cannot be read ({in_brief(error)})",
            remedy="mosaicflow verify tells what is not as it was written; if all is, this is a"
            " bug: please report it",
        ) from error
