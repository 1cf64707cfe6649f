"""``mosaicflow put-results``: send outputs of a workflow to their places behind an address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["put_results"]


def put_results(words: Sequence[str]) -> None:
    """Send files and stores below an address, each into the folder that its name has there.

    Parameters
    ----------
    words : sequence of str
        The address, and the files; the record of the run is sent when all others are there.
    """
    from mosaicflow.io.upload import ADDRESS_SUFFIX, put_all
    from mosaicflow.names import RECORD

    if len(words) < 2:
        raise ParameterError("put-results: found no file, expected an address and files")
    address, *given = words
    files = [Path(word) for word in given if not word.endswith(ADDRESS_SUFFIX)]
    files.sort(key=lambda path: (path.name == RECORD.of(), path.name))
    put_all([(path, _place(path.name)) for path in files], address.rstrip("/"))


def _place(name: str) -> str:
    """Name a place as a run does; what only the workflow's engine writes is about the run."""
    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.names import RECORD

    try:
        return RunFolder.place(name)
    except ValueError:
        return f"{RECORD.folder}/{name}"
