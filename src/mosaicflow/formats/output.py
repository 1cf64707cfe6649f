"""Files that are there complete or not at all."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mosaicflow.formats.source import FilePath

__all__ = ["finished_file"]


@contextlib.contextmanager
def finished_file(path: FilePath) -> Iterator[Path]:
    """Yield a temporary sibling that becomes the file when the block ends without an error.

    Parameters
    ----------
    path : str or path-like
        Target. A name that ends in ``.gz`` compresses; the bytes depend on the content alone.

    Yields
    ------
    Path
        Where to write. Its name keeps the target's extension, which some libraries look at.
    """
    target = Path(path)
    compress = target.suffix.lower() == ".gz"
    name = target.with_suffix("").name if compress else target.name
    # A folder of its own: a failed write leaves nothing beside the target.
    with tempfile.TemporaryDirectory(prefix=".mosaicflow-", dir=target.parent) as folder:
        draft = Path(folder) / name
        yield draft
        if compress:
            packed = Path(folder) / f"{name}.packed"
            with (
                draft.open("rb") as source,
                packed.open("wb") as raw,
                # Neither time nor name: the same data gives the same bytes.
                gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packing,
            ):
                shutil.copyfileobj(source, packing, 1 << 20)
            draft = packed
        draft.replace(target)
