"""Writing a store: blocks first, pyramid next, metadata and name last."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.area import ReduceMethod, fill_level
from mosaicflow.io.zarr.claims import Claims
from mosaicflow.io.zarr.contrast import Contrast, ContrastSample
from mosaicflow.io.zarr.copying import copy_into
from mosaicflow.io.zarr.errors import OmeZarrWarning
from mosaicflow.io.zarr.location import StorePath, check_distinct, locate
from mosaicflow.io.zarr.metadata import (
    LevelScale,
    NgffVersion,
    PyramidNotes,
    add_contrast,
    build_attributes,
    own_block,
)
from mosaicflow.io.zarr.pyramid import (
    DownscaleAxes,
    cap_levels,
    doubled_scale,
    halved_axes,
    halved_shape,
)
from mosaicflow.io.zarr.reader import LevelReader, readers_below
from mosaicflow.io.zarr.target import ArraySpec, Storage, TargetArray, create_array, new_spec
from mosaicflow.io.zarr.units import Resolution, check_plausible, resolution_to_um
from mosaicflow.io.zarr.values import as_block, is_lazy
from mosaicflow.io.zarr.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import dask.array as da
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from mosaicflow.io.zarr.codecs import Compressor

__all__ = ["OmeZarrWriter", "write_regions"]

_log = logging.getLogger(__name__)
_METHOD_NAMES = {"mean": "block mean", "nearest": "central voxel"}


class OmeZarrWriter:
    """Write one image region by region, then finish it with a power-of-two pyramid.

    A local store grows in a hidden sibling of `path` and takes its place when it is complete, so
    that nobody ever reads half of it. Regions that share no chunk (or shard) can be written from
    several threads; sent to another process, a writer becomes a handle on the same unfinished
    store, which can write but not finish.

    Parameters
    ----------
    path : path or URL
        Output; an existing store there is replaced as a whole when the new one is complete.
    shape : sequence of int
        (z, y, x), or (y, x) for a projection.
    chunks : int, sequence of int, or nested sequence, optional
        Chunk size per axis; dask's `.chunks` is understood. Default (64, 256, 256), or (512, 512).
    dtype : dtype, optional
        uint8, uint16, float32, float64 or complex64.
    overwrite : bool, optional
        False refuses to replace anything.
    compressor : str, optional
        blosc (= blosc-lz4), blosc-zstd, zstd, lz4, gzip or none.
    ngff_version : {"0.4", "0.5"}, optional
        0.4 writes Zarr v2, 0.5 writes Zarr v3.
    sharding_factor : int, optional
        Chunks per file along y and x; needs 0.5, where the default is 4.
    name : str, optional
        Name of the image; default is the file name without its suffix.
    attrs : mapping, optional
        Content of the `mosaicflow` attribute block.
    checksums : bool, optional
        Write the crc32c of every file of a local store beside it, as `<stem>.crc32c.json`.
    resume_key : str, optional
        Digest of all that decides the content: regions that a killed writer with the same one
        finished are kept, see `holds`. For a local store with checksums.
    find_contrast : bool, optional
        Tell viewers what to show as black and white, from some of the voxels as they are written.
    """

    _work_kind = "tmp"

    def __init__(  # the documented call fixes five positional arguments
        self,
        path: StorePath,
        shape: Sequence[int],
        chunks: grid.ChunksLike = None,
        dtype: DTypeLike = np.float32,
        overwrite: bool = True,
        *,
        compressor: Compressor = "blosc",
        ngff_version: NgffVersion = "0.4",
        sharding_factor: int | None = None,
        name: str | None = None,
        attrs: Mapping[str, Any] | None = None,
        checksums: bool = False,
        resume_key: str = "",
        find_contrast: bool = False,
    ) -> None:
        storage = Storage(compressor, ngff_version, sharding_factor)
        self._spec = new_spec(shape, chunks, np.dtype(dtype), storage)
        self._final = locate(path)
        if compressor == "lz4" and ngff_version == "0.4":
            _log.warning("%s: plain lz4 is not read by Neuroglancer; blosc is", self._final)
        self.attrs: dict[str, Any] = dict(attrs or {})
        # What viewers are told to show; None: what `find_contrast` finds, or their own choice.
        self.contrast: Contrast | None = None
        self._sample = ContrastSample(self._spec.shape) if find_contrast else None
        self._name = name or self._final.name
        self._overwrite = overwrite
        self._creator = os.getpid()
        self._finished = False
        self._claims = Claims(str(self.path))
        self._checksums = checksums
        self._workspace = Workspace(
            self._final,
            ngff_version,
            kind=self._work_kind,
            overwrite=overwrite,
            checksums=checksums,
            resume_key=resume_key,
        )
        self._target = create_array(self._workspace, "0", self._spec)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_creator": -1}

    def __repr__(self) -> str:
        state = "finished" if self._finished else "unfinished"
        return f"<{type(self).__name__} {self._final}: {self.shape} {self.dtype}, {state}>"

    @property
    def path(self) -> Path | str:
        """Path (of a local store) or URL of the finished store."""
        return self._final.address if self._final.is_url else self._final.path

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._spec.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._spec.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._spec.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Extent of the unit of reading."""
        return self._spec.chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Extent of one file where it holds several chunks."""
        return self._spec.shards

    def __getitem__(self, key: grid.IndexKey) -> NDArray[Any]:
        """Read back what was written so far; a finished store is opened with `open_level`."""
        self._check_open()
        return np.asarray(self._target.array[key])

    def __setitem__(self, key: grid.IndexKey, value: ArrayLike | da.Array) -> None:
        """Write a region of whole chunks (shards).

        Parameters
        ----------
        key : int, slice, Ellipsis or tuple of these
            Slices have step 1. The region starts and ends on chunk (shard) borders or at the end
            of the array; anything else is refused.
        value : array_like, dask.array.Array or scalar
            Broadcasts to the region. A dask array is computed and written block by block.
        """
        self._check_open()
        parsed = grid.parse_key(key, self.shape)
        grid.check_aligned(parsed.region, self.shape, self._spec.block)
        if 0 in parsed.shape:
            return
        if is_lazy(value):
            self._store_dask(parsed, value)
            return
        if isinstance(value, LevelReader):
            check_distinct(self._final, value.location)
        block = as_block(value, parsed, self.dtype, str(self.path))
        with self._claims.on(parsed.region):
            self._target.write(parsed.region, self._look_at(parsed.region, block))
            self._target.keep(parsed.region)

    def _look_at(self, region: grid.Region, block: NDArray[Any]) -> NDArray[Any]:
        if self._sample is not None:
            self._sample.take(region, block)
        return block

    def holds(self, region: grid.Region) -> bool:
        """Whether a killed writer of the same content wrote a region, and it is still as it was.

        Only regions that were written as one, by item assignment, are known.
        """
        self._check_open()
        return self._target.holds(region)

    def render(self, region: grid.Region, chunk: Callable[[grid.Region], NDArray[Any]]) -> None:
        """Write one file, asking for its chunks: a shard is never held as a whole.

        Parameters
        ----------
        region : tuple of slice
            One of `write_regions`.
        chunk : callable
            Gives the content of a chunk, in the writer's dtype, by its place in the array. The
            chunks of a shard are asked for and encoded by several threads.
        """
        self._check_open()
        grid.check_aligned(region, self.shape, self._spec.block)
        with self._claims.on(region):
            self._target.render(region, lambda part: self._look_at(part, chunk(part)))

    def _check_open(self) -> None:
        if self._finished:
            raise RuntimeError(
                f"{self.path}: the store is finished: nothing can be added, and it is read with"
                " read_omezarr or open_level"
            )
        self._workspace.check_owned()

    def _store_dask(self, key: grid.Key, value: da.Array) -> None:
        import dask.array as da

        from mosaicflow.io.zarr.lazy import align_blocks

        for source in readers_below(value):
            check_distinct(self._final, source.location)
        if self._store_directly(key, value):
            return
        whole = da.broadcast_to(value, key.value_shape)  # type: ignore[no-untyped-call]
        blocks = align_blocks(whole.reshape(key.shape), self._spec.block)
        target: Any = self  # dask asks for __setitem__ only, its annotation for more
        da.store(blocks, target, regions=key.region, lock=False, compute=True)

    def fill(
        self, read: Callable[[grid.Region], NDArray[Any]], source_chunks: Sequence[int]
    ) -> None:
        """Write the whole array from something that is read region by region.

        Parameters
        ----------
        read : callable
            Returns the voxels of a region, in the type of the store.
        source_chunks : sequence of int
            Extent of what the source decodes as a whole whatever part of it is read.
        """
        self._check_open()
        copy_into(self._target, tuple(slice(0, n) for n in self.shape), read, source_chunks)

    def _store_directly(self, key: grid.Key, value: da.Array) -> bool:
        """Copy what is a part of another store as it is, without a dask task per chunk."""
        from mosaicflow.io.zarr.lazy import StoreArray

        if not isinstance(value, StoreArray) or value.reader is None:
            return False
        if value.dtype != self.dtype or value.shape != key.shape:
            return False

        def read(region: grid.Region) -> NDArray[Any]:
            return value.read(grid.relative(region, key.region))

        with self._claims.on(key.region):
            copy_into(self._target, key.region, read, [int(n) for n in value.chunksize])
        return True

    def finalize(
        self,
        resolution: Resolution,
        n_levels: int = 0,
        *,
        downscale_axes: DownscaleAxes = "yx",
        method: ReduceMethod = "mean",
    ) -> None:
        """Write the pyramid and the metadata, and give the store its name.

        Parameters
        ----------
        resolution : float or sequence of float
            Millimetres per pixel, one value or one per axis.
        n_levels : int, optional
            Number of levels in addition to the full resolution, each half of the one before.
        downscale_axes : {"yx", "zyx"}, optional
            Axes that are halved.
        method : {"mean", "nearest"}, optional
            Means for images, the central voxel for labels.
        """
        pitch = self._begin_finalize(resolution)
        count = cap_levels(n_levels, self.shape, str(self.path))
        halved_axes(downscale_axes, self.shape)  # raises on an unknown name, whatever the count
        levels = [LevelScale("0", pitch)]
        target = self._target
        for number in range(1, count + 1):
            finer = target.array
            halved = halved_axes(downscale_axes, finer.shape)
            target = self._create_level(number, halved_shape(finer.shape, halved))
            ratios = [Fraction(2 if half else 1) for half in halved]
            fill_level(finer, target, ratios, method=method)
            levels.append(LevelScale(str(number), doubled_scale(levels[-1].scale_um, halved)))
        notes = PyramidNotes(method, _METHOD_NAMES[method], "power_of_two", downscale_axes)
        self._publish(levels, notes)

    def _create_level(self, number: int, shape: tuple[int, ...]) -> TargetArray:
        chunks = tuple(min(c, n) for c, n in zip(self.chunks, shape, strict=True))
        spec = ArraySpec(shape, chunks, self.dtype, self._spec.storage)
        return create_array(self._workspace, str(number), spec)

    def _begin_finalize(self, resolution: Resolution) -> tuple[float, ...]:
        if self._creator != os.getpid():
            raise RuntimeError(f"{self.path}: only the process that made the writer can finish it")
        if self._finished:
            raise RuntimeError(f"{self.path}: finalize was called before")
        self._workspace.check_owned()
        if self._workspace.journal is not None:
            self._workspace.journal.note()
        pitch = resolution_to_um(resolution, self.ndim)
        check_plausible(pitch, str(self.path), self.attrs)
        return pitch

    def _publish(self, levels: Sequence[LevelScale], notes: PyramidNotes) -> None:
        attributes = build_attributes(self._name, levels, notes, self._spec.storage.ngff_version)
        contrast = self.contrast or (self._sample.window() if self._sample else None)
        if contrast is not None:
            add_contrast(attributes, *contrast)
        attributes["mosaicflow"] = own_block(self.attrs, str(self.path))
        self._workspace.write_attributes(attributes)
        self._finished = True
        self._workspace.publish()

    def discard(self) -> None:
        """Give up: remove what was written so far."""
        if not self._finished:
            self._workspace.discard()
            self._finished = True

    @contextlib.contextmanager
    def discarded_on_error(self) -> Iterator[None]:
        """Remove what was written when it fails: nobody can go on with half a copy."""
        try:
            yield
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workspace.release()
        if kind is None and not self._finished:
            warnings.warn(
                f"{self.path}: finalize was not called, so the store stays unfinished",
                OmeZarrWarning,
                stacklevel=2,
            )


def write_regions(writer: OmeZarrWriter) -> list[grid.Region]:
    """Return the regions that cover a writer's array, each exactly one file of the store.

    Parameters
    ----------
    writer : OmeZarrWriter

    Returns
    -------
    list of tuple of slice
        Disjoint, in C order; any of them may be written at the same time as any other.
    """
    return grid.regions(writer.shape, writer.shards or writer.chunks)
