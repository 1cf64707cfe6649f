"""Which parts of an unfinished store are finished: a killed writer's successor goes on from there.

The journal lies beside the store. Its first line says what the store is made from, each further
one names a region and the checksums of its files, and is written when these are on the disk.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.io.checksums import checksum
from mosaicflow.io.disk import sync
from mosaicflow.io.tables import write_text
from mosaicflow.io.zarr.grid import show

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from mosaicflow.io.zarr.grid import Region

__all__ = [
    "Journal",
    "finished_stores",
    "journal_path",
    "kept_for_later",
    "kept_until_recorded",
    "outlives_store",
]

_SUFFIX = ".journal"
# Regions are noted together at most this often [s]. One sync takes 0.06 s on a busy disk, so that
# this is 1 %; a kill loses as much work, of volumes that take a minute and more.
_EVERY_S = 5.0


def journal_path(store: Path) -> Path:
    """Name the journal of an unfinished store, beside it."""
    return store.with_name(f"{store.name}{_SUFFIX}")


# Of the process: who asks for it is above the stage that writes the store.
_OUTLIVES: ContextVar[bool] = ContextVar("journals outlive their stores", default=False)


@contextmanager
def kept_until_recorded() -> Iterator[None]:
    """Leave the journals of finished stores where they are.

    For whoever publishes a store and records that it counts: until then a kill would cost the
    whole of it. Whoever clears the folder removes them.
    """
    token = _OUTLIVES.set(True)
    try:
        yield
    finally:
        _OUTLIVES.reset(token)


def outlives_store() -> bool:
    """Whether a journal stays when its store is finished."""
    return _OUTLIVES.get()


def finished_stores(folder: Path) -> set[Path]:
    """Give the paths that the stores of all journals in a folder have when they are finished."""
    stores = (one.name.removesuffix(_SUFFIX) for one in folder.glob(f".*{_SUFFIX}"))
    # .a.ome.zarr.base.tmp and .a.ome.zarr.tmp become a.ome.zarr
    return {folder / one[1:].removesuffix(".tmp").removesuffix(".base") for one in stores}


def kept_for_later(folder: Path) -> set[Path]:
    """Find the stores of a folder that the next writer goes on with.

    Parameters
    ----------
    folder : Path
        Where a task was writing.

    Returns
    -------
    set of Path
        Journals, and the stores that they are of, unfinished or under their names.
    """
    journals = set(folder.glob(f".*{_SUFFIX}"))
    unfinished = {one.with_name(one.name.removesuffix(_SUFFIX)) for one in journals}
    return journals | {one for one in unfinished | finished_stores(folder) if one.is_dir()}


class Journal:
    """The finished regions of one unfinished store.

    Parameters
    ----------
    store : Path
        Folder of the store.
    key : str
        Digest of everything that decides its content.
    """

    def __init__(self, store: Path, key: str) -> None:
        self._store = store
        self._path = journal_path(store)
        self._key = key
        self._regions: dict[str, dict[str, str]] = {}
        self._open: dict[str, dict[str, str]] = {}  # written, but perhaps not on the disk
        self._lock = threading.Lock()
        self._noted = time.monotonic()

    def take_up(self) -> bool:
        """Go on with what lies there if it was to become the same store.

        Whatever no finished region names, metadata included, is removed. What the regions hold is
        compared when they are asked for.

        Returns
        -------
        bool
            False where there is nothing to go on with.
        """
        regions = _read(self._path, self._key) if self._store.is_dir() else {}
        if not regions:
            return False
        _prune(self._store, {name for files in regions.values() for name in files})
        self._begin(regions)
        return True

    def arrays(self) -> set[str]:
        """Name the arrays that the finished regions of this very store are parts of."""
        regions = _read(self._path, self._key)
        return {name.partition("/")[0] for files in regions.values() for name in files}

    def start(self) -> None:
        """Begin with nothing."""
        self._begin({})

    def _begin(self, regions: Mapping[str, dict[str, str]]) -> None:
        self._regions = dict(regions)
        lines = [{"key": self._key}, *({"region": r, "files": f} for r, f in regions.items())]
        write_text(self._path, "".join(f"{json.dumps(line)}\n" for line in lines))

    def holds(self, array: str, region: Region) -> dict[str, str] | None:
        """Give the checksums of a region's files if it is finished and still what was written."""
        files = self._regions.get(f"{array}{show(region)}")
        if files is None or not all(_is_same(self._store / n, s) for n, s in files.items()):
            return None
        return files

    def add(self, array: str, region: Region, files: Mapping[str, str]) -> None:
        """Note a finished region, soon.

        Parameters
        ----------
        array : str
            Name of the array in the store.
        region : tuple of slice
            The region.
        files : mapping of str to str
            Name of each of its files in the store -> crc32c as 8 hexadecimal digits.
        """
        with self._lock:
            self._open[f"{array}{show(region)}"] = dict(files)
            if time.monotonic() - self._noted >= _EVERY_S:
                self._note()

    def note(self) -> None:
        """Note all that was added: the data is on the disk before the journal names it."""
        with self._lock:
            self._note()

    def _note(self) -> None:
        sync(self._store)
        lines = (json.dumps({"region": r, "files": f}) for r, f in self._open.items())
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        self._open.clear()
        self._noted = time.monotonic()

    def remove(self) -> None:
        """Forget everything."""
        self._path.unlink(missing_ok=True)


def _read(path: Path, key: str) -> dict[str, dict[str, str]]:
    """Read the regions of a journal, up to a last line that was cut; none of another store's."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(first) != {"key": key}:
            return {}
    except (OSError, ValueError, RecursionError):
        return {}
    regions: dict[str, dict[str, str]] = {}
    for line in lines:
        try:
            found = json.loads(line)
            regions[found["region"]] = _checked(found["files"])
        except (ValueError, TypeError, KeyError, RecursionError):
            break
    return regions


def _checked(files: object) -> dict[str, str]:
    """Refuse names that leave the store, as a journal from elsewhere may hold them."""
    if not isinstance(files, dict) or not all(isinstance(sum_, str) for sum_ in files.values()):
        raise TypeError("no list of files")
    if any({"", ".", ".."} & set(name.split("/")) or "\0" in name for name in files):
        raise ValueError("a name leads elsewhere")
    return files


def _is_same(path: Path, known: str) -> bool:
    try:
        return checksum(path) == known
    except OSError:
        return False


def _prune(store: Path, names: Container[str]) -> None:
    """Remove all files of a store but those named, and all links."""
    for folder, folders, files in os.walk(store):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for path in (Path(folder, name) for name in (*files, *links)):
            if path.is_symlink() or path.relative_to(store).as_posix() not in names:
                path.unlink()
