"""Files behind an address (s3://, gs://), for code that looks at raw data the way `Path` does.

Looking at a folder costs one request and is remembered; a file is read by ranges, each of which is
asked for again when a connection breaks. What cannot be reached is a `StoreError` that names the
address: never an empty folder or a shorter file.
"""

from __future__ import annotations

import errno
import fnmatch
import io
import os
import re
import stat
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from mosaicflow.io.remote_entries import Entry, entry_of, folder_entry
from mosaicflow.io.remote_requests import ask, filesystem_at, open_ranged, read_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

__all__ = [
    "RemotePath",
    "as_remote",
    "at_address",
    "fetch",
    "is_remote",
    "scan",
]

# As `Path` leaves it, with one slash: the schemes of object stores, and of fsspec's tests.
_ADDRESS = re.compile(r"^(s3|gs|gcs|memory):/+(?=[^/])")
# Bytes asked for at a time: some hundred requests a gigabyte. Doubled, a broken connection costs
# twice as much; halved, every request's own delay (30 ms) shows.
_PART_BYTES = 16 * 2**20

# Address of a folder -> its members; what was looked at once in this process.
_LISTED: dict[str, dict[str, Entry]] = {}
# Address of a small file -> its content, until it is asked for.
_AHEAD: dict[str, bytes] = {}
# A file up to this size is fetched together with those of the same name in the folders beside it
# [bytes]; parameters of a tile are a hundredth of it. Doubled, 512 of them take 64 MiB.
_SMALL_BYTES = 2**16
# Files fetched together, for as many round trips saved. Doubled, twice the memory.
_TOGETHER = 512


class RemotePath(PurePosixPath):
    """A file or folder behind an address, with the reading half of `Path`."""

    def __str__(self) -> str:
        return _ADDRESS.sub(r"\1://", super().__str__())

    def resolve(self, strict: bool = False) -> RemotePath:
        """Return itself: there are no links and no working folder."""
        del strict
        return self

    absolute = resolve

    def forget(self) -> None:
        """Look anew from now on, below this folder."""
        filesystem_at(str(self)).invalidate_cache()
        for known in (_LISTED, _AHEAD):
            for address in [one for one in known if one.startswith(str(self))]:
                del known[address]

    def list_below(self) -> None:
        """List all folders below at once: a thousand files for each request."""
        found = ask(str(self), "find", limited=False, detail=True)
        for name, entry in found.items():
            place = self
            *folders, last = name.strip("/").removeprefix(f"{_inside(self)}/").split("/")
            for folder in folders:
                _LISTED.setdefault(str(place), {}).setdefault(folder, folder_entry(folder))
                place = place / folder
            _LISTED.setdefault(str(place), {})[last] = entry_of(entry)

    def listed(self) -> dict[str, Entry]:
        """List a folder, by name; empty where nothing lies."""
        address = str(self)
        if address not in _LISTED:
            try:
                found = ask(address, "ls", detail=True)
            except FileNotFoundError:
                return {}
            entries = (entry_of(e) for e in found if e["name"].strip("/") != _inside(self))
            _LISTED[address] = {one.name: one for one in sorted(entries, key=lambda e: e.name)}
        return _LISTED[address]

    def iterdir(self) -> Iterator[RemotePath]:
        """Give the members of a folder."""
        yield from (self / name for name in self.listed())

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Give the members whose parts match those of a pattern."""
        first, _, rest = pattern.partition("/")
        for name in fnmatch.filter(self.listed(), first):
            if not rest:
                yield self / name
            elif self.listed()[name].is_dir():
                yield from (self / name).glob(rest)

    def is_dir(self) -> bool:
        """Whether anything lies below."""
        known = _LISTED.get(str(self.parent), {}).get(self.name)
        return bool(self.listed()) if known is None else known.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def exists(self) -> bool:
        """Whether anything is there."""
        return self.is_file() or self.is_dir()

    def is_symlink(self) -> bool:
        """No store has links."""
        return False

    def stat(self) -> os.stat_result:
        """Give size and time of change; the version of the content is the inode.

        From the listing of the folder, where it was listed since `forget`.
        """
        siblings = _LISTED.get(str(self.parent))
        if siblings is not None:
            if self.name not in siblings:
                raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
            return siblings[self.name].status
        return entry_of(ask(str(self), "info", refresh=True)).status

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open a file to look into its start; `fetch` is for all of it."""
        if mode != "rb":
            raise OSError(errno.EROFS, "raw data is only read", str(self))
        size = self.stat().st_size
        if size <= _SMALL_BYTES:
            return io.BytesIO(_small(self, size))
        return open_ranged(self, size)

    def read_bytes(self) -> bytes:
        """Read a small file whole."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read a small text whole."""
        return self.read_bytes().decode(encoding, errors)


def _inside(path: RemotePath) -> str:
    """Give bucket and key of an address."""
    return str(path).partition("://")[2]


def _small(path: RemotePath, size: int) -> bytes:
    """Read a small file, and those of the same name in the folders beside its own, all at once."""
    if str(path) not in _AHEAD:
        beside = path.parent.parent
        places = [beside / name / path.name for name in _LISTED.get(str(beside), {})]
        alike = [one for one in places if path.name in _LISTED.get(str(one.parent), {})]
        start = alike.index(path) if path in alike else 0
        _fetch_ahead(alike[start : start + _TOGETHER])
    content = _AHEAD.pop(str(path), b"")
    return content if len(content) == size else read_part(path, 0, size)


def _fetch_ahead(paths: Sequence[RemotePath]) -> None:
    """Fetch small files; one that fails is asked for again, and explained, when it is needed."""
    small = {_inside(one): one for one in paths if one.stat().st_size <= _SMALL_BYTES}
    if len(small) < 2:
        return
    found = filesystem_at(str(paths[0])).cat(list(small), on_error="return")
    for name, content in found.items():
        if isinstance(content, bytes):
            _AHEAD[str(small[name.strip("/")])] = content


def is_remote(path: Path) -> bool:
    """Whether a path is an address."""
    return _ADDRESS.match(os.fspath(path)) is not None


def as_remote(path: object) -> RemotePath | None:
    """Give a path that is one behind an address, for what only such one has; None for others."""
    return path if isinstance(path, RemotePath) else None


def at_address(path: Path, *, whole: bool = False) -> Path:
    """Give the way to look behind a path: that of an address, as a command line gives it, anew.

    Parameters
    ----------
    path : Path
        A local path, which is returned as it is, or an address, also with one slash only.
    whole : bool
        All that lies below is going to be looked at.

    Returns
    -------
    Path
        For an address a `RemotePath`, which has the reading half of `Path`.
    """
    if not is_remote(path):
        return path
    remote = RemotePath(path)
    remote.forget()
    if whole:
        remote.list_below()
    return cast("Path", remote)


def scan(path: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    """List a folder as os.scandir does, also behind an address."""
    remote = as_remote(path)
    if remote is None:
        return os.scandir(path)
    listed = remote.listed()
    if not listed:
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
    return nullcontext(cast("Iterator[os.DirEntry[str]]", iter(listed.values())))


def fetch(path: RemotePath, target: Path) -> None:
    """Copy a file to this machine, part by part; its time of change goes with it.

    Raises
    ------
    FileNotFoundError, StoreError
        As for `read_part`.
    """
    found = path.stat()
    with target.open("wb") as file:
        for start in range(0, found.st_size, _PART_BYTES):
            file.write(read_part(path, start, min(_PART_BYTES, found.st_size - start)))
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
