"""Chunks and metadata of a mosaic grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["GalvoResult", "grid_attributes", "grid_chunks"]

MAX_CHUNK_BYTES = 256 * 2**20
Index = tuple[int, int]


@dataclass(frozen=True, slots=True)
class GalvoResult:
    """What was decided about the galvo return of a slice.

    Parameters
    ----------
    n_extra : int
        Return A-lines per B-scan.
    shift : int
        Circular shift that brings the return to the end of the B-scan.
    confidence : float or None
        0 to 1; None when nothing was looked for.
    applied : bool
        Whether the shift was used.
    reason : str
        Why not, or how it was confirmed.
    """

    n_extra: int = 0
    shift: int = 0
    confidence: float | None = None
    applied: bool = False
    reason: str = ""


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
    tiles: SliceTiles, dropped: Mapping[str, list[Index]], galvo: GalvoResult
) -> dict[str, Any]:
    """Build the ``mosaicflow`` block of a mosaic grid.

    Parameters
    ----------
    tiles : SliceTiles
        The slice.
    dropped : mapping of str to list of index
        Tiles found out to be ``missing``, ``blank`` or ``saturated`` while reading.
    galvo : GalvoResult
        The decision.
    """
    lost = set(dropped["missing"])
    present = [index for index in sorted(tiles.used) if index not in lost]
    rows, columns = tiles.grid_shape
    every = ((iy, ix) for iy in range(rows) for ix in range(columns))
    positions = {
        f"{iy},{ix}": list(tiles.used[iy, ix].centre_mm or ())
        for iy, ix in present
        if tiles.used[iy, ix].centre_mm is not None
    }
    sign_y, sign_x = tiles.stage.signs
    return {
        "kind": "mosaic_grid",
        "slice_id": tiles.slice_id,
        "tile_shape": list(tiles.tile_shape),
        "grid_shape": list(tiles.grid_shape),
        "index_origin": {"iy": tiles.index_origin[0], "ix": tiles.index_origin[1]},
        "missing_tiles": [list(index) for index in every if index not in set(present)],
        "blank_tiles": [list(index) for index in sorted(dropped["blank"])],
        "saturated_tiles": [list(index) for index in sorted(dropped["saturated"])],
        "overlap_fraction": tiles.overlap_fraction,
        "positions": tiles.positions,
        "tile_positions_mm": positions,
        "stage": {
            "sign_y": sign_y,
            "sign_x": sign_x,
            "origin_mm": list(tiles.stage.origin_mm),
            "min_mm": list(tiles.stage.min_mm),
            "max_mm": list(tiles.stage.max_mm),
        },
        "orientation": tiles.reader.orientation.describe(),
        "galvo": {
            "n_extra": galvo.n_extra,
            "shift": galvo.shift,
            "confidence": galvo.confidence,
            "applied": galvo.applied,
            "reason": galvo.reason,
        },
        "source": {
            "root": tiles.root_name,
            "layout": tiles.layout,
            "n_tiles": len(tiles.tiles),
        },
    }
