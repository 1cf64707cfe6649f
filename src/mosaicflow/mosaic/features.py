"""What of a tile is compared with its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["common_pattern", "tile_features"]


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
    known = bands > 0
    if not known.any():
        return np.zeros_like(bands)
    floor = 0.05 * float(np.median(bands[known]))
    # The logarithm makes speckle, which multiplies, an even noise; the floor keeps it finite.
    logs = np.log(np.maximum(bands, 0) + np.float32(floor))
    logs -= np.median(logs, axis=(1, 2), keepdims=True)
    logs[~known] = 0
    sigma = (0.0, fine_px, fine_px)
    wide = (0.0, coarse_px, coarse_px)
    features = gaussian_filter(logs, sigma, mode="nearest", truncate=3.0)
    features -= gaussian_filter(logs, wide, mode="nearest", truncate=3.0)
    features[~known] = 0
    return np.asarray(features, dtype=np.float32)


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
        Median over the tiles.
    """
    if len(features) < fewest:
        return None
    return np.asarray(np.median(np.stack(features), axis=0), dtype=np.float32)
