"""Bytes and text out of a file, plain or compressed, never more than the file can hold."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mosaicflow.formats.ground.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

FilePath: TypeAlias = str | os.PathLike[str]

DECOMPRESSION_ERRORS = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)

# A read at a time (1 MiB): much larger than a disk's block; doubled, nothing changes
_COPY_BYTES = 1 << 20
# Below this a decompressed volume stays in memory; above it goes to a temporary file and is mapped.
_IN_MEMORY_BYTES = 64 << 20
# A compressed table or mesh is read whole. Real ones stay far below; a decompression bomb does not.
_WHOLE_FILE_BYTES = 2 << 30
# Numbers written as text shrink to a third or a tenth; rows that are all equal, and bombs, to a
# 670th (gzip) or a 10 000th (bzip2). Twice lets bombs grow twice as large before they are stopped.
# What fits in memory anyway is not judged.
_MOST_RATIO, _UNJUDGED_BYTES = 200, 64 << 20


def existing_file(path: FilePath) -> Path:
    """Return the path if it is a file.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    FormatError
        If it is a folder, or a pipe or device: those are waited for, or never end.
    """
    found = Path(path)
    if found.is_dir():
        raise FormatError(path, "is a folder, a file is expected")
    if not found.exists():
        raise FileNotFoundError(f"{found}: no such file")
    if not found.is_file():
        raise FormatError(
            path, "is a pipe or a device, a file is expected", remedy="save it to a file first"
        )
    return found


def extension_of(path: FilePath) -> str:
    """Lower-case text after the last dot; a final compression suffix is looked through.

    Examples
    --------
    >>> extension_of("a/B.MRC.gz")
    'mrc'
    """
    parts = Path(path).name.lower().split(".")
    if len(parts) > 2 and parts[-1] in ("gz", "bz2"):
        parts.pop()
    return parts[-1] if len(parts) > 1 else ""


def compression_of(path: FilePath) -> str:
    """``"gzip"``, ``"bzip2"`` or ``""``, told from the first bytes and not from the name."""
    with existing_file(path).open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == b"\x1f\x8b":
        return "gzip"
    # "BZh" alone begins an innocent text; the level digit makes it bzip2.
    return "bzip2" if magic[:3] == b"BZh" and magic[3:4].isdigit() else ""


@contextlib.contextmanager
def open_stream(path: FilePath) -> Iterator[IO[bytes]]:
    """Open the decompressed bytes of a file; broken compression is a `FormatError`."""
    openers: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "": open}
    kind = compression_of(path)
    with openers[kind](path, "rb") as stream:
        if not kind:
            yield stream
            return
        try:
            yield stream
        except FormatError:
            raise
        except DECOMPRESSION_ERRORS as error:
            raise FormatError(path, f"the {kind} compression is damaged ({error})") from error


def read_at_most(stream: IO[bytes], n_bytes: int) -> bytes:
    """Read up to `n_bytes`, in pieces, so that memory follows what is there, not what is asked."""
    pieces = []
    while n_bytes > 0 and (piece := stream.read(min(n_bytes, _COPY_BYTES))):
        pieces.append(piece)
        n_bytes -= len(piece)
    return b"".join(pieces)


def read_head(path: FilePath, n_bytes: int) -> bytes:
    """Return the first decompressed bytes, fewer if the file is shorter."""
    with open_stream(path) as stream:
        return read_at_most(stream, n_bytes)


def read_bytes(path: FilePath) -> bytes:
    """Return the whole decompressed content.

    Raises
    ------
    FormatError
        If it expands to more than 2 GiB, or, from 64 MiB on, to more than 200 times its size.
    """
    if not compression_of(path):  # which has looked whether it is a file
        return Path(path).read_bytes()
    n_stored = Path(path).stat().st_size
    most = min(_WHOLE_FILE_BYTES, max(_UNJUDGED_BYTES, _MOST_RATIO * n_stored))
    with open_stream(path) as stream:
        content = read_at_most(stream, most + 1)
    if len(content) > most:
        raise FormatError(
            path,
            f"expands to more than {most >> 20} MiB, from {n_stored} bytes",
            remedy="decompress it yourself if it is sound",
        )
    return content


def read_text(path: FilePath) -> str:
    """Return the whole decompressed text, UTF-8, line ends as LF, without byte order mark.

    Raises
    ------
    FormatError
        If the file is empty or binary.
    """
    content = read_bytes(path)
    if not content:
        raise FormatError(path, "the file is empty")
    if (place := content.find(b"\0")) >= 0:
        raise FormatError(path, f"byte {place} is zero: this is a binary file, text is expected")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start} is not UTF-8 text") from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


@contextlib.contextmanager
def plain_copy(path: FilePath) -> Iterator[Path]:
    """Yield a file for libraries that need a name: the file, or a decompressed temporary copy."""
    if not compression_of(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="mosaicflow-") as folder:
        copy = Path(folder) / "plain"
        with open_stream(path) as stream, copy.open("wb") as target:
            shutil.copyfileobj(stream, target, _COPY_BYTES)
        yield copy


def map_values(path: FilePath, offset: int, count: int, dtype: DTypeLike) -> NDArray[np.generic]:
    """Return `count` numbers that lie at a byte offset, without loading a large file.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed file. Compressed values above 64 MiB go through a temporary file.
    offset, count : int
        First byte, and number of values (at least 1).
    dtype : dtype
        Type and byte order on disk.

    Returns
    -------
    ndarray, shape (count,), dtype as asked
        Read-only.

    Raises
    ------
    FormatError
        If the file ends before the last value.
    """
    n_bytes = count * np.dtype(dtype).itemsize
    if not compression_of(path):
        _require_length(path, Path(path).stat().st_size - offset, n_bytes)
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))
    with open_stream(path) as stream:
        skip(stream, offset)
        return map_stream(path, stream, count, dtype)


def map_stream(
    path: FilePath, stream: IO[bytes], count: int, dtype: DTypeLike
) -> NDArray[np.generic]:
    """Return the next `count` numbers of a stream, through a temporary file if they are many.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    stream : binary file
        Decompressed bytes.
    count : int
        Number of values, at least 1.
    dtype : dtype
        Type and byte order in the stream.

    Returns
    -------
    ndarray, shape (count,), dtype as asked
        Read-only.

    Raises
    ------
    FormatError
        If the stream ends before the last value.
    """
    n_bytes = count * np.dtype(dtype).itemsize
    if n_bytes <= _IN_MEMORY_BYTES:
        content = read_at_most(stream, n_bytes)
        _require_length(path, len(content), n_bytes)
        return np.frombuffer(content, dtype=dtype)
    left = n_bytes
    with tempfile.TemporaryFile(prefix="mosaicflow-") as copy:
        while left > 0 and (piece := stream.read(min(left, _COPY_BYTES))):
            copy.write(piece)
            left -= len(piece)
        copy.flush()
        _require_length(path, copy.tell(), n_bytes)
        # The mapping outlives the closed file, and the disk space goes with the mapping.
        return np.memmap(copy, dtype=dtype, mode="r", shape=(count,))


def skip(stream: IO[bytes], n_bytes: int) -> None:
    """Read past bytes of a stream that cannot seek."""
    while n_bytes > 0 and (piece := stream.read(min(n_bytes, _COPY_BYTES))):
        n_bytes -= len(piece)


def _require_length(path: FilePath, found: int, expected: int) -> None:
    if found < expected:
        raise FormatError(
            path, f"truncated: {expected} bytes of data are announced, {max(found, 0)} are there"
        )
