"""The light that every tile receives whatever it shows: camera offset, stray light, empty slide.

It adds to the signal, so that no division by a flat field can remove it:
``recorded = signal x S + D``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from mosaicflow.optics.illumination import overlap_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.optics.illumination import OverlapPair

    Image = NDArray[np.float32]

__all__ = ["background_image", "contrast_residual", "signal_only"]

# With fewer images the darkest of them may well be tissue.
_FEWEST_IMAGES = 30
# Of all images at a pixel: the dark ground, where a tenth of the tiles at least shows it
_PERCENTILE = 10
# Images between these percentiles must agree at a pixel, or what is dark there is dim tissue.
_PLATEAU = (5, 25)
_BRIGHT = 95  # percentile that counts as bright: lone saturated pixels are above
# Largest share of the contrast between dark and bright by which they may differ.
_LEVEL = 0.03
# Standard deviation that smooths the dark image [px], by judgement. Doubled, what varies from
# column to column fades.
_SMOOTH_PX = 2.0
# Less signal than this share of the brightest tells nothing about the flat field.
_LEAST_SIGNAL = 0.2


def background_image(samples: Image) -> Image | None:
    """Find what all tiles show where they show nothing.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Tile images; zeros count as no data.

    Returns
    -------
    ndarray, shape (y, x), float32, or None
        Smoothed low percentile of each pixel; None when the dark images do not agree with each
        other, as where every tile is full of tissue.
    """
    whole = samples[samples.all(axis=(1, 2))]
    if len(whole) < _FEWEST_IMAGES:
        return None
    low, dark, quarter, bright = np.percentile(
        whole, (_PLATEAU[0], _PERCENTILE, _PLATEAU[1], _BRIGHT), axis=0
    )
    if (quarter - low).mean() > _LEVEL * (bright - low).mean():
        return None
    return np.asarray(gaussian_filter(dark, _SMOOTH_PX, mode="nearest"), dtype=np.float32)


def signal_only(
    samples: Image, pairs: Sequence[OverlapPair], background: Image
) -> tuple[Image, list[OverlapPair]]:
    """Subtract the background, and blank what is then too dark to tell of the flat field.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Tile images.
    pairs : sequence of OverlapPair
        Overlapping tiles.
    background : ndarray, shape (y, x), float32
        From `background_image`.

    Returns
    -------
    (ndarray, list of OverlapPair)
        The same with zeros where there is no signal to speak of.
    """
    least = _LEAST_SIGNAL * float(np.percentile(samples - background, _BRIGHT))

    def signal(images: Image) -> Image:
        above = images - background
        return np.where(above > least, above, np.float32(0))

    return signal(samples), [
        replace(pair, first=signal(pair.first), second=signal(pair.second)) for pair in pairs
    ]


def contrast_residual(pairs: Sequence[OverlapPair]) -> float:
    """Measure how much of the contrast in overlaps the two tiles do not agree on.

    Unlike a log ratio, the figure stays the same when all tiles get brighter by a constant, and
    so tells whether an offset is right.

    Parameters
    ----------
    pairs : sequence of OverlapPair
        Overlapping tiles.

    Returns
    -------
    float
        Mean |a - b| over the mean absolute deviation of (a + b) / 2 from its median; NaN without
        overlaps or contrast.
    """
    found = [overlap_values(pair) for pair in pairs]
    if not found:
        return float("nan")
    first, second = (
        np.concatenate([getattr(one, side).mean(axis=0)[one.known] for one in found])
        for side in ("first", "second")
    )
    middle = (first + second) / 2
    spread = float(np.abs(middle - np.median(middle)).mean()) if middle.size else 0.0
    return float(np.abs(first - second).mean()) / spread if spread > 0 else float("nan")
