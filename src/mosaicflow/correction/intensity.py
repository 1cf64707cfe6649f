"""One intensity scale over depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DepthScale", "depth_scale"]

_SMOOTH_PLANES = 3.0
_LEAST_GEL = 0.01


@dataclass(frozen=True, slots=True)
class DepthScale:
    """What is 0 and what is 1 in each plane.

    Parameters
    ----------
    background, span : ndarray, shape (z,), float32
        ``(value - background) / span`` is the normalised value.
    background_noise : float
        Mean standard deviation of the normalised background.
    """

    background: NDArray[np.float32]
    span: NDArray[np.float32]
    background_noise: float


def depth_scale(
    volume: NDArray[np.float32],
    gel: NDArray[np.bool_],
    *,
    clip_percentile_upper: float = 99.9,
    min_contrast: float = 0.1,
) -> DepthScale | None:
    """Measure background and brightest tissue of every plane, smoothed over depth.

    Without the smoothing the scale flickers where tissue enters or leaves, and the volume gets
    bands.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x), float32
        The slice, thinned out; zeros are no data.
    gel : ndarray, shape (y, x), bool
        Where the gel is.
    clip_percentile_upper : float
        Percentile that becomes 1 [%].
    min_contrast : float
        Least span of a plane, as a part of that of the whole slice: keeps empty planes dark.

    Returns
    -------
    DepthScale or None
        None when the slice holds no data.
    """
    filled = [np.flatnonzero(plane) for plane in volume.reshape(len(volume), -1)]
    usable = np.array([len(found) >= 16 for found in filled])
    if not usable.any():
        return None
    use_gel = gel.mean() >= _LEAST_GEL
    background, top, noise = (np.zeros(len(volume)) for _ in range(3))
    for z in np.flatnonzero(usable).tolist():
        values = volume[z].ravel()[filled[z]]
        quiet = volume[z][gel & (volume[z] > 0)] if use_gel else np.empty(0)
        background[z] = np.median(quiet) if quiet.size else np.percentile(values, 5)
        noise[z] = quiet.std() if quiet.size else 0.0
        top[z] = np.percentile(values, clip_percentile_upper)
    planes = np.arange(len(volume))
    background, top = (
        gaussian_filter1d(
            np.interp(planes, planes[usable], profile[usable]), _SMOOTH_PLANES, mode="nearest"
        )
        for profile in (background, top)
    )
    overall = float(top[usable].max() - background[usable].min())
    if overall <= 0:
        return None
    span = np.maximum(top - background, min_contrast * overall)
    return DepthScale(
        background.astype(np.float32),
        span.astype(np.float32),
        float((noise[usable] / span[usable]).mean()),
    )
