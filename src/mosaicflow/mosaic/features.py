"""What of a tile is compared with its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from mosaicflow.averages import bin_mean
from mosaicflow.smoothing import gaussian
from mosaicflow.spread import median_of, median_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = [
    "band_passed",
    "common_pattern",
    "log_image",
    "remove_pattern",
    "tile_features",
    "tile_levels",
]


# Zero means that there is no data: a value that happens to be zero becomes this.
_NEXT_TO_ZERO = np.float32(1e-7)
# Side of the neighbourhood in which halves of the tiles are compared [px]: structure of 3 px gives
# it 25 independent values, a fifth of doubt; doubled, a speck of dust is lost in it.
_AGREEMENT_PX = 15


def log_image(bands: Image) -> Image:
    """Turn depth-band means into their logarithm about its median.

    The logarithm makes speckle and shading, which multiply, an even noise and an offset.

    Parameters
    ----------
    bands : ndarray, shape (bands, y, x), float32
        Means over depth bands, divided by the flat field.

    Returns
    -------
    ndarray, shape (bands, y, x), float32
        Zero where there is no data.
    """
    known = bands > 0
    if not known.any():
        return np.zeros_like(bands)
    everywhere = bool(known.all())
    # The floor keeps the logarithm finite.
    floor = 0.05 * median_of(bands if everywhere else bands[known])
    logs = np.log(np.maximum(bands, 0) + np.float32(floor))
    for image in logs:
        image -= median_of(image)
    logs[logs == 0] = _NEXT_TO_ZERO  # of 8-bit samples many are the median
    if not everywhere:
        logs[~known] = 0
    return np.asarray(logs, dtype=np.float32)


def band_passed(logs: Image, *, fine_px: float = 1.0, coarse_px: float = 5.0) -> Image:
    """Keep what is as large as tissue's structure: neither speckle nor shading.

    Parameters
    ----------
    logs : ndarray, shape (..., y, x), float32
        Logarithm of an image, or of several; zero where there is no data.
    fine_px, coarse_px : float
        Widths of the band-pass (a Gaussian minus a wider one).

    Returns
    -------
    ndarray of the same shape, float32
        Zero where there is no data.
    """
    features = gaussian(logs, fine_px, beyond="nearest", truncate=3.0)
    features -= gaussian(logs, coarse_px, beyond="nearest", truncate=3.0)
    features[logs == 0] = 0
    return features


def tile_features(bands: Image, *, fine_px: float = 1.0, coarse_px: float = 5.0) -> Image:
    """Turn depth-band means into images in which tissue stands out and speckle and shading do not.

    Parameters
    ----------
    bands : ndarray, shape (bands, y, x), float32
        Means over depth bands, divided by the flat field.
    fine_px, coarse_px : float
        Widths of the band-pass (a Gaussian minus a wider one).

    Returns
    -------
    ndarray, shape (bands, y, x), float32
        Band-passed logarithm; zero where there is no data.
    """
    return band_passed(log_image(bands), fine_px=fine_px, coarse_px=coarse_px)


def common_pattern(features: Sequence[Image], *, fewest: int = 16) -> Image | None:
    """Find what all tiles have in common, which is the instrument and not the tissue.

    Dust, scan lines and what a flat field leaves would otherwise correlate better than the tissue
    does, at the wrong shift.

    Parameters
    ----------
    features : sequence of ndarray, each shape (bands, y, x), float32
        Features of many tiles.
    fewest : int
        With fewer tiles than this the median would hold tissue.

    Returns
    -------
    ndarray, shape (bands, y, x), float32, or None
        Median over the tiles, where two halves of them agree on it: elsewhere it is what is left
        of the tissue, which would bind all tiles to each other.
    """
    if len(features) < fewest:
        return None
    one, two = (median_over(features[half::2]) for half in (0, 1))
    return np.asarray((one + two) / 2 * _agreement(one, two), dtype=np.float32)


def _agreement(one: Image, two: Image) -> Image:
    """Share of the fine structure of two images that is the same in both, place by place."""
    fine = [image - gaussian(image, 5.0, beyond="nearest") for image in (one, two)]
    size = (len(one), _AGREEMENT_PX, _AGREEMENT_PX)
    common = uniform_filter(fine[0] * fine[1], size, mode="nearest")
    power = uniform_filter(np.square(fine[0] + fine[1]) / 4, size, mode="nearest")
    return np.asarray(np.clip(common / np.maximum(power, 1e-12), 0, 1), dtype=np.float32)


def remove_pattern(image: Image, pattern: Image | None) -> None:
    """Take off what all tiles show, where there is data, in place.

    Parameters
    ----------
    image : ndarray, shape (bands, y, x), float32
        Features of a tile, or its logarithm; zero where there is no data.
    pattern : ndarray of the same shape, or None
        What all tiles have in common; None leaves the image as it is.
    """
    if pattern is None:
        return
    known = image != 0
    image -= pattern
    image += _NEXT_TO_ZERO  # a tile that is itself the median somewhere has data there all the same
    image *= known


def tile_levels(bands: Image, bins: Sequence[int]) -> dict[int, Image]:
    """Show a tile at several pitches, for searches from coarse to fine.

    Parameters
    ----------
    bands : ndarray, shape (bands, y, x), float32
        Means over depth bands, divided by the flat field.
    bins : sequence of int
        Pixels averaged along each axis.

    Returns
    -------
    dict
        0 -> the unfiltered logarithm of all bands; 1, if asked for -> features of all bands;
        bin -> features of their mean, shape (1, y // bin, x // bin).
    """
    mean = bands.mean(axis=0, keepdims=True)
    levels = {0: log_image(bands)}
    for size in bins:
        if size == 1:
            levels[1] = band_passed(levels[0])
            continue
        levels[size] = tile_features(bin_mean(mean, size))
    return levels
