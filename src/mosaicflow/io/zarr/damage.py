"""Chunks of a store that are not as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr import grid

if TYPE_CHECKING:
    import zarr


__all__ = ["UndecodableError", "damaged_chunks"]


class UndecodableError(Exception):
    """A codec failed on a chunk, whose key is the argument."""


def damaged_chunks(
    array: zarr.Array[Any], selection: tuple[Any, ...] | None = None
) -> list[tuple[str, str]]:
    """Return key and error of every chunk (inside a selection) that cannot be decoded."""
    found = []
    blocks = array.shards or array.chunks
    for index, region in grid.indexed_regions(array.shape, blocks):
        if selection is not None and not _touches(region, selection, array.shape):
            continue
        try:
            array[region]
        except Exception as error:  # any codec may fail in its own way
            found.append((array.metadata.encode_chunk_key(index), str(error)))
    return found


def _touches(region: grid.Region, selection: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    for part, entry, extent in zip(region, selection, shape, strict=True):
        wanted = range(extent)[entry] if isinstance(entry, slice) else (range(extent)[entry],)
        if not any(part.start <= index < part.stop for index in wanted):
            return False
    return True
