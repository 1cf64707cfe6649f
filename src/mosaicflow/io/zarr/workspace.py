"""The unfinished store: a temporary sibling that becomes the output by one rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mosaicflow.errors import FormatError, MosaicflowError, StoreError
from mosaicflow.io.checksums import checksum, sums_of, sums_path, write_checksums
from mosaicflow.io.zarr.codecs import (
    check_compressor,
    compressor_for,
    encoder_for,
    with_fast_pipeline,
)
from mosaicflow.io.zarr.errors import StoreExistsError
from mosaicflow.io.zarr.grid import indexed_regions, regions, shard_shape, shifted
from mosaicflow.io.zarr.journal import Journal, journal_path
from mosaicflow.io.zarr.metadata import zarr_format_of
from mosaicflow.io.zarr.remote import check_ranges
from mosaicflow.io.zarr.shards import write_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import Region
    from mosaicflow.io.zarr.location import Location

__all__ = [
    "ArraySpec",
    "Storage",
    "TargetArray",
    "Workspace",
    "create_array",
    "open_array",
    "work_location",
]


# Unfinished stores of this process by address.
_LIVING: weakref.WeakValueDictionary[str, Workspace] = weakref.WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Storage:
    """Flavour and compression of a store.

    Parameters
    ----------
    compressor : str
        Codec name.
    ngff_version : str
        `0.4` or `0.5`.
    sharding_factor : int or None
        Chunks per shard along y and x; None is 1 with 0.4 and 4 with 0.5.
    """

    compressor: str
    ngff_version: str
    sharding_factor: int | None

    def __post_init__(self) -> None:
        check_compressor(self.compressor)
        shard_shape((1, 1), self.sharding_factor, self.zarr_format)

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """Zarr version of the flavour."""
        return zarr_format_of(self.ngff_version)


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """How an array is stored: shape, unit of reading, element type, and `Storage`."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    storage: Storage

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a file that holds several chunks, or None."""
        return shard_shape(self.chunks, self.storage.sharding_factor, self.storage.zarr_format)

    @property
    def block(self) -> tuple[int, ...]:
        """Shape of one file: the unit of writing."""
        return self.shards or self.chunks


def work_location(final: Location, kind: str = "tmp") -> Location:
    """Return where a store is written before it is complete."""
    if final.is_folder:
        return final.sibling(f".{final.path.name}.{kind}")
    # An object store cannot rename: only scratch data goes elsewhere.
    name = final.address.rstrip("/").rpartition("/")[2]
    return final if kind == "tmp" else final.sibling(f".{name}.{kind}")


def open_array(location: Location, path: str, zarr_format: int) -> zarr.Array[Any]:
    """Open one array of a store for reading, with the fast codecs."""
    import zarr

    store, key = location.store(), location.key(path)

    def make() -> zarr.Array[Any]:
        name = f"{path}/{'.zarray' if zarr_format == 2 else 'zarr.json'}".strip("/")
        copy: Any = location.metadata(name) if location.read(name) is None else None
        if copy is not None:
            return zarr.Array(zarr.AsyncArray(copy, zarr.storage.StorePath(store, key)))
        return zarr.open_array(store, path=key, mode="r", zarr_format=2 if zarr_format == 2 else 3)

    try:
        array = with_fast_pipeline(make)
    except (OSError, MosaicflowError):
        raise
    # The library meets metadata of any content, and fails on it in any way it likes.
    except Exception as error:
        raise FormatError(
            f"{location}: array {path!r} {_why_not_open(error)}",
            remedy="store it again, with blosc, zstd or gzip, by the program that wrote it",
        ) from error
    if array.shards is not None:
        member = f"{key}/zarr.json".strip("/")
        check_ranges(location.address, member, location.patience_s)
    return array


def _why_not_open(error: Exception) -> str:
    if type(error).__name__ == "UnknownCodecError":  # of zarr, and of numcodecs
        # Each version of them has a sentence of its own; the name stands in quotes in all.
        name = re.search(r"'+([^']+)'", str(error))
        return f"is stored with a codec that is not supported ({name[1] if name else error})"
    return f"cannot be opened ({error!r:.200})"


def create_array(workspace: Workspace, path: str, spec: ArraySpec) -> TargetArray:
    """Create an empty array in an unfinished store."""
    import zarr

    location = workspace.location
    store = location.store(read_only=False)
    zarr_format = spec.storage.zarr_format
    compressor = compressor_for(spec.storage.compressor, zarr_format, spec.dtype)
    options: dict[str, Any] = {"zarr_format": zarr_format}
    if zarr_format == 2:
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    else:
        options["chunk_key_encoding"] = {"name": "default", "separator": "/"}
        options["dimension_names"] = tuple("zyx"[-len(spec.shape) :])

    def make() -> zarr.Array[Any]:
        return zarr.create_array(
            store,
            name=location.key(path),
            shape=spec.shape,
            dtype=spec.dtype.newbyteorder("<"),
            chunks=spec.chunks,
            shards=spec.shards,
            compressors=compressor,
            filters=None,
            fill_value=spec.dtype.type(0),
            order=None if zarr_format == 3 else "C",
            config={"write_empty_chunks": False},
            overwrite=workspace.journal is None,  # which knows what of it is finished
            **options,
        )

    array = with_fast_pipeline(make)
    return TargetArray(location, path, spec, array, workspace.sums, workspace.journal)


@dataclass(frozen=True)
class TargetArray:
    """An array of an unfinished store, written in whole files.

    Parameters
    ----------
    location : Location
        The store.
    path : str
        Name of the array.
    spec : ArraySpec
        How it is stored.
    array : zarr.Array
        The open array.
    sums : dict of str to str or None
        Name of a file in the store -> its crc32c, taken as it is written.
    journal : Journal or None
        Knows which regions a kill does not cost.
    """

    location: Location
    path: str
    spec: ArraySpec
    array: zarr.Array[Any]
    sums: dict[str, str] | None
    journal: Journal | None = None

    def holds(self, region: Region) -> bool:
        """Whether a killed writer finished a region, and it is still as it was."""
        files = None if self.journal is None else self.journal.holds(self.path, region)
        if files is None or self.sums is None:
            return False
        self.sums.update(files)
        return True

    def keep(self, region: Region) -> None:
        """Have a region that was written survive a kill, where a journal is kept."""
        if self.journal is not None and self.sums is not None:
            sums = self.sums
            files = {n: sums[n] for n in self.names(region) if n in sums}
            self.journal.add(self.path, region, files)

    def write(self, region: Region, content: NDArray[Any]) -> None:
        """Write a region of whole files."""
        if self.spec.shards is None:
            self.array[region] = content
            self._note(region)
            return
        for inner in regions(content.shape, self.spec.shards):
            block = content[inner]
            self._write_shard(shifted(inner, region), block.__getitem__)

    def render(self, region: Region, chunk: Callable[[Region], NDArray[Any]]) -> None:
        """Write the region of one file, asking for its chunks by their place in the array."""
        if self.spec.shards is None:
            self.array[region] = chunk(region)
            self._note(region)
        else:
            self._write_shard(region, lambda inner: chunk(shifted(inner, region)))

    def _write_shard(self, region: Region, render: Callable[[Region], NDArray[Any]]) -> None:
        encode = encoder_for(self.spec.storage.compressor)
        sums = write_shard(self.location, self.path, self.array, region, render, encode)
        if self.sums is not None:
            self.sums.update(sums)

    def names(self, region: Region) -> Iterator[str]:
        """Name the files of a region inside the store; one of zeros only is none."""
        first = tuple(p.start // b for p, b in zip(region, self.spec.block, strict=True))
        shape = tuple(part.stop - part.start for part in region)
        for index, _ in indexed_regions(shape, self.spec.block):
            place = tuple(a + b for a, b in zip(first, index, strict=True))
            yield f"{self.path}/{self.array.metadata.encode_chunk_key(place)}"

    def _note(self, region: Region) -> None:
        """Take the checksums of the chunks just written, while the system still holds them."""
        if self.sums is None:
            return
        for name in self.names(region):
            # A chunk of zeros is no file.
            with contextlib.suppress(FileNotFoundError):
                self.sums[name] = checksum(f"{self.location.address}/{name}")


class Workspace:
    """Ownership of an unfinished store, from an empty group to the rename.

    Parameters
    ----------
    final : Location
        Where the finished store will be.
    ngff_version : str
        `0.4` or `0.5`.
    overwrite : bool
        Whether a store that exists at `final` is replaced.
    kind : str
        Suffix of the temporary sibling.
    checksums : bool
        Whether the checksums of a local store are written beside it.
    resume_key : str
        Digest of all that decides the content: what a killed writer with the same one finished is
        kept. Empty, or without checksums: nothing is.
    """

    def __init__(
        self,
        final: Location,
        ngff_version: str,
        *,
        overwrite: bool,
        kind: str = "tmp",
        checksums: bool = False,
        resume_key: str = "",
    ) -> None:
        self.final = final
        self.location = work_location(final, kind)
        self._ngff_version = ngff_version
        self._overwrite = overwrite
        self._lock: int | None = None
        self._superseded = False
        self.sums: dict[str, str] | None = {} if checksums and final.is_folder else None
        self.resume_key = resume_key
        self.journal: Journal | None = None
        if resume_key and self.sums is not None:
            self.journal = Journal(self.location.path, resume_key)
        self._shared = False
        self._check_output()
        try:
            self._start()
        except BaseException:
            self.release()  # whoever keeps the error would keep the lock
            raise
        _LIVING[self.location.address] = self

    def __getstate__(self) -> dict[str, Any]:
        self._shared = True
        return {**self.__dict__, "_lock": None}

    def __del__(self) -> None:
        self.release()

    def check_owned(self) -> None:
        """Raise when a later writer of this process has taken the place of this one."""
        if self._superseded:
            raise StoreError(f"{self.final}: another writer of the same path was made since")

    def _check_output(self) -> None:
        if self.final.is_zip:
            raise StoreError(
                f"{self.final}: a zip archive is read only",
                remedy="write a folder and convert it with `mosaicflow convert`",
            )
        if self.final.address.startswith("http"):
            raise StoreError(
                f"{self.final}: a web server is read only", remedy="write to a folder or a bucket"
            )
        if not self._overwrite and self.final.exists():
            raise StoreExistsError(f"{self.final}: exists, and overwrite is off")

    def _start(self) -> None:
        import zarr

        if self.location.is_folder:
            self.location.path.parent.mkdir(parents=True, exist_ok=True)
            self._own_folder()
        else:
            self.location.remove()
        zarr.create_group(
            self.location.store(read_only=False),
            path=self.location.prefix,
            zarr_format=zarr_format_of(self._ngff_version),
        )

    def _own_folder(self) -> None:
        """Take the place of an earlier writer, and what it finished if that is of use."""
        path = self.location.path
        own = _LIVING.get(self.location.address)
        if own is not None:
            # A notebook cell that is run again: the first writer is given up, and told so.
            own._superseded = True
            own.release()
        if path.is_dir() and not path.is_symlink():
            # A living writer holds the lock; the kernel frees that of a dead one.
            self._lock = _lock_folder(self.location)
            if self._lock is not None and self.journal is not None and self.journal.take_up():
                return
            self.release()
        journal_path(path).unlink(missing_ok=True)
        self.location.remove()
        path.mkdir()
        self._lock = _lock_folder(self.location)
        if self.journal is not None:
            self.journal.start()

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Write the root attributes: the step that makes a store complete."""
        import zarr

        group = zarr.open_group(
            self.location.store(read_only=False),
            path=self.location.prefix,
            mode="r+",
            zarr_format=zarr_format_of(self._ngff_version),
            use_consolidated=False,
        )
        group.update_attributes(dict(attributes))

    def move_array(self, path: str, into: Workspace) -> None:
        """Move an array of a local store into another one."""
        (self.location.path / path).rename(into.location.path / path)
        if into.sums is not None and self.sums is not None:
            into.sums.update({n: s for n, s in self.sums.items() if n.startswith(f"{path}/")})

    def publish(self) -> None:
        """Put the store in its place. A link there is replaced, what it points to is left alone."""
        if self.location != self.final:
            self._check_output()
            if self.sums is None:
                _replace(self.location, self.final)
            else:
                self._publish_with(self.sums)
        if self.journal is not None:
            self.journal.remove()
        self.release()

    def _publish_with(self, sums: dict[str, str]) -> None:
        """Rename the store, and write its checksums beside it."""
        work, final = self.location.path, self.final.path
        # Metadata, and what other processes wrote, was not seen here.
        seen = {} if self._shared else sums
        known = {f"{work.name}/{name}": value for name, value in seen.items()}
        taken = sums_of(work.parent, [work.name], known)
        target = sums_path(final)
        target.unlink(missing_ok=True)  # of a store that is about to go
        _replace(self.location, self.final)
        write_checksums(
            target, {final.name + n.removeprefix(work.name): s for n, s in taken.items()}
        )

    def release(self) -> None:
        """Give up the lock on the temporary sibling."""
        handle, self._lock = self._lock, None
        _unlock(handle)

    def discard(self) -> None:
        """Remove everything written so far."""
        if self.journal is not None:
            self.journal.remove()
        self.location.remove()
        self.release()


def _lock_folder(location: Location) -> int | None:
    """Lock a folder against other writers, or return None where the file system cannot lock."""
    handle = os.open(location.path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StoreError(
            f"{location}: another process is writing this store",
            remedy="wait for it to end, or write to another path",
        ) from error
    except OSError:  # network file systems without locks
        os.close(handle)
        return None
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _replace(new: Location, final: Location) -> None:
    target = final.path
    if target.is_symlink() or target.is_file():
        target.unlink()
    if not target.exists():
        new.path.rename(target)
        return
    # A folder cannot be renamed onto a full one: the old store steps aside first and comes back
    # if the new one cannot take its place.
    aside = final.sibling(f".{target.name}.old.tmp").path
    if aside.exists():
        shutil.rmtree(aside)
    target.rename(aside)
    try:
        new.path.rename(target)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            aside.rename(target)
        raise
    shutil.rmtree(aside)
