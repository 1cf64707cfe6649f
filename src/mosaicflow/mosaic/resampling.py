"""Changing the pitch of a tile by exact area-weighted means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["area_weights", "resample_tile", "resampled_length"]


def resampled_length(length: int, pitch: float, target: float) -> int:
    """Give the number of samples nearest to `target` pitch, never more than there are.

    Parameters
    ----------
    length : int
        Number of samples.
    pitch, target : float
        Spacing now and wanted, same unit. An axis coarser than the target keeps its samples.
    """
    if pitch >= target:
        return length
    return max(1, round(length * pitch / target))


def area_weights(n_in: int, n_out: int) -> NDArray[np.float32]:
    """Weights that turn `n_in` samples into `n_out` equal intervals over the same extent.

    Parameters
    ----------
    n_in, n_out : int
        Number of samples before and after.

    Returns
    -------
    ndarray, shape (n_out, n_in), float32
        Each row sums to 1; a sample that straddles two intervals counts for both by its share.
    """
    edges = np.arange(n_out + 1) * (n_in / n_out)
    lower = np.maximum(edges[:-1, None], np.arange(n_in)[None, :])
    upper = np.minimum(edges[1:, None], np.arange(1, n_in + 1)[None, :])
    weights = np.clip(upper - lower, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def resample_tile(tile_zyx: NDArray[np.float32], shape_zyx: Sequence[int]) -> NDArray[np.float32]:
    """Average a tile down to another shape; nothing outside the tile is looked at.

    Parameters
    ----------
    tile_zyx : ndarray, shape (z, y, x), float32
        One tile; columns of zeros over several planes are no data.
    shape_zyx : sequence of 3 int
        Shape wanted; no axis may grow.

    Returns
    -------
    ndarray, shape `shape_zyx`, float32
        Means over what holds data; zero where less than half of a pixel's area does.
    """
    n_z, n_y, n_x = shape_zyx
    result = tile_zyx
    if n_z != result.shape[0]:
        # Matrix products: one pass over the data at the speed of BLAS.
        flat = result.reshape(result.shape[0], -1)
        result = (area_weights(flat.shape[0], n_z) @ flat).reshape(n_z, *result.shape[1:])
    small = np.ascontiguousarray(_lateral_means(result, n_y, n_x), dtype=np.float32)
    # A column that holds data does so in its middle plane, all but always. A single plane does
    # not tell: a zero in it may as well be dark.
    if small is not result and len(tile_zyx) > 1 and not tile_zyx[len(tile_zyx) // 2].all():
        known: NDArray[np.bool_] = np.asarray(tile_zyx.any(axis=0))
        if not known.all():
            share = _lateral_means(known[None].astype(np.float32), n_y, n_x)
            small *= np.where(share > 0.5 - 1e-6, 1 / np.maximum(share, 0.25), 0)
    return small


def _lateral_means(volume: NDArray[np.float32], n_y: int, n_x: int) -> NDArray[np.float32]:
    if n_y != volume.shape[1]:
        volume = area_weights(volume.shape[1], n_y) @ volume
    if n_x != volume.shape[2]:
        volume = volume @ area_weights(volume.shape[2], n_x).T
    return volume
