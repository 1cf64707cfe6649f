"""Shading that repeats with the tile lattice in a fused slice: what the correction left over.

Tissue does not know where the tiles lie. What the fused slice shows at the same place of every
tile is the instrument's, whatever the estimate of the flat field thinks of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    F64 = NDArray[np.float64]
    Tile = tuple[int, int]
    _Part = tuple[tuple[slice, slice], F64, F64]

__all__ = ["BinnedImage", "LatticeShading", "bin_side", "lattice_shading"]

# Samples of a tile per axis: shading is a hundred times coarser than a pixel, and of speckle
# nothing is left. Twice of it leaves four times the noise.
_SAMPLES = 57
# Width of the trend that is the specimen's, and of the smoothing of the folded tile [tiles].
_TREND, _SMOOTH = 0.9, 0.07
# Share of the bright end above which a place is specimen, and share of a tile that must be.
_SPECIMEN, _FULL = 0.25, 0.9
# Fewer tiles do not average the specimen away.
_FEWEST_TILES = 12
# Random offsets that chance is learnt from: their median is then known to a few percent.
_CONTROLS = 100
# Standard deviations of them by which a residual is more than chance; of 15 tiles one is a fifth of
# the median. Slices of one specimen stray alike: one of five sound runs passed 2.3 of them.
_SURE = 3.5


class BinnedImage:
    """Means over square bins of an image that comes block by block.

    Parameters
    ----------
    shape_yx : (int, int)
        Full size.
    side : int
        Side of a bin in px.
    """

    def __init__(self, shape_yx: tuple[int, int], side: int) -> None:
        self.side = side
        self._shape = (-(-shape_yx[0] // side), -(-shape_yx[1] // side))
        self._parts: dict[tuple[int, int], _Part] = {}

    def add(self, region: tuple[slice, slice], block_yx: Image) -> None:
        """Add rows and columns `region` of the full image, once; zero is no data."""
        starts, cells = [], []
        for part in region:
            first = -(-part.start // self.side) * self.side
            at = np.unique([part.start, *range(first, part.stop, self.side)])
            starts.append(at - part.start)
            low = part.start // self.side
            cells.append(slice(low, low + len(at)))
        sums = [
            np.add.reduceat(np.add.reduceat(values, starts[0], 0), starts[1], 1)
            for values in (block_yx.astype(np.float64), (block_yx != 0).astype(np.float64))
        ]
        corner = (region[0].start, region[1].start)
        self._parts[corner] = ((cells[0], cells[1]), sums[0], sums[1])

    @property
    def image(self) -> F64:
        """Mean of each bin; zero without data."""
        total, count = np.zeros(self._shape), np.zeros(self._shape)
        for _, (cells, values, known) in sorted(self._parts.items(), key=lambda item: item[0]):
            total[cells] += values  # in one order, whichever block came first
            count[cells] += known
        return np.asarray(total / np.maximum(count, 1))


@dataclass(frozen=True, slots=True)
class LatticeShading:
    """What the tiles of a fused slice have in common.

    Parameters
    ----------
    residual : float
        Standard deviation, over the tile, of the mean log brightness about the trend.
    chance : float
        The same for tiles at random places: what the specimen leaves by itself.
    chance_at_most : float
        What the specimen hardly ever leaves by itself.
    n_tiles : int
        Tiles full of specimen that were laid over each other.
    """

    residual: float
    chance: float
    chance_at_most: float
    n_tiles: int


def bin_side(period_px: tuple[float, float]) -> int:
    """Side of the bins that `lattice_shading` wants for tiles at such a distance (y, x)."""
    return max(1, round(min(period_px) / _SAMPLES))


def lattice_shading(
    binned: BinnedImage,
    corners_px: Mapping[Tile, tuple[float, float]],
    period_px: tuple[float, float],
) -> LatticeShading | None:
    """Lay the tiles of a fused slice over each other and see what is left.

    Parameters
    ----------
    binned : BinnedImage
        Mean over depth of the slice.
    corners_px : mapping
        Tile -> (y, x) of its first pixel on the canvas.
    period_px : (float, float)
        Distance of neighbouring tiles, along y and x.

    Returns
    -------
    LatticeShading or None
        None where fewer than twelve tiles are full of specimen.
    """
    side = binned.side
    small = binned.image
    cell = [max(2, int(p // side)) for p in period_px]
    rest = _without_trend(small, [_TREND * p / side for p in period_px])
    first = np.array([corners_px[tile] for tile in sorted(corners_px)]) // side
    smooth = [_SMOOTH * p / side for p in period_px]
    folded = _Fold(rest, (cell[0], cell[1]), (smooth[0], smooth[1]))
    found = folded.at(first.astype(int))
    if found is None or found[1] < _FEWEST_TILES:
        return None
    rng = np.random.default_rng(0)
    half = np.array(cell) // 2
    controls = [
        folded.at(first.astype(int) + rng.integers(-half, half + 1, first.shape))
        for _ in range(_CONTROLS)
    ]
    chance = [one[0] for one in controls if one is not None and one[1] >= _FEWEST_TILES // 2]
    if not chance:
        return None
    usual = float(np.median(chance))
    return LatticeShading(found[0], usual, usual + _SURE * float(np.std(chance)), found[1])


def _without_trend(small: F64, sigma: list[float]) -> F64:
    """Log brightness about its trend; NaN where there is no specimen."""
    bright = small[small > 0]
    if not bright.size:
        return np.full(small.shape, np.nan)
    known = small > _SPECIMEN * np.percentile(bright, 95)
    logs = np.where(known, np.log(np.where(known, small, 1.0)), 0.0)
    weight = gaussian_filter(known.astype(np.float64), sigma)
    return np.where(known, logs - gaussian_filter(logs, sigma) / np.maximum(weight, 1e-3), np.nan)


@dataclass(frozen=True, slots=True)
class _Fold:
    """Lays parts of an image over each other."""

    rest: F64
    cell: tuple[int, int]
    smooth: tuple[float, float]

    def at(self, first: NDArray[np.int64]) -> tuple[float, int] | None:
        """Deviation of the mean over the parts that start there, and how many are full."""
        (n_y, n_x), total = self.cell, []
        for y, x in first.tolist():
            part = self.rest[y : y + n_y, x : x + n_x] if min(y, x) >= 0 else self.rest[:0]
            if part.shape == self.cell and np.isfinite(part).mean() > _FULL:
                total.append(part)
        if not total:
            return None
        known = np.isfinite(total)
        mean = np.where(known, total, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        return float(gaussian_filter(mean - mean.mean(), self.smooth).std()), len(total)
