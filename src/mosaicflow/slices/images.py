"""Projections made ready for comparing: depth, smoothing, band-pass, fields that judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Fields",
    "band_pass",
    "chequerboard",
    "field_correlations",
    "filled_depth",
    "gradient_magnitude",
    "inner_part",
    "smooth_valid",
    "used_span",
]

# Pixels that a correlation needs to mean anything.
_LEAST_FIELD_PX = 32


def filled_depth(planes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count the planes of each column down to the last one with data.

    Parameters
    ----------
    planes : ndarray, shape (z, y, x), float32
        A slice; 0 is no data, but for single zeros inside a column, which are dark tissue.

    Returns
    -------
    ndarray, shape (y, x), int64
    """
    last = np.argmax(planes[::-1] != 0, axis=0)
    depth: NDArray[np.int64] = np.where(planes.any(axis=0), len(planes) - last, 0)
    return depth


def band_pass(
    image: NDArray[np.float32], valid: NDArray[np.bool_], low: float, high: float
) -> NDArray[np.float32]:
    """Keep structure between two sizes, without an edge where the data ends.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        Zero where `valid` is false.
    valid : ndarray, shape (y, x), bool
        Where there is data.
    low, high : float
        Sizes [px]: finer than `low` (standard deviation of a Gaussian) is noise, coarser than
        `high` (half a window) is shading.

    Returns
    -------
    ndarray, shape (y, x), float32
        Zero where there is no data.
    """
    weight = valid.astype(np.float32)
    fine = smooth_valid(image, weight, low)
    # A box costs the same whatever its size; a Gaussian this wide would take most of the time.
    size = 2 * round(high) + 1
    share = np.maximum(ndimage.uniform_filter(weight, size, mode="constant"), 1e-3)
    coarse = ndimage.uniform_filter(image * weight, size, mode="constant") / share
    result: NDArray[np.float32] = np.where(valid, fine - coarse, np.float32(0))
    return result


def smooth_valid(
    image: NDArray[np.float32], weight: NDArray[np.float32], sigma: float
) -> NDArray[np.float32]:
    """Smooth an image by a Gaussian that looks at valid pixels only.

    Parameters
    ----------
    image, weight : ndarray, shape (y, x), float32
        The image, and 1 where it holds data.
    sigma : float
        Standard deviation [px].

    Returns
    -------
    ndarray, shape (y, x), float32
    """
    smooth, share = (
        gaussian(part, sigma, beyond="constant", truncate=3.0) for part in (image * weight, weight)
    )
    return np.asarray(smooth / np.maximum(share, 1e-3), dtype=np.float32)


def gradient_magnitude(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the length of the gradient (central differences), same shape."""
    d_y, d_x = np.gradient(image)
    magnitude: NDArray[np.float32] = np.hypot(d_y, d_x).astype(np.float32)
    return magnitude


def used_span(weight: NDArray[np.float32], axis: int) -> tuple[int, int]:
    """Return the first row or column that is used, and the one after the last; (0, 1) of none."""
    used = np.flatnonzero(weight.any(axis=1 - axis))
    return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a chequerboard.

    Parameters
    ----------
    rows : ndarray, shape (8, y), float32
        1 where a row of pixels belongs to a row of fields, else 0.
    columns : ndarray, shape (8, x), float32
        The same of columns.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]

    @property
    def colour(self) -> NDArray[np.float32]:
        """0 or 1 at each pixel, shape (y, x)."""
        odd = self.rows[1::2].sum(axis=0)[:, None] != self.columns[1::2].sum(axis=0)[None, :]
        result: NDArray[np.float32] = odd.astype(np.float32)
        return result

    def total(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum values, shape (y, x), in each field, shape (64,)."""
        # A product of matrices: 5 x as fast as counting by the number of the field.
        found = (self.rows @ values).astype(np.float64) @ self.columns.T
        return np.asarray(found, np.float64).ravel()


def chequerboard(weight: NDArray[np.float32]) -> Fields:
    """Divide the used area into 8 x 8 fields of two colours.

    Parameters
    ----------
    weight : ndarray, shape (y, x), float32
        Not 0 where the area is used.

    Returns
    -------
    Fields
    """
    sides = []
    for axis in (0, 1):
        first, stop = used_span(weight, axis)
        side = max(1.0, (stop - first) / 8)
        at = ((np.arange(weight.shape[axis]) - first) / side).astype(np.int64)
        sides.append((np.clip(at, 0, 7) == np.arange(8)[:, None]).astype(np.float32))
    return Fields(*sides)


def field_correlations(
    a: NDArray[np.float32], b: NDArray[np.float32], weight: NDArray[np.float32], fields: Fields
) -> NDArray[np.float64]:
    """Correlate two images in each field of a chequerboard alone.

    Parameters
    ----------
    a, b : ndarray, shape (y, x), float32
        Images, near 0 in the mean.
    weight : ndarray, shape (y, x), float32
        Weight of the pixels.
    fields : Fields
        Where the fields lie.

    Returns
    -------
    ndarray, shape (64,), float64
        NaN for a field of fewer than 32 pixels, or without contrast.
    """
    of_a, of_b = weight * a, weight * b
    count = np.maximum(fields.total(weight), 1e-9)
    mean_a, mean_b = fields.total(of_a) / count, fields.total(of_b) / count
    spread_a = fields.total(of_a * a) / count - mean_a**2
    spread_b = fields.total(of_b * b) / count - mean_b**2
    shared = fields.total(of_a * b) / count - mean_a * mean_b
    known = (count >= _LEAST_FIELD_PX) & (spread_a > 0) & (spread_b > 0)
    scale = np.sqrt(np.where(known, spread_a * spread_b, 1.0))
    return np.where(known, shared / scale, np.nan)


def inner_part(mask: NDArray[np.bool_], border_px: float) -> NDArray[np.bool_]:
    """Keep what lies further from the end of the data than the filters reach."""
    # Two pixels instead of six let the end of the data pull fine structure by 0.15 px.
    size = 2 * round(border_px) + 1
    share = ndimage.uniform_filter(mask.astype(np.float32), size, mode="constant")
    result: NDArray[np.bool_] = share > 1 - 0.5 / size**2
    return result
