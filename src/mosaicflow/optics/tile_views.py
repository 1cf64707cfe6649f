"""The tiles of a grid as the search for their places wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.flatfields import load_flat_field
from mosaicflow.io.grids import BoundedCache
from mosaicflow.mosaic.features import common_pattern, remove_pattern, tile_levels
from mosaicflow.mosaic.linking import search_bins
from mosaicflow.optics.illumination_samples import slice_bands
from mosaicflow.optics.shading import Shading
from mosaicflow.slices.depth import band_means
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.grids import MosaicGrid

    Tile = tuple[int, int]
    Image = NDArray[np.float32]
    Levels = dict[int, Image]

__all__ = ["tile_views"]

# Features of this many tiles are enough to see what they have in common.
_PATTERN_TILES = 48
# With fewer tiles than this their median would hold tissue.
_FEWEST_TILES = 16
# Half of it makes tiles of neighbouring rows be read twice [bytes].
_CACHE_BYTES = 400_000_000


def tile_views(
    source: MosaicGrid, illumination: Path | None, threads: int
) -> Callable[[Tile], Levels]:
    """Give a function from tile to its levels: depth bands, flat-fielded, without common pattern.

    Parameters
    ----------
    source : MosaicGrid
        The tiles, at native pitch.
    illumination : Path or None
        Shading (illumination.npz) to take off first.
    threads : int
        Number of tiles worked on at the same time.
    """
    tiles = source.tiles
    kept: dict[Tile, Image] = {}

    def some_tiles() -> Iterator[Image]:
        for tile in tiles[:: -(-len(tiles) // 4)]:
            data = source.read(tile)
            if (len(kept) + 1) * data.nbytes <= _CACHE_BYTES:
                kept[tile] = data  # reading costs more than all that follows
            yield data

    bands = slice_bands(some_tiles())
    shading = Shading(np.ones(source.tile_shape[1:], np.float32), None)
    if illumination is not None:
        found = load_flat_field(illumination)
        shading = Shading.for_tiles(found.gain, found.offset, source.tile_shape[1:])
    bins = search_bins((source.tile_shape[1], source.tile_shape[2]))

    def load(tile: Tile) -> Levels:
        data = kept.pop(tile, None)
        data = source.read(tile) if data is None else data
        return tile_levels(shading.remove(band_means(data, bands)), bins)

    chosen = tiles[:: -(-len(tiles) // _PATTERN_TILES)]
    largest = 4 * source.tile_shape[1] * source.tile_shape[2] * (2 * len(bands) + 1)
    chosen = chosen[: max(_FEWEST_TILES, _CACHE_BYTES // largest)]
    first = dict(zip(chosen, map_threads(load, chosen, threads), strict=True))

    def common(level: int) -> Image | None:
        seen = [levels[level] for levels in first.values()]
        return common_pattern(seen, fewest=_FEWEST_TILES)

    shown = (0, *bins)
    pattern = dict(zip(shown, map_threads(common, shown, threads), strict=True))

    def view(tile: Tile) -> Levels:
        levels = first.pop(tile) if tile in first else load(tile)
        for level, image in levels.items():
            remove_pattern(image, pattern[level])
        return levels

    return BoundedCache(view, _CACHE_BYTES, _size).__getitem__


def _size(levels: Levels) -> int:
    return sum(image.nbytes for image in levels.values())
