"""Choosing and shrinking the tiles that a flat field is estimated from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.features import tile_features
from mosaicflow.mosaic.pair_shift import measure_shift
from mosaicflow.mosaic.resampling import resample_tile
from mosaicflow.optics.curvature import curved_band_means
from mosaicflow.optics.illumination import OverlapPair
from mosaicflow.slices.depth import band_edges, band_means, interface_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    Tile = tuple[int, int]

__all__ = [
    "TileSample",
    "band_depths",
    "choose_tiles",
    "neighbour_pairs",
    "sample_tile",
    "slice_bands",
]

# Fine enough to see by how much two tiles are off; a flat field is smoother by far.
_LONG_SIDE_PX = 128
# A pair of tiles is believed to be this share of a tile off its reported place, at most.
_SEARCH_FRACTION = 0.08
# Correlation from which neighbours are taken to show the same tissue, by judgement. Doubled, few
# pairs are left.
_LEAST_NCC = 0.4


@dataclass(frozen=True, slots=True)
class TileSample:
    """Depth-band means of one tile, shrunk.

    Parameters
    ----------
    grid : int
        Which grid it comes from.
    tile : (int, int)
        Lattice index (iy, ix).
    images : ndarray, shape (bands, y, x), float32
        Means over depth bands below the interface.
    depths : tuple of float
        Middle of each band, from -1 (first plane) to 1 (last plane).
    """

    grid: int
    tile: Tile
    images: Image
    depths: tuple[float, ...] = ()


def choose_tiles(
    tiles: Mapping[int, Sequence[Tile]], most: int, rng: np.random.Generator
) -> list[tuple[int, Tile]]:
    """Pick tiles evenly over all grids, each with the neighbours it shares overlaps with.

    Parameters
    ----------
    tiles : mapping of int to sequence of (int, int)
        Tiles that hold data, for each grid.
    most : int
        Largest number of tiles; all are taken when there are no more.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    list of (int, (int, int))
        Grid and tile index, sorted.
    """
    every = sorted((grid, tile) for grid, found in tiles.items() for tile in found)
    if len(every) <= most:
        return every
    known = set(every)
    chosen: set[tuple[int, Tile]] = set()
    for seed in rng.permutation(len(every)).tolist():
        grid, (iy, ix) = every[seed]
        found = known & {(grid, (iy, ix)), (grid, (iy + 1, ix)), (grid, (iy, ix + 1))}
        if chosen and len(chosen | found) > most:
            break
        chosen |= found
    return sorted(chosen)


def slice_bands(tiles: Iterable[Image]) -> list[tuple[int, int]]:
    """Find the depth bands below the interface from a few tiles (z, y, x) of one slice."""
    profiles = [tile.mean(axis=(1, 2), dtype=np.float64) for tile in tiles]
    profile = np.mean(profiles, axis=0)
    first = interface_plane(profile)
    # The rise itself is half water: start where the tissue fills the plane.
    return band_edges(len(profile), first + 3 if first else 0, most=6)


def band_depths(bands: Sequence[tuple[int, int]], n_planes: int) -> tuple[float, ...]:
    """Give the middle of each band, from -1 (first plane) to 1 (last plane)."""
    return tuple((a + b - 1) / max(1, n_planes - 1) - 1 for a, b in bands)


def sample_tile(
    tile: Image,
    bands: list[tuple[int, int]],
    *,
    clip_percentile_upper: float = 99.9,
    curvature: Image | None = None,
) -> Image | None:
    """Shrink one tile to a few smooth images, or reject it.

    Parameters
    ----------
    tile : ndarray, shape (z, y, x), float32
        One tile.
    bands : list of (int, int)
        Depth bands.
    clip_percentile_upper : float
        Brighter values are set to this percentile [%].
    curvature : ndarray, shape (y, x), float32, optional
        Planes by which columns appear lower: the bands follow it.

    Returns
    -------
    ndarray, shape (bands, y, x), float32, or None
        None when the tile is empty, constant, or saturated in more than 1 % of its voxels.
    """
    largest, smallest = float(tile.max()), float(tile.min())
    if largest == smallest or np.count_nonzero(tile == largest) > 0.01 * tile.size:
        return None
    if curvature is None:
        means = band_means(tile, bands)
    else:
        means = curved_band_means(tile, bands, curvature)
    means = np.minimum(means, np.percentile(means, clip_percentile_upper)).astype(np.float32)
    n_y, n_x = means.shape[1:]
    factor = max(1.0, max(n_y, n_x) / _LONG_SIDE_PX)
    return resample_tile(means, (len(means), round(n_y / factor), round(n_x / factor)))


def neighbour_pairs(
    samples: Sequence[TileSample],
    positions: Mapping[int, Mapping[Tile, tuple[float, float]]],
    map_all: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]],
) -> list[OverlapPair]:
    """Pair each tile with the next one below and to the right.

    Parameters
    ----------
    samples : sequence of TileSample
        Shrunk tiles.
    positions : mapping
        For each grid the position (y, x) of each tile as a fraction of the tile's size.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.

    Returns
    -------
    list of OverlapPair
        Pairs of tiles of one shape that overlap.
    """
    by_index = {(sample.grid, sample.tile): sample for sample in samples}
    shape = Counter(sample.images.shape[1:] for sample in samples).most_common(1)[0][0]
    reach = _SEARCH_FRACTION * max(shape)
    keys = list(by_index)
    found = map_all(lambda key: tile_features(by_index[key].images), keys)
    features = dict(zip(keys, found, strict=True))

    def pair(ends: tuple[tuple[int, Tile], tuple[int, Tile]]) -> OverlapPair | None:
        a, b = ends
        here, there = positions[a[0]][a[1]], positions[b[0]][b[1]]
        offset = ((there[0] - here[0]) * shape[0], (there[1] - here[1]) * shape[1])
        # Where the stage is off by a pixel, tissue edges would pass for shading.
        shift = measure_shift(features[a], features[b], offset, reach)
        if shift is not None and shift.ncc >= _LEAST_NCC:
            offset = shift.shift_px
        overlap = all(abs(d) < length - 1 for d, length in zip(offset, shape, strict=True))
        if not overlap:
            return None
        first, second = by_index[a], by_index[b]
        place = (a[1], b[1])
        return OverlapPair(first.images, second.images, offset, place, first.depths, (a, b))

    ends = [
        ((grid, tile), (grid, other))
        for grid, tile in keys
        for other in ((tile[0] + 1, tile[1]), (tile[0], tile[1] + 1))
        if (grid, other) in by_index
        and by_index[grid, tile].images.shape == by_index[grid, other].images.shape
    ]
    return [pair for pair in map_all(pair, ends) if pair is not None]
