"""Chunks and metadata of a mosaic grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mosaicflow.io.blocks import GridBlock, StageBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.io.blocks import GalvoBlock

__all__ = ["grid_attributes", "grid_chunks"]

# Of one chunk, which is written and read whole: with two threads 0.5 GiB. Doubled, so is the
# memory of every stage that reads grids.
MAX_CHUNK_BYTES = 256 * 2**20
Index = tuple[int, int]


def grid_chunks(tile_shape: tuple[int, int, int], itemsize: int = 4) -> tuple[int, int, int]:
    """Choose the chunk of a grid: the tile, or an integer part of it when it is too large.

    Parameters
    ----------
    tile_shape : tuple of int
        (z, y, x) of a tile.
    itemsize : int
        Bytes of a sample.

    Returns
    -------
    tuple of int
        (z, y, x); at most 256 MiB, split along z first, then y, then x.
    """
    chunk = list(tile_shape)
    for axis in range(3):
        rest = math.prod(chunk) // chunk[axis] * itemsize
        divisors = [d for d in range(1, chunk[axis] + 1) if chunk[axis] % d == 0]
        fitting = [d for d in divisors if chunk[axis] // d * rest <= MAX_CHUNK_BYTES]
        chunk[axis] //= fitting[0] if fitting else divisors[-1]
        if fitting:
            break
    return (chunk[0], chunk[1], chunk[2])


def grid_attributes(
    tiles: SliceTiles, dropped: Mapping[str, list[Index]], galvo: GalvoBlock
) -> dict[str, Any]:
    """Build the ``mosaicflow`` block of a mosaic grid.

    Parameters
    ----------
    tiles : SliceTiles
        The slice.
    dropped : mapping of str to list of index
        Tiles found out to be ``missing``, ``blank`` or ``saturated`` while reading.
    galvo : GalvoBlock
        The decision.
    """
    lost = set(dropped["missing"])
    present = [index for index in sorted(tiles.used) if index not in lost]
    rows, columns = tiles.grid_shape
    every = ((iy, ix) for iy in range(rows) for ix in range(columns))
    centres = ((index, tiles.used[index].centre_mm) for index in present)
    stage = tiles.stage
    return GridBlock(
        slice_id=tiles.slice_id,
        tile_shape=tiles.tile_shape,
        grid_shape=tiles.grid_shape,
        index_origin=tiles.index_origin,
        missing_tiles=tuple(index for index in every if index not in set(present)),
        blank_tiles=tuple(sorted(dropped["blank"])),
        saturated_tiles=tuple(sorted(dropped["saturated"])),
        overlap_fraction=tiles.overlap_fraction,
        positions=tiles.positions,
        tile_positions_mm={index: centre for index, centre in centres if centre is not None},
        stage=StageBlock(stage.signs, stage.origin_mm, stage.min_mm, stage.max_mm),
        orientation=tiles.reader.orientation.describe(),
        galvo=galvo,
        source={
            "root": tiles.root_name,
            "layout": tiles.layout,
            "n_tiles": len(tiles.tiles),
        },
    ).to_attrs()
