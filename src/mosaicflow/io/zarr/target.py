"""Arrays under work: how they are stored, and whole shards written into them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mosaicflow.errors import FormatError, MosaicflowError
from mosaicflow.io.checksums import as_listed, write_summed
from mosaicflow.io.zarr.codecs import (
    check_compressor,
    compressor_for,
    encoder_for,
    with_fast_pipeline,
)
from mosaicflow.io.zarr.errors import ArgumentError
from mosaicflow.io.zarr.grid import (
    checked_shape,
    chunk_name,
    indexed_regions,
    normalize_chunks,
    regions,
    shard_shape,
    shifted,
)
from mosaicflow.io.zarr.metadata import zarr_format_of
from mosaicflow.io.zarr.remote import check_ranges
from mosaicflow.io.zarr.shards import full_chunk, is_empty, write_shard
from mosaicflow.threads import inner_threads, map_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import ChunksLike, Region
    from mosaicflow.io.zarr.journal import Journal
    from mosaicflow.io.zarr.location import Location
    from mosaicflow.io.zarr.workspace import Workspace

__all__ = ["ArraySpec", "Storage", "TargetArray", "create_array", "new_spec", "open_array"]

_DTYPES = ("uint8", "uint16", "float32", "float64", "complex64")


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


def new_spec(
    shape: Sequence[int], chunks: ChunksLike, dtype: np.dtype[Any], storage: Storage
) -> ArraySpec:
    """Check shape, chunks and type of a new array."""
    extent = checked_shape(shape)
    if dtype.name not in _DTYPES:
        raise ArgumentError(f"dtype {dtype} cannot be stored (expected one of {_DTYPES})")
    sizes = normalize_chunks(chunks, extent, dtype.itemsize)
    return ArraySpec(extent, sizes, dtype.newbyteorder("="), storage)


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
            self._write_chunks(region, content)
            return
        for inner in regions(content.shape, self.spec.shards):
            block = content[inner]
            self._write_shard(shifted(inner, region), block.__getitem__)

    def render(self, region: Region, chunk: Callable[[Region], NDArray[Any]]) -> None:
        """Write the region of one file, asking for its chunks by their place in the array."""
        if self.spec.shards is None:
            self._write_chunks(region, chunk(region))
        else:
            self._write_shard(region, lambda inner: chunk(shifted(inner, region)))

    def _write_shard(self, region: Region, render: Callable[[Region], NDArray[Any]]) -> None:
        sums = write_shard(self.location, self.path, self.array, region, render, self._encode)
        if self.sums is not None:
            self.sums.update(sums)

    def names(self, region: Region) -> Iterator[str]:
        """Name the files of a region inside the store; one of zeros only is none."""
        first = tuple(p.start // b for p, b in zip(region, self.spec.block, strict=True))
        shape = tuple(part.stop - part.start for part in region)
        for index, _ in indexed_regions(shape, self.spec.block):
            place = tuple(a + b for a, b in zip(first, index, strict=True))
            yield chunk_name(self.path, self.array, place)

    @property
    def _encode(self) -> Callable[[NDArray[Any]], bytes]:
        return encoder_for(self.spec.storage.compressor, self.spec.storage.zarr_format)

    def _write_chunks(self, region: Region, content: NDArray[Any]) -> None:
        """Write files of one chunk each."""
        if self.location.is_url:
            self.array[region] = content  # which sends several at a time
            return
        parts = regions(content.shape, self.spec.chunks)
        files = list(zip(self.names(region), parts, strict=True))
        encode = self._encode

        def write(file: tuple[str, Region]) -> None:
            self._write_chunk(file[0], content[file[1]], encode)

        map_threads(write, files, min(inner_threads(), len(files)))

    def _write_chunk(
        self, name: str, content: NDArray[Any], encode: Callable[[NDArray[Any]], bytes]
    ) -> None:
        if is_empty(content):
            (self.location.path / self.location.key(name)).unlink(missing_ok=True)
            return
        typed = content.astype(self.spec.dtype, copy=False)
        data = np.frombuffer(encode(full_chunk(typed, self.spec.chunks)), np.uint8)
        with self.location.open_new(name) as file:
            total = write_summed(file, data)
        if self.sums is not None:
            self.sums[name] = as_listed(total, bytes(data[-4:]))
