"""Reading one level of a store, lazily through dask or directly into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, MosaicflowError, StoreError
from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.checking import ChunkChecks, damaged_store, refuse_endless, undecodable
from mosaicflow.io.zarr.damage import UndecodableError, damaged_chunks
from mosaicflow.io.zarr.errors import ArgumentError
from mosaicflow.io.zarr.info import OmeZarrInfo, read_omezarr_info
from mosaicflow.io.zarr.target import open_array
from mosaicflow.io.zarr.units import check_plausible, um_to_mm
from mosaicflow.io.zarr.view import AxisView, LateralOrder, view_of

if TYPE_CHECKING:
    import dask.array as da
    import zarr
    from numpy.typing import DTypeLike, NDArray

    from mosaicflow.io.zarr.array_info import LevelInfo
    from mosaicflow.io.zarr.direct import DirectReader
    from mosaicflow.io.zarr.local import LocalReader
    from mosaicflow.io.zarr.location import Location, StorePath
    from mosaicflow.io.zarr.metadata import Axis

__all__ = [
    "LevelReader",
    "StoreChoice",
    "open_level",
    "open_levels",
    "read_omezarr",
    "readers_below",
]


class LevelReader:
    """One pyramid level as a read-only array with axes (z, y, x) or (y, x).

    Indexing with integers, slices and an Ellipsis reads straight into a new numpy array. Readers
    can be shared between threads, and sent to other processes, where they open the store anew.

    Parameters
    ----------
    info : OmeZarrInfo
        Metadata of the store.
    level : int
        Number of the level.
    view : AxisView
        Mapping of the array's axes.
    checked : bool
        Compare each chunk with the checksums beside the store, where there are any.
    """

    def __init__(
        self, info: OmeZarrInfo, level: int, view: AxisView, *, checked: bool = False
    ) -> None:
        self._info = info
        self._level: LevelInfo = info.levels[level]
        self._view = view
        self._array = open_array(info.location, self._level.path, info.zarr_format)
        self._is_folder = info.location.is_folder and not info.location.prefix
        self._checks = None
        if checked:
            self._checks = ChunkChecks.of(info.location, self._level.path, self._array)
        self.level = level
        self.shape: tuple[int, ...] = view.pick(self._array.shape)
        self.chunks: tuple[int, ...] = view.pick(self._array.chunks)
        shards = self._array.shards
        self.shards: tuple[int, ...] | None = None if shards is None else view.pick(shards)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype).newbyteorder("=")
        self._direct = _direct_reader(info, self._array)
        self._local = None
        if self._is_folder:
            self._local = _local_reader(info, self._level.path, self._array, self._checks)

    def __reduce__(self) -> tuple[Any, ...]:
        checked = self._checks is not None
        return partial(LevelReader, checked=checked), (self._info, self.level, self._view)

    def __repr__(self) -> str:
        return f"<LevelReader {self.location} level {self.level}: {self.shape} {self.dtype}>"

    @property
    def location(self) -> Location:
        """Where the store is."""
        return self._info.location

    @property
    def name(self) -> str:
        """Name of the image."""
        return self._info.name

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the level in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def resolution_mm(self) -> tuple[float, ...]:
        """Pitch per axis in millimetres."""
        return um_to_mm(self._view.pick(self._level.scale_um))

    @property
    def translation_um(self) -> tuple[float, ...] | None:
        """Centre of the first voxel per axis in micrometres, where the store gives it."""
        translation = self._level.translation_um
        return None if translation is None else self._view.pick(translation)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of this view, with their units as stored."""
        return self._view.pick(self._info.axes)

    @property
    def stored_scale(self) -> tuple[float, ...] | None:
        """Pitch per axis in the unit of the axis, where the store gives it."""
        scale = self._level.stored_scale
        return None if scale is None else self._view.pick(scale)

    @property
    def stored_translation(self) -> tuple[float, ...] | None:
        """Centre of the first voxel in the unit of each axis, where the store gives it."""
        translation = self._level.stored_translation
        return None if translation is None else self._view.pick(translation)

    @property
    def attrs(self) -> dict[str, Any]:
        """The attribute block of mosaicflow; empty for files by other software."""
        return self._info.mosaicflow

    def __getitem__(self, key: grid.IndexKey) -> NDArray[Any]:
        """Read a part of the level.

        Parameters
        ----------
        key : int, slice, Ellipsis or tuple of these

        Returns
        -------
        ndarray
            The part, in native byte order.

        Raises
        ------
        StoreError
            A chunk cannot be decoded, or is not what was written; the message names it.
        OSError
            The machine fails to read a store that came with checksums.
        """
        selection, transpose = self._native_selection(key)
        try:
            found = None if self._local is None else self._local.read(selection)
            if found is None:
                found = self._read_by_zarr(selection)
        except (IndexError, TypeError, MosaicflowError):
            raise
        except MemoryError as error:  # no chunk is to blame, nor to be made again
            raise StoreError(f"{self.location}: not enough memory to read it ({error})") from error
        except Exception as error:
            if self._checks is not None and isinstance(error, OSError):
                raise  # what was written may be right: the machine fails to read it
            raise self._chunk_error(selection, error) from error
        if found.dtype != self.dtype:
            found = found.astype(self.dtype)
        return found if transpose is None else found.transpose(transpose)

    def _read_by_zarr(self, selection: tuple[Any, ...]) -> NDArray[Any]:
        if self._checks is not None:
            self._checks.check(selection)
        elif self._is_folder:
            refuse_endless(self.location, self._level.path, self._array, selection)
        return np.asarray(self._array[selection])

    def read_chunk(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read one chunk, from a distant store in the shortest way.

        Parameters
        ----------
        index : tuple of int
            Number of the chunk along each axis of this view.

        Returns
        -------
        ndarray
            The part of the chunk that lies in the level, in native byte order.

        Raises
        ------
        StoreError
            The chunk cannot be decoded; the message names it.
        """
        key = tuple(
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(index, self.chunks, self.shape, strict=True)
        )
        if self._direct is None:
            return self[key]
        native = {a: i // self._array.chunks[a] for a, i in self._view.fixed.items()}
        native.update(zip(self._view.order, index, strict=True))
        chunk = self._direct.read(tuple(native[axis] for axis in range(len(native))))
        within: dict[int, Any] = {a: i % self._array.chunks[a] for a, i in self._view.fixed.items()}
        within.update(
            (a, slice(part.stop - part.start))
            for a, part in zip(self._view.order, key, strict=True)
        )
        found: NDArray[Any] = chunk[tuple(within[axis] for axis in range(len(within)))]
        kept = sorted(self._view.order)
        found = found.transpose([kept.index(axis) for axis in self._view.order])
        # A part must not keep the whole chunk alive.
        return found.astype(self.dtype, copy=found.size < chunk.size)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def _native_selection(
        self, key: grid.IndexKey
    ) -> tuple[tuple[Any, ...], tuple[int, ...] | None]:
        entries = grid.expand_key(key, self.ndim)
        native: dict[int, Any] = dict(self._view.fixed)
        native.update(zip(self._view.order, entries, strict=True))
        selection = tuple(native[axis] for axis in range(len(native)))
        kept = [a for a, e in zip(self._view.order, entries, strict=True) if isinstance(e, slice)]
        ranks = tuple(sorted(kept).index(axis) for axis in kept)
        return selection, None if ranks == tuple(sorted(ranks)) else ranks

    def _chunk_error(self, selection: tuple[Any, ...], error: Exception) -> StoreError:
        damaged = [key for key, _ in damaged_chunks(self._array, selection)]
        if not damaged and isinstance(error, UndecodableError):
            damaged = list(error.args)  # zarrs overlooks a truncated chunk of zlib
        named = ", ".join(f"{self._level.path}/{key}".strip("/") for key in damaged[:5])
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        found = f"cannot decode chunk {named}{more}" if damaged else f"cannot read ({error})"
        if damaged and self._checks is not None:
            return damaged_store(self.location, found)
        return undecodable(self.location, found)


def _direct_reader(info: OmeZarrInfo, array: zarr.Array[Any]) -> DirectReader | None:
    if not info.location.is_url:
        return None
    from mosaicflow.io.zarr.direct import direct_reader  # with it comes zarr

    return direct_reader(array, str(info.location))


def _local_reader(
    info: OmeZarrInfo, level: str, array: zarr.Array[Any], checks: ChunkChecks | None
) -> LocalReader | None:
    from mosaicflow.io.zarr.local import local_reader  # with it comes zarr

    return local_reader(info.location, level, array, checks)


def open_level(
    path: StorePath | Location,
    level: int = 0,
    *,
    lateral_order: LateralOrder = "yx",
    channel: int | None = None,
    time: int | None = None,
    allow_bare: bool = False,
    checked: bool = False,
) -> LevelReader:
    """Open one level for direct reads into numpy arrays.

    Parameters
    ----------
    path, level, lateral_order, channel, time, allow_bare
        As for `read_omezarr`.
    checked : bool, optional
        Compare each chunk, before it is first read, with the checksums that a local store was
        written with.

    Returns
    -------
    LevelReader
        Axes (z, y, x), or (y, x) for a projection.

    Raises
    ------
    FormatError
        The level holds no voxel.
    """
    info = read_omezarr_info(path, allow_bare=allow_bare)
    if not -len(info.levels) <= level < len(info.levels):
        raise ArgumentError(
            f"{info.location}: level {level} does not exist (levels 0 to {len(info.levels) - 1})"
        )
    view = view_of(info, lateral_order, {"c": channel, "t": time})
    reader = LevelReader(info, level % len(info.levels), view, checked=checked)
    if 0 in reader.shape:
        raise FormatError(
            f"{info.location}: level {level} has the shape {reader.shape}, which holds no voxel",
            remedy="write the store again: its metadata says that there is no image",
        )
    if info.ngff_version:
        pitch = view.pick(info.levels[0].scale_um)
        check_plausible(pitch, str(info.location), reader.attrs)
    return reader


def open_levels(info: OmeZarrInfo) -> list[LevelReader]:
    """Open every level of a store at its first channel and time point.

    Parameters
    ----------
    info : OmeZarrInfo
        Metadata of the store.

    Returns
    -------
    list of LevelReader
        Finest first; axes (z, y, x) or (y, x).
    """
    view = view_of(info, "yx", {"c": 0, "t": 0})
    return [LevelReader(info, number, view) for number in range(len(info.levels))]


def read_omezarr(
    path: StorePath | Location,
    level: int = 0,
    *,
    lateral_order: LateralOrder = "yx",
    channel: int | None = None,
    time: int | None = None,
    allow_bare: bool = False,
) -> tuple[da.Array, tuple[float, ...]]:
    """Read one level of a store lazily.

    Parameters
    ----------
    path : path or URL
        Folder, `.zip` file or fsspec URL of a store.
    level : int, optional
        Pyramid level, 0 is the finest.
    lateral_order : {"yx", "xy"}, optional
        "xy" swaps the lateral axes of files by older software whose metadata is wrong about them.
    channel, time : int, optional
        Index to take where the store has several channels or time points.
    allow_bare : bool, optional
        Read array `0` of an unfinished or foreign group, with a warning.

    Returns
    -------
    image : dask.array.Array
        Axes (z, y, x), or (y, x) for a projection; one dask chunk per chunk of the store. The
        image, or a box cut out of it, is computed by one read without a detour through dask.
    resolution : tuple of float
        Millimetres per pixel, one per axis.
    """
    from mosaicflow.io.zarr.lazy import lazy_image  # dask only where it is asked for

    reader = open_level(
        path,
        level,
        lateral_order=lateral_order,
        channel=channel,
        time=time,
        allow_bare=allow_bare,
    )
    return lazy_image(reader), reader.resolution_mm


def readers_below(data: da.Array) -> list[LevelReader]:
    """Return the levels that a lazy array will be read from."""
    values = (getattr(node, "value", node) for node in data.__dask_graph__().values())
    return [value for value in values if isinstance(value, LevelReader)]


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """Which part of a store is meant, and how its axes lie; as for `read_omezarr`."""

    lateral_order: LateralOrder = "yx"
    channel: int | None = None
    time: int | None = None

    def open(self, path: StorePath, level: int) -> LevelReader:
        """Open one level."""
        return open_level(
            path,
            level,
            lateral_order=self.lateral_order,
            channel=self.channel,
            time=self.time,
            allow_bare=True,
        )
