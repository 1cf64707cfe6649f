"""What overlaps say about the flat field of a scan lens, and bringing a field to another size.

In an overlap two tiles show the same tissue through different parts of the lens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import zoom

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    _Points = tuple[NDArray[np.float64], NDArray[np.float64]]

__all__ = [
    "OverlapEvidence",
    "OverlapPair",
    "OverlapValues",
    "overlap_values",
    "resize_field",
    "resize_image",
    "unit_mean",
]

# Range of a flat field relative to its mean, by judgement: beyond, dividing makes noise of no
# light. Twice as wide, that noise is ten times as strong as was recorded.
_FIELD_RANGE = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """Two tiles that share an overlap.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Depth-band means of both tiles.
    offset_px : (float, float)
        Position of `second` minus position of `first`, (y, x) in px of these images.
    place : hashable
        What this pair shares tissue with: the same place of the lattice in other slices.
    depths : tuple of float
        Middle of each band, from -1 (first plane) to 1 (last plane); empty where unknown.
    tiles : (hashable, hashable), optional
        Names of the two tiles: pairs that share a tile share its brightness.
    """

    first: Image
    second: Image
    offset_px: tuple[float, float]
    place: Hashable = None
    depths: tuple[float, ...] = ()
    tiles: tuple[Hashable, Hashable] | None = None


@dataclass(frozen=True, slots=True)
class OverlapEvidence:
    """What the overlaps say about the flat field, whatever the tissue.

    The log ratio of two tiles in their overlap is the difference of the log field at two places.

    Parameters
    ----------
    log_ratio : ndarray, shape (n,), float64
        Log of first over second tile.
    first, second : pair of ndarray, each shape (n,), float64
        Where in the two tiles (y, x), in px of the field.
    shape_yx : (int, int)
        Shape of the field.
    place : hashable
        What it shares tissue with.
    tiles : (hashable, hashable), optional
        Names of the two tiles.
    levels : (float, float)
        Log of the mean brightness of either tile; 0 where the ratio is one of slopes with depth.
    """

    log_ratio: NDArray[np.float64]
    first: _Points
    second: _Points
    shape_yx: tuple[int, int]
    place: Hashable = None
    tiles: tuple[Hashable, Hashable] | None = None
    levels: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, pair: OverlapPair, *, most: int, weights: Sequence[float] = ()) -> OverlapEvidence:
        """Compare two tiles at about `most` places, each a mean over a block of pixels.

        Parameters
        ----------
        pair : OverlapPair
            Two tiles.
        most : int
            Places wanted: means over blocks carry less noise than single pixels.
        weights : sequence of float
            Of the bands in the log ratio; empty: the mean over those that hold data, as depth
            bands see the same lens.

        Returns
        -------
        OverlapEvidence
        """
        values = overlap_values(pair)
        good = (values.first > 0) & (values.second > 0)
        logs = [np.log(np.where(good, value, 1.0)) for value in (values.first, values.second)]
        if weights:
            keep = good.all(axis=0)
            ratio = np.asarray(weights) @ (logs[0] - logs[1])
        else:
            keep = good.any(axis=0)
            ratio = (logs[0] - logs[1]).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
        side = max(1, math.ceil(math.sqrt(values.first.shape[1] / most)))
        label = _block_labels(values.first_at, side)[keep]
        columns = [ratio, *values.first_at, *values.second_at]
        n = np.bincount(label)
        used = n > 0
        ratio, *at = (np.bincount(label, column[keep])[used] / n[used] for column in columns)
        n_y, n_x = pair.first.shape[1:]
        # The brightness of a tile says nothing of its slope with depth.
        levels = (0.0, 0.0) if weights else (_level(pair.first), _level(pair.second))
        where = (at[0], at[1]), (at[2], at[3])
        return cls(ratio, *where, (n_y, n_x), pair.place, pair.tiles, levels)

    def left(self, log_field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log ratios that remain after division by a field, shape (n,)."""
        logs = log_field[None]
        difference = _bilinear(logs, self.first) - _bilinear(logs, self.second)
        return np.asarray(self.log_ratio - difference[0], dtype=np.float64)


def _level(images: Image) -> float:
    """Log of the mean over what holds data; 0 where nothing does."""
    total = float(images.sum(dtype=np.float64))
    return math.log(total / np.count_nonzero(images)) if total > 0 else 0.0


def _block_labels(points: _Points, side: int) -> NDArray[np.int64]:
    """Say in which block of `side` x `side` px each point lies."""
    row, column = (((axis - axis.min(initial=0)) // side).astype(np.int64) for axis in points)
    return np.asarray(row * (column.max(initial=0) + 1) + column)


@dataclass(frozen=True, slots=True)
class OverlapValues:
    """What two tiles show at the same places.

    Parameters
    ----------
    first, second : ndarray, shape (bands, n), float64
        Values of either tile; zero where there is no data.
    first_at, second_at : pair of ndarray, each shape (n,), float64
        Where in the two tiles (y, x), in px.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    first_at: _Points
    second_at: _Points

    @property
    def known(self) -> NDArray[np.bool_]:
        """Places where both tiles hold data in every band, shape (n,)."""
        return np.asarray(((self.first > 0) & (self.second > 0)).all(axis=0))


def overlap_values(pair: OverlapPair) -> OverlapValues:
    """Sample two tiles at every pixel of their overlap.

    Parameters
    ----------
    pair : OverlapPair
        Two tiles.

    Returns
    -------
    OverlapValues
    """
    n_y, n_x = pair.first.shape[1:]
    d_y, d_x = pair.offset_px
    rows = np.arange(max(0, np.ceil(d_y)), min(n_y, np.floor(n_y - 1 + d_y) + 1))
    columns = np.arange(max(0, np.ceil(d_x)), min(n_x, np.floor(n_x - 1 + d_x) + 1))
    y, x = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    there = (y - d_y, x - d_x)
    return OverlapValues(_known(pair.first, (y, x)), _known(pair.second, there), (y, x), there)


def _known(images: Image, points: _Points) -> NDArray[np.float64]:
    """Sample images at points; zero where a pixel without data would take part."""
    values = _bilinear(images, points)
    if not images.all():
        values[_bilinear(images > 0, points) < 1 - 1e-9] = 0
    return values


def _bilinear(images: NDArray[np.floating | np.bool_], points: _Points) -> NDArray[np.float64]:
    """Sample images (n, y, x) at points inside them; result (n, points)."""
    y, x = points
    y0 = np.clip(y.astype(int), 0, images.shape[1] - 2)
    x0 = np.clip(x.astype(int), 0, images.shape[2] - 2)
    f_y, f_x = y - y0, x - x0
    top = images[:, y0, x0] * (1 - f_x) + images[:, y0, x0 + 1] * f_x
    bottom = images[:, y0 + 1, x0] * (1 - f_x) + images[:, y0 + 1, x0 + 1] * f_x
    return np.asarray(top * (1 - f_y) + bottom * f_y, dtype=np.float64)


def unit_mean(field: NDArray[np.floating]) -> Image:
    """Scale a field to mean 1, within safe bounds.

    Parameters
    ----------
    field : ndarray, shape (y, x), floating
        Flat field.

    Returns
    -------
    ndarray, shape (y, x), float32
    """
    scaled = field / max(float(field.mean()), 1e-12)
    return np.asarray(np.clip(scaled, *_FIELD_RANGE), dtype=np.float32)


def resize_field(field: Image, shape_yx: tuple[int, int]) -> Image:
    """Bring a flat field to a tile's lateral shape, mean 1, within safe bounds.

    Parameters
    ----------
    field : ndarray, shape (y, x), float32
        Flat field.
    shape_yx : (int, int)
        Shape wanted.

    Returns
    -------
    ndarray, shape `shape_yx`, float32
    """
    if field.shape == tuple(shape_yx):
        return field
    return unit_mean(resize_image(field, shape_yx))


def resize_image(image: Image, shape_yx: tuple[int, int]) -> Image:
    """Bring a smooth image to another shape over the same extent.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        Image.
    shape_yx : (int, int)
        Shape wanted.

    Returns
    -------
    ndarray, shape `shape_yx`, float32
    """
    if image.shape == tuple(shape_yx):
        return image
    factors = [new / old for new, old in zip(shape_yx, image.shape, strict=True)]
    # Both images cover the same extent, so the borders of the first and last pixel must meet.
    resized = zoom(image, factors, order=3, mode="nearest", grid_mode=True)
    return np.asarray(resized, dtype=np.float32)
