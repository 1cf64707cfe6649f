"""Opening the files of microscopes with the packages of the extra `microscopes`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError
from mosaicflow.formats.ground.errors import library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["opened"]


@contextmanager
def opened(path: Path, package: str, opener: str) -> Iterator[Any]:
    """Open a file for reading.

    Parameters
    ----------
    path : Path
        The file.
    package, opener : str
        What to import, and its class that opens such files.

    Yields
    ------
    object
        What the package makes of the file.

    Raises
    ------
    FormatError
        Whatever breaks in the package while the file is read.
    MissingExtraError
        When the package is not installed.
    """
    module = library(package, extra="microscopes", file=path.name)
    try:
        with getattr(module, opener)(path) as file:
            yield file
    except (FormatError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # the packages have many; a file may break any of them
        raise FormatError(f"is not a usable {path.suffix[1:].upper()} ({error})") from error
