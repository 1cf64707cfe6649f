"""Requests for files behind an address: by ranges, asked for again when a connection breaks."""

from __future__ import annotations

import errno
import io
import os
import time
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from mosaicflow.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

__all__ = ["ask", "filesystem_at", "open_ranged", "read_part", "tried"]

Result = TypeVar("Result")

# Bytes read ahead in a file that is only looked into: the header of most images.
_HEADER_BYTES = 2**18
# Seconds that one part may take: 16 MiB at 0.3 MB/s. Doubled, a server that sends a byte now and
# then is found out later.
_PATIENCE_S = 60.0
# Seconds before the second, third and fourth try of a part. Doubled, a service that is down for
# good is told half a minute later.
_BACK_OFF_S = (0.5, 2.0, 8.0)


def filesystem_at(address: str) -> Any:  # noqa: ANN401  # an untyped package
    """Give fsspec's file system behind an address."""
    from mosaicflow.io.zarr.remote import filesystem_of

    return filesystem_of(address)[0]


def ask(
    address: str,
    method: str,
    *,
    limited: bool = True,
    **options: Any,  # noqa: ANN401  # of fsspec's methods
) -> Any:  # noqa: ANN401  # an untyped package
    """Call a method of fsspec's file system; what cannot be reached is a StoreError."""
    from mosaicflow.io.zarr import remote
    from mosaicflow.io.zarr.errors import reaching

    filesystem, path = remote.filesystem_of(address)
    with reaching(address):
        patience_s = _PATIENCE_S if limited else None
        return remote.ask(filesystem, method, path, patience_s=patience_s, **options)


def read_part(path: PurePosixPath, start: int, count: int) -> bytes:
    """Read some bytes of a file, exactly as many as asked for.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    OSError
        When it is shorter.
    StoreError
        When it cannot be reached, several times.
    """

    def ask_for_it() -> bytes:
        content = bytes(ask(str(path), "cat_file", start=start, end=start + count))
        if len(content) != count:
            # A connection that broke says so; a file that is shorter is another one by now.
            found = f"{len(content)} bytes from {start} on, expected {count}"
            raise OSError(errno.EIO, found, str(path))
        return content

    return tried(ask_for_it) if count else b""


def tried(call: Callable[[], Result]) -> Result:
    """Do what may fail on the way, again after a while when it did."""
    for wait_s in _BACK_OFF_S:
        try:
            return call()
        except StoreError:
            time.sleep(wait_s)
    return call()


def open_ranged(path: PurePosixPath, size: int) -> IO[bytes]:
    """Open a file of which only parts are looked into."""
    return cast("IO[bytes]", io.BufferedReader(_Ranged(path, size), _HEADER_BYTES))


class _Ranged(io.RawIOBase):
    """A file that is read by ranges."""

    def __init__(self, path: PurePosixPath, size: int) -> None:
        super().__init__()
        self._path, self._size, self._at = path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any buffer
        count = max(0, min(len(buffer), self._size - self._at))
        if count:
            buffer[:count] = read_part(self._path, self._at, count)
            self._at += count
        return count
