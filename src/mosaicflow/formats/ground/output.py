"""Files that are there complete or not at all."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["finished_file"]


@contextlib.contextmanager
def finished_file(path: FilePath, *, compress: bool | None = None) -> Iterator[Path]:
    """Yield a temporary sibling that becomes the file when the block ends without an error.

    Parameters
    ----------
    path : str or path-like
        Target.
    compress : bool, optional
        Compress the content; by default if the name ends in ``.gz`` or ``.bz2``. The bytes depend
        on the content alone.

    Yields
    ------
    Path
        Where to write. Its name keeps the target's extension, which some libraries look at.

    Raises
    ------
    FileNotFoundError
        If the target's folder does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")
    if compress is None:
        compress = target.suffix.lower() in (".gz", ".bz2")
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
                _packing(target, raw) as packing,
            ):
                shutil.copyfileobj(source, packing, 1 << 20)
            draft = packed
        draft.replace(target)


def _packing(target: Path, raw: IO[bytes]) -> gzip.GzipFile | bz2.BZ2File:
    if target.suffix.lower() == ".bz2":
        return bz2.BZ2File(raw, mode="wb")
    # Neither time nor name: the same data gives the same bytes.
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
