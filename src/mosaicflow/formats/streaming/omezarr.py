"""Opening OME-Zarr stores as pyramids: local, in a zip archive, on a web server, in a bucket."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import StoreError
from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.streaming.pyramid import ZarrPyramid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.formats.streaming.image_source import ZarrImageSource
    from mosaicflow.io.zarr import LevelReader
    from mosaicflow.io.zarr.location import Location, StorePath

__all__ = ["open_omezarr", "open_pyramid"]

# Seconds that one request may take. Twice as long, and a dead store keeps a viewer waiting for a
# minute; half as long, and a chunk of 16 MB fails on lines of less than 1 MB/s.
_PATIENCE_S = 30.0

_log = logging.getLogger(__name__)


def open_omezarr(url: StorePath) -> tuple[ZarrImageSource, dict[str, Any]]:
    """Open an OME-Zarr store as a source of VTK images.

    Parameters
    ----------
    url : path or URL
        Folder, `.zip` file, `file://`, `http(s)://` or `s3://` (anonymous, unless the environment
        has credentials). OME-Zarr 0.4 and 0.5, sharded or not; of a group without multiscales all
        arrays, by name, with spacing 1. Of channels and time points the first one is shown.

    Returns
    -------
    source : ZarrImageSource
        At its coarsest level; `source.pyramid` reads regions without VTK.
    info : dict
        `levels`, a list of dicts `path`, `shape` and `spacing` (z, y, x), finest first; `axes` as
        stored; `unit` of the spacings as stored, None where there is none. Axes stored in
        different units are converted to micrometres.

    Raises
    ------
    FileNotFoundError, StoreError
        Nothing is there, or the address does not answer.
    ValueError
        There is no Zarr array.
    MissingExtraError
        VTK is not installed (extra `view`).
    """
    from mosaicflow.formats.streaming.image_source import ZarrImageSource

    pyramid, info = open_pyramid(url)
    return ZarrImageSource(pyramid), info


def open_pyramid(
    url: StorePath, *, cache_bytes: int | None = None
) -> tuple[ZarrPyramid, dict[str, Any]]:
    """Open an OME-Zarr store without VTK.

    Parameters
    ----------
    url : path or URL
        As for `open_omezarr`.
    cache_bytes : int, optional
        Decoded bytes kept.

    Returns
    -------
    pyramid : ZarrPyramid
    info : dict
        As `open_omezarr` returns it.
    """
    from mosaicflow.io.zarr import multiscales_of, open_arrays

    location, attributes = _reached(url)
    if multiscales_of(attributes):
        levels, info = _image_levels(location)
    else:
        levels, info = _plain_levels(open_arrays(location))
    if not levels:
        raise FormatError(str(location), "no array that could be an image in it")
    for level in levels:
        if 0 in level["shape"]:
            raise FormatError(str(location), f"array {level['path']!r} has no voxels")
    options = {} if cache_bytes is None else {"cache_bytes": cache_bytes}
    info["levels"] = [{k: level[k] for k in ("path", "shape", "spacing")} for level in levels]
    return ZarrPyramid(levels, **options), info


def _reached(url: StorePath) -> tuple[Location, Mapping[str, Any]]:
    """Return where the store is, and its attributes; public buckets need no credentials."""
    from mosaicflow.io.zarr import find_root, locate

    location = replace(locate(url), patience_s=_PATIENCE_S)
    if not location.is_url and not location.exists():
        raise FileNotFoundError(f"{location}: no such store")
    try:
        return location, find_root(location).attributes
    except StoreError as error:
        refused = isinstance(error.__cause__, PermissionError)
        unknown = type(error.__cause__).__name__ == "NoCredentialsError"  # of botocore
        if not (location.address.startswith("s3://") and (refused or unknown)):
            raise
    location = replace(location, anonymous=True)
    return location, find_root(location).attributes


def _image_levels(location: Location) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from mosaicflow.io.zarr import (
        AssumedUnitWarning,
        multiscales_of,
        open_levels,
        read_omezarr_info,
    )

    with warnings.catch_warnings():
        # Nothing is assumed here: numbers and unit are given as they are stored.
        warnings.simplefilter("ignore", AssumedUnitWarning)
        store = read_omezarr_info(location)
    readers = open_levels(store)
    unit, factors = _common_unit([axis.unit for axis in readers[0].axes], str(location))
    levels = [
        _level(reader, own.path, factors) for reader, own in zip(readers, store.levels, strict=True)
    ]
    axes = multiscales_of(store.attributes)[0].get("axes", [])
    return levels, {"axes": list(axes), "unit": unit}


def _common_unit(units: Sequence[str], where: str) -> tuple[str | None, list[float]]:
    """Return the unit of all axes and, where they differ, what makes micrometres of each."""
    if len(set(units)) == 1:
        return units[0] or None, [1.0] * len(units)
    from mosaicflow.io.zarr import micrometers_per_unit

    factors = [micrometers_per_unit(unit) for unit in units]
    known = [factor for factor in factors if factor is not None]
    if len(known) == len(units):
        return "micrometer", known
    _log.warning("%s: axes in different units (%s), taken as one", where, ", ".join(units))
    return None, [1.0] * len(units)


def _plain_levels(
    arrays: Mapping[str, LevelReader],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    levels = [_level(reader, name, [1.0] * reader.ndim) for name, reader in arrays.items()]
    return levels, {"axes": [], "unit": None}


def _level(reader: LevelReader, path: str, factors: Sequence[float]) -> dict[str, Any]:
    """Return a level as `ZarrPyramid` takes it; a single plane becomes a volume one voxel deep."""
    deep = 3 - reader.ndim
    scale = reader.stored_scale or (1.0,) * reader.ndim
    shift = reader.stored_translation or (0.0,) * reader.ndim
    return {
        "path": path,
        "array": _FlatVolume(reader) if deep else reader,
        "shape": (1,) * deep + reader.shape,
        "spacing": (1.0,) * deep + _product(scale, factors),
        "translation": (0.0,) * deep + _product(shift, factors),
    }


def _product(values: Sequence[float], factors: Sequence[float]) -> tuple[float, ...]:
    return tuple(value * factor for value, factor in zip(values, factors, strict=True))


class _FlatVolume:
    """An image (y, x) seen as a volume (1, y, x)."""

    def __init__(self, reader: LevelReader) -> None:
        self._reader = reader
        self.chunks = (1, *reader.chunks)
        self.dtype = reader.dtype

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[Any]:
        return self._reader[key[1:]][np.newaxis][key[0]]

    def read_chunk(self, index: tuple[int, int, int]) -> NDArray[Any]:
        return self._reader.read_chunk(index[1:])[np.newaxis]
