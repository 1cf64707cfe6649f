"""Comparing what is read of a store with the checksums that were taken when it was written."""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import StoreError
from mosaicflow.io.checksums import DamageError, checksum, find_checksums, own_checksum
from mosaicflow.io.zarr.grid import chunk_name, touched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import zarr

    from mosaicflow.io.zarr.location import Location

__all__ = [
    "ChunkChecks",
    "damaged_store",
    "endless_chunk",
    "known_sums",
    "refuse_endless",
    "undecodable",
]

_METADATA = frozenset({".zattrs", ".zgroup", ".zarray", "zarr.json"})
_REMEDY = (
    "mosaicflow run makes it again; otherwise run the stage that wrote it, or remove the"
    " .crc32c.json beside it if the change was meant"
)


def known_sums(location: Location) -> dict[str, str]:
    """Find the checksums of a local store; empty where it came without any."""
    found = find_checksums(location.path) if location.is_folder and not location.prefix else None
    return {} if found is None else found.of(os.path.basename(os.path.realpath(location.address)))


def damaged_store(location: Location, what: str) -> DamageError:
    """Make the error about a store that is not what was written."""
    name = os.path.basename(os.path.realpath(location.address))
    return DamageError(f"{location}: {what}", remedy=_REMEDY, output=name)


def undecodable(location: Location | str, what: str) -> StoreError:
    """Make the error about a store of which nobody knows what was written."""
    return StoreError(
        f"{location}: {what}",
        remedy="the file is truncated or damaged; copy or create it again"
        " (mosaicflow info --check lists all damaged chunks)",
    )


def refuse_endless(
    location: Location, level: str, array: zarr.Array[Any], selection: Sequence[int | slice]
) -> None:
    """Look whether the chunks that a selection touches are files: a pipe would be waited for.

    Parameters
    ----------
    location : Location
        The store, a folder.
    level : str
        Name of the array.
    array : zarr.Array
        The open array.
    selection : sequence of int or slice
        What is to be read, in the array's own axes.

    Raises
    ------
    StoreError
        One of them is a pipe or a device.
    """
    for index in _blocks(array, selection):
        name = chunk_name(level, array, index)
        path = os.path.join(location.address, name)
        try:
            mode = os.stat(path).st_mode
        except OSError:  # absent: the fill value; whatever else is wrong shows as it is read
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise endless_chunk(location, name)


def endless_chunk(location: Location, name: str) -> StoreError:
    """Make the error about a chunk that is a pipe or a device."""
    return StoreError(
        f"{location}: chunk {name} is a pipe or a device, expected a file",
        remedy="remove it, or copy the store again",
    )


def _blocks(array: zarr.Array[Any], selection: Sequence[int | slice]) -> Iterator[tuple[int, ...]]:
    sizes = array.shards or array.chunks
    zipped = zip(selection, array.shape, sizes, strict=True)
    return itertools.product(*(touched(*axis) for axis in zipped))


class ChunkChecks:
    """The checksums of one level; each chunk is compared once, before it is first read.

    Parameters
    ----------
    location : Location
        The store.
    level : str
        Name of the array.
    array : zarr.Array
        The open array.
    known : mapping of str to str
        Name of a file in the store -> its crc32c.
    """

    def __init__(
        self, location: Location, level: str, array: zarr.Array[Any], known: Mapping[str, str]
    ) -> None:
        self._location = location
        self._level = level
        self._array = array
        self._known = {name: s for name, s in known.items() if name.startswith(f"{level}/")}
        # Chunks with a checksum of their own are compared where they are decoded.
        self._only_there = "crc32c" in str(array.metadata.to_dict().get("codecs", ""))
        self._seen: set[tuple[int, ...]] = set()
        for name, value in known.items():
            folder, _, base = name.rpartition("/")
            if base in _METADATA and folder in ("", level):
                self._judge(name, value, self._look(name, value, full=True))

    @classmethod
    def of(cls, location: Location, level: str, array: zarr.Array[Any]) -> ChunkChecks | None:
        """Find the checksums of a level; None where the store came without any."""
        known = known_sums(location)
        return cls(location, level, array, known) if known else None

    def check(self, selection: Sequence[int | slice]) -> None:
        """Compare the chunks that a selection touches.

        Raises
        ------
        DamageError
            One of them is not what was written.
        """
        for index in _blocks(self._array, selection):
            if self.is_new(index):
                name = chunk_name(self._level, self._array, index)
                found = self._look(name, self._known.get(name), full=not self._only_there)
                self.judge(index, found)

    def is_new(self, index: tuple[int, ...]) -> bool:
        """Whether a chunk was not compared yet."""
        return index not in self._seen

    def judge(self, index: tuple[int, ...], found: str | None) -> None:
        """Compare a chunk that was read.

        Parameters
        ----------
        index : tuple of int
            Number of the chunk along each axis.
        found : str or None
            Its crc32c; None where there is no file.

        Raises
        ------
        DamageError
            It is not what was written.
        """
        name = chunk_name(self._level, self._array, index)
        self._judge(name, self._known.get(name), found)
        self._seen.add(index)

    def _look(self, name: str, known: str | None, *, full: bool) -> str | None:
        """Take the checksum of a file; where its decoder does so, the one that it ends in."""
        path = Path(self._location.address, name)
        if known is None:
            return "" if path.exists() else None
        try:
            if full:
                return checksum(path)
            if self._array.shards is None:
                return own_checksum(path)
            return known if path.is_file() else None  # a shard ends in that of its index
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _judge(self, name: str, known: str | None, found: str | None) -> None:
        if known == found:
            return
        if known is None:
            said = "was not written with it"
        else:
            said = "is missing" if found is None else "is not what was written"
        raise damaged_store(self._location, f"chunk {name} {said}")
