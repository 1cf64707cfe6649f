"""What the metadata of one array says: shape, type, chunks, codec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr.codecs import describe_codec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.io.zarr.location import Location

__all__ = ["LevelInfo", "array_document", "level_of"]

# Voxels along an axis: a metre at a tenth of a nanometre; products of five must not wrap unseen.
_LONGEST = 10**10
# Bytes of one file in memory: it is decoded whole. Codecs stop at 2 GiB; doubled, a number that
# was hit by one flipped bit may take all memory of a machine.
_MOST_CHUNK_BYTES = 2**32


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """One array of the pyramid, in the order of its own axes.

    Parameters
    ----------
    path : str
        Name of the array inside the store; empty for a bare array.
    shape, chunks : tuple of int
        Extent, and extent of the unit of reading.
    shards : tuple of int or None
        Extent of one file when it holds several chunks.
    dtype : str
        numpy name, such as `float32`.
    codec : str
        Such as `blosc-lz4`.
    scale_um : tuple of float
        Pitch per axis (micrometres on spatial axes).
    translation_um : tuple of float or None
        Position of the first voxel's centre, where the file gives one.
    stored_scale, stored_translation : tuple of float or None
        The same in the units of the file, where it gives them.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dtype: str
    codec: str
    scale_um: tuple[float, ...]
    translation_um: tuple[float, ...] | None = None
    stored_scale: tuple[float, ...] | None = None
    stored_translation: tuple[float, ...] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def array_document(location: Location, path: str) -> dict[str, Any] | None:
    """Return the JSON metadata of an array in a store, or None when there is no array."""
    document = location.metadata(f"{path}/zarr.json".strip("/"))
    if document is not None and document.get("node_type") == "array":
        return document
    return location.metadata(f"{path}/.zarray".strip("/"))


def level_of(location: Location, path: str, document: Mapping[str, Any]) -> LevelInfo:
    """Read an array's metadata as a level whose pitch is not known yet."""
    try:
        if document.get("zarr_format") == 2:
            chunks, shards = tuple(document["chunks"]), None
            dtype = _dtype_name(document["dtype"])
        else:
            chunks, shards = _v3_chunks(document)
            dtype = _dtype_name(document["data_type"])
        level = LevelInfo(
            path=path,
            shape=_extents(document["shape"], least=0),
            chunks=_extents(chunks, least=1),
            shards=None if shards is None else _extents(shards, least=1),
            dtype=dtype,
            codec=describe_codec(document),
            scale_um=(),
        )
        _check_chunks(level)
        return level
    except _UnsupportedError as error:
        raise FormatError(
            f"{location}: array {path!r} {error}, which is not supported",
            remedy="store it again as numbers on a regular grid of chunks",
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError, SyntaxError) as error:  # of numpy
        raise FormatError(
            f"{location}: metadata of array {path!r} is malformed ({error!r})",
            remedy="write the store again",
        ) from error


class _UnsupportedError(ValueError):
    """Something sound that is not read here."""


def _dtype_name(stored: object) -> str:
    try:
        dtype = np.dtype(stored) if isinstance(stored, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biufc":
        raise _UnsupportedError(f"holds elements of type {stored!r:.80}")
    return dtype.name


def _check_chunks(level: LevelInfo) -> None:
    outer = level.shards or level.chunks
    if not len(level.shape) == len(level.chunks) == len(outer):
        raise ValueError(f"shape {level.shape} and chunks {level.chunks}")
    if math.prod(outer) * np.dtype(level.dtype).itemsize > _MOST_CHUNK_BYTES:
        raise ValueError(f"chunks of {outer}, expected {_MOST_CHUNK_BYTES} bytes at most")


def _extents(values: Sequence[Any], *, least: int) -> tuple[int, ...]:
    """Check lengths of an array: whole numbers that a file system and an index can hold."""
    extents = tuple(values)
    if any(type(n) is not int or not least <= n <= _LONGEST for n in extents):
        raise ValueError(f"lengths {str(extents)[:80]}")
    return extents


def _v3_chunks(document: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    chunk_grid = document["chunk_grid"]
    if chunk_grid["name"] != "regular":
        raise _UnsupportedError(f"has a {chunk_grid['name']!r:.80} chunk grid")
    outer = tuple(chunk_grid["configuration"]["chunk_shape"])
    for codec in document["codecs"]:
        if codec["name"] == "sharding_indexed":
            return tuple(codec["configuration"]["chunk_shape"]), outer
    return outer, None
