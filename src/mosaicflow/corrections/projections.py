"""Pictures to align by: means over depth, cuts, edges; arrays in, 8-bit arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "edges", "grey", "known_mean", "reduction"]

Image = NDArray[np.float32]

# Longest side of a picture in px: as many as a window shows; twice as many make four times the
# package.
SIDE_PX = 900
# Percentiles of what is known between which grey values are spread; speckle has long tails.
_STRETCH = (0.5, 99.5)
# Smoothing before the gradient [px of the picture]: at 1 speckle still draws edges of its own in
# pictures of a single plane, at 4 the outlines of vessels run together.
_EDGE_PX = 1.5


def reduction(shape_yx: tuple[int, int], most_px: int = SIDE_PX) -> int:
    """Say how many pixels become one, a power of two, so that no side is longer than `most_px`."""
    step = 1
    while max(shape_yx) > step * most_px:
        step *= 2
    return step


def known_mean(values: NDArray[np.floating], axis: int) -> Image:
    """Average what is not 0, which is no data; 0 where nothing is known.

    Parameters
    ----------
    values : ndarray
        Any shape.
    axis : int
        Axis to average over.

    Returns
    -------
    ndarray, float32
        Without that axis.
    """
    count = np.count_nonzero(values, axis=axis)
    total = values.sum(axis=axis, dtype=np.float64)
    return np.asarray(total / np.maximum(count, 1), np.float32)


def grey(image: Image) -> NDArray[np.uint8]:
    """Spread what is not 0 over 1 to 255; 0 stays 0.

    The page tells no data from dark by that 0; previews (`io.previews`) are for eyes and need not.
    """
    known = image[image != 0]
    low, high = np.percentile(known, _STRETCH) if known.size else (0.0, 1.0)
    spread = (image - low) / max(float(high - low), 1e-12)
    return np.where(image != 0, 1 + 254 * np.clip(spread, 0, 1), 0).astype(np.uint8)


def edges(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw outlines: the slope of a grey picture, none along the border of what is known.

    Parameters
    ----------
    image : ndarray, shape (y, x), uint8
        As `grey` makes it.

    Returns
    -------
    ndarray, shape (y, x), uint8
    """
    from scipy.ndimage import binary_erosion, gaussian_gradient_magnitude

    slope = gaussian_gradient_magnitude(image.astype(np.float32), _EDGE_PX)
    inside = binary_erosion(image != 0, iterations=round(3 * _EDGE_PX), border_value=0)
    return grey(np.where(inside, slope, 0).astype(np.float32))
