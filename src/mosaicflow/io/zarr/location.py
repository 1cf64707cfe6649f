"""Where a store lives: a folder, a zip file, or an address that fsspec understands."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from mosaicflow.errors import FormatError, StoreError
from mosaicflow.io.zarr.errors import reaching
from mosaicflow.io.zarr.remote import SentFile, ask, filesystem_of, remote_store

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["Location", "StorePath", "check_distinct", "locate", "same_store"]

StorePath = str | os.PathLike[str]

_SUFFIXES = (".ome.zarr.zip", ".ome.zarr", ".zarr.zip", ".zarr", ".zip", ".ome.ozx", ".ozx")
# The second is how RFC-9 of NGFF names a store in one file.
_ARCHIVES = (".zip", ".ozx")
_METADATA_NAMES = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
# A store that is given up is removed so often while others still write there: one second.
_MOST_TRIES = 20


@dataclass(frozen=True)
class Location:
    """Address of a store, and the few file operations the store layer needs there.

    Parameters
    ----------
    address : str
        Absolute path, or URL.
    prefix : str
        Folder inside the store or archive that holds the group; empty for its root.
    patience_s : float or None
        Seconds that one request over a network may take when reading; None leaves it to the
        library of the protocol.
    anonymous : bool
        Whether a bucket is asked without credentials.
    """

    address: str
    prefix: str = ""
    patience_s: float | None = None
    anonymous: bool = False

    @property
    def is_url(self) -> bool:
        """Whether the store is reached through fsspec."""
        return "://" in self.address

    @property
    def is_zip(self) -> bool:
        """Whether the store is one zip archive."""
        return self.address.lower().endswith(_ARCHIVES) and not self.is_url

    @property
    def is_folder(self) -> bool:
        """Whether the store is a folder of this machine."""
        return not self.is_url and not self.is_zip

    @property
    def path(self) -> Path:
        """The local path."""
        if self.is_url:
            raise StoreError(f"{self.address}: this operation needs a local path")
        return Path(self.address)

    @property
    def name(self) -> str:
        """File name without the suffix of a store."""
        base = PurePosixPath(self.address.rstrip("/")).name
        for suffix in _SUFFIXES:
            if base.lower().endswith(suffix):
                return base[: -len(suffix)]
        return base

    def __str__(self) -> str:
        return self.address + (f"/{self.prefix}" if self.prefix else "")

    def child(self, name: str) -> Location:
        """Return the location of a sub-group."""
        return replace(self, prefix=f"{self.prefix}/{name}".strip("/"))

    def sibling(self, name: str) -> Location:
        """Return the location of another store in the same folder."""
        if self.is_folder:
            return Location(str(self.path.parent / name))
        return Location(f"{self.address.rstrip('/').rpartition('/')[0]}/{name}")

    def key(self, name: str) -> str:
        """Return the key of a member inside the store that `store` returns.

        Raises
        ------
        FormatError
            When the name, as a store's metadata may give it, leads out of the store; before
            anything is opened there.
        """
        parts = [part for part in f"{self.prefix}/{name}".split("/") if part not in ("", ".")]
        key = "/".join(parts)
        if name.startswith("/") or "\0" in key or ".." in key.replace("\\", "/").split("/"):
            raise _leads_out(self, name)
        if self.is_folder:
            root = os.path.realpath(self.address)  # which may be a link itself: the user gave it
            if os.path.commonpath((root, os.path.realpath(os.path.join(root, key)))) != root:
                raise _leads_out(self, name)
        return key

    def store(self, *, read_only: bool = True) -> Store:
        """Open the zarr store at this location."""
        from zarr.storage import LocalStore, ZipStore

        if self.is_folder:
            return LocalStore(self.path, read_only=read_only)
        if self.is_zip:
            return ZipStore(self.path, mode="r", read_only=True)
        return remote_store(
            self.address,
            read_only=read_only,
            patience_s=self.patience_s,
            anonymous=self.anonymous,
        )

    def exists(self) -> bool:
        """Whether anything is there (a dangling link counts)."""
        if not self.is_url:
            return os.path.lexists(self.path)
        filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
        with reaching(self.address):
            return bool(ask(filesystem, "exists", path, patience_s=self.patience_s))

    def remove(self) -> None:
        """Remove the store; a symbolic link is removed itself, never what it points to."""
        if self.is_url:
            filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
            with reaching(self.address):
                if filesystem.exists(path):
                    # First what makes it count: half of a store must not look whole.
                    for name in _METADATA_NAMES[:2]:
                        if filesystem.exists(f"{path}/{name}"):
                            filesystem.rm_file(f"{path}/{name}")
                    filesystem.rm(path, recursive=True)
        elif self.path.is_symlink() or self.path.is_file():
            self.path.unlink()
        elif self.path.exists():
            _remove_tree(self.path)

    def read(self, name: str) -> bytes | None:
        """Return the content of one member, or None when it does not exist."""
        if self.is_zip:
            with zipfile.ZipFile(self.path) as archive:
                key = self.key(name)
                return archive.read(key) if key in archive.NameToInfo else None
        if self.is_url:
            filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
            try:
                with reaching(self.address):
                    member = f"{path}/{self.key(name)}"
                    return bytes(ask(filesystem, "cat_file", member, patience_s=self.patience_s))
            except (FileNotFoundError, IsADirectoryError):
                return None
        file = self.path / self.key(name)
        return file.read_bytes() if os.path.isfile(file) else None  # a name may be too long for any

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return one JSON member, or None when it does not exist."""
        content = self.read(name)
        if content is None:
            return None
        try:
            value = json.loads(content.decode("utf-8"))
        except RecursionError as error:
            raise FormatError(f"{self}/{name}: JSON nested too deep") from error
        except json.JSONDecodeError as error:
            raise FormatError(
                f"{self}/{name}: not valid JSON at line {error.lineno}, column {error.colno}"
                f" ({error.msg})",
                remedy="write the store again, or repair the file with a text editor",
            ) from error
        except UnicodeDecodeError as error:
            raise FormatError(f"{self}/{name}: not UTF-8 text at byte {error.start}") from error
        except ValueError as error:  # a number of thousands of digits
            raise FormatError(f"{self}/{name}: cannot be read as JSON ({error})") from error
        if not isinstance(value, dict):
            raise FormatError(f"{self}/{name}: found a JSON {type(value).__name__}, not an object")
        return value

    def metadata(self, name: str) -> dict[str, Any] | None:
        """Return one JSON member, from the consolidated copy where the member itself is absent.

        Parameters
        ----------
        name : str
            Such as `0/.zarray` or `0/zarr.json`.
        """
        found = self.read_json(name)
        if found is not None:
            return found
        parts = self.prefix.split("/") if self.prefix else []
        for depth in range(len(parts), -1, -1):
            holder = replace(self, prefix="/".join(parts[:depth]))
            if entries := holder.consolidated(name.endswith("zarr.json")):
                entry = entries.get("/".join([*parts[depth:], name]))
                return entry if isinstance(entry, dict) else None
        return None

    def consolidated(self, is_v3: bool) -> dict[str, Any]:
        """Return the copies of all metadata that the root of a store holds, by name of the file.

        Parameters
        ----------
        is_v3 : bool
            Where to look: in `zarr.json`, or in `.zmetadata`.
        """
        document = self.read_json("zarr.json" if is_v3 else ".zmetadata") or {}
        kept = document.get("consolidated_metadata") if is_v3 else document
        entries = kept.get("metadata") if isinstance(kept, dict) else None
        if not isinstance(entries, dict):
            return {}
        return {f"{name}/zarr.json" if is_v3 else name: entry for name, entry in entries.items()}

    def open_new(self, name: str) -> IO[bytes] | SentFile:
        """Open a member for writing from its start; folders are made as needed."""
        if self.is_url:
            filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
            key = self.key(name)
            return SentFile(f"{self.address}/{key}", filesystem, f"{path}/{key}")
        file = self.path / self.key(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("wb")

    def children(self) -> tuple[str, ...]:
        """Return the names of the folders inside, sorted; empty where listing is impossible."""
        if self.is_zip:
            with zipfile.ZipFile(self.path) as archive:
                return _first_parts(archive.namelist(), self.prefix)
        if self.is_url:
            return self._remote_children()
        folder = self.path / self.prefix
        inside = folder.iterdir() if folder.is_dir() else ()
        return tuple(sorted(p.name for p in inside if p.is_dir()))

    def _remote_children(self) -> tuple[str, ...]:
        filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
        try:
            folder = f"{path}/{self.prefix}".rstrip("/")
            entries = ask(filesystem, "ls", folder, detail=True, patience_s=self.patience_s)
        except (FileNotFoundError, NotImplementedError):
            return ()
        names = (e["name"].rstrip("/").rpartition("/")[2] for e in entries if e["type"] != "file")
        return tuple(sorted(names))

    @cached_property
    def total_bytes(self) -> int | None:
        """Size of everything stored here; None where the place cannot be listed."""
        if self.is_zip:
            return self.path.stat().st_size
        if self.is_url:
            filesystem, path = filesystem_of(self.address, anonymous=self.anonymous)
            try:
                return int(filesystem.du(path)) or None
            except (FileNotFoundError, NotImplementedError):
                return None
        walk = os.walk(self.path / self.prefix)
        return sum(os.lstat(os.path.join(d, f)).st_size for d, _, files in walk for f in files)


def _leads_out(location: Location, name: str) -> FormatError:
    return FormatError(
        f"{location}: {name!r} lies outside of the store, by its path or through a link",
        remedy="copy what is meant into the store, or open it by its own path",
    )


def locate(path: StorePath | Location) -> Location:
    """Return the location of a store, looking into a zip archive for the group it holds."""
    if isinstance(path, Location):
        return path
    address = os.fspath(path)
    if address.startswith("file://"):
        address = address.removeprefix("file://")
    # Absolute, so that a lazy array survives a change of folder and a trip to another process.
    location = Location(address if "://" in address else os.path.abspath(address))
    if location.is_zip and location.path.is_file():
        return Location(location.address, _prefix_in_zip(location.path))
    return location


def same_store(first: StorePath | Location, second: StorePath | Location) -> bool:
    """Whether two paths name the same store once links are followed."""
    a, b = locate(first), locate(second)
    if a.is_url or b.is_url:
        return a.address.rstrip("/") == b.address.rstrip("/")
    return os.path.realpath(a.path) == os.path.realpath(b.path)


def _nested(first: Location, second: Location) -> bool:
    """Whether one store lies somewhere inside the other, as a level or a sub-group does."""
    if first.is_url or second.is_url:
        a, b = (f"{location.address.rstrip('/')}/" for location in (first, second))
        return a.startswith(b) or b.startswith(a)
    one, other = (Path(os.path.realpath(place.path)) for place in (first, second))
    return one.is_relative_to(other) or other.is_relative_to(one)


def check_distinct(output: StorePath | Location, *inputs: StorePath | Location) -> None:
    """Raise when an output would replace one of its inputs, or lie inside it.

    Parameters
    ----------
    output : path or URL
        The store to be written.
    *inputs : path or URL
        Stores that are read; links are followed.
    """
    for source in inputs:
        if same_store(output, source):
            raise StoreError(
                f"{locate(output)}: is also the input {locate(source)}",
                remedy="write to another path",
            )
        if _nested(locate(output), locate(source)):
            raise StoreError(
                f"{locate(output)}: one of it and the input {locate(source)} lies inside the other",
                remedy="write to a path of its own",
            )


def _first_parts(names: list[str], prefix: str) -> tuple[str, ...]:
    start = f"{prefix}/" if prefix else ""
    inside = (name[len(start) :] for name in names if name.startswith(start))
    return tuple(sorted({part.partition("/")[0] for part in inside if "/" in part}))


def _prefix_in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path}: not a zip archive ({error})") from error
    holders = [n.rpartition("/")[0] for n in names if n.rpartition("/")[2] in _METADATA_NAMES]
    if not holders:
        raise FormatError(f"{path}: the archive holds no Zarr metadata ({', '.join(names[:3])} …)")
    return min(holders, key=lambda folder: (folder.count("/") + bool(folder), folder))


def _remove_tree(folder: Path) -> None:
    """Remove a folder in which zarr may still be renaming metadata beside a write that failed."""
    for _ in range(_MOST_TRIES):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
            time.sleep(0.05)
        if not folder.exists():
            return
    shutil.rmtree(folder)
