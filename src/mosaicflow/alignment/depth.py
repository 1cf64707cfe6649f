"""Which planes of two slices show the same tissue.

Plane 0 of each slice is its block face, and every section cut off lowers the face by one interval:
plane `m` of slice j lies at plane ``(j - i) * interval + m`` of slice i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DepthMatch", "DriftFit", "expected_plane", "fit_drift", "match_planes"]

# Planes compared where two slices share no tissue, so that speckle averages out a little.
_CONTACT_PLANES = 3


@dataclass(frozen=True, slots=True)
class DepthMatch:
    """Planes of two slices to be averaged and compared.

    Parameters
    ----------
    fixed, moving : ndarray, shape (planes,), float64
        Weight of each plane of the two slices; each sums to 1.
    n_planes : int
        Number of planes of the moving slice that take part.
    fixed_z, moving_z : int
        First pair of matched planes.
    distance_planes : float
        Tissue between the planes compared; 0 when they show the same tissue.
    """

    fixed: NDArray[np.float64]
    moving: NDArray[np.float64]
    n_planes: int
    fixed_z: int
    moving_z: int
    distance_planes: float


def expected_plane(id_step: int, interval_planes: float, moving_z: int) -> float:
    """Return the plane of the fixed slice that shows the tissue of plane `moving_z`."""
    return id_step * interval_planes + moving_z


def match_planes(
    n_fixed: int,
    n_moving: int,
    *,
    lag_planes: float,
    first_index: int,
) -> DepthMatch:
    """Choose the planes to compare.

    Parameters
    ----------
    n_fixed, n_moving : int
        Planes of the two slices.
    lag_planes : float
        Depth of the moving slice's face in the fixed slice [planes].
    first_index : int
        Planes at the top of the moving slice that the knife may have spoiled.

    Returns
    -------
    DepthMatch
        All planes both slices show; without any, the last planes of the fixed slice and the first
        good ones of the moving slice.
    """
    last = min(n_moving - 1, math.floor(n_fixed - 1 - lag_planes))
    if last < 0:
        return _contact(n_fixed, n_moving, lag_planes, min(first_index, n_moving - 1))
    first = min(first_index, last)
    moving = np.zeros(n_moving)
    moving[first : last + 1] = 1 / (last + 1 - first)
    fixed = np.zeros(n_fixed)
    for plane in range(first, last + 1):
        below = math.floor(plane + lag_planes)
        share = plane + lag_planes - below
        for index, part in ((below, 1 - share), (below + 1, share)):
            fixed[min(max(index, 0), n_fixed - 1)] += part * moving[plane]
    return DepthMatch(fixed, moving, last + 1 - first, round(first + lag_planes), first, 0.0)


def _contact(n_fixed: int, n_moving: int, lag: float, first: int) -> DepthMatch:
    fixed, moving = np.zeros(n_fixed), np.zeros(n_moving)
    n_bottom, n_top = min(_CONTACT_PLANES, n_fixed), min(_CONTACT_PLANES, n_moving - first)
    fixed[n_fixed - n_bottom :] = 1 / n_bottom
    moving[first : first + n_top] = 1 / n_top
    distance = lag + first + (n_top - 1) / 2 - (n_fixed - 1 - (n_bottom - 1) / 2)
    return DepthMatch(fixed, moving, n_top, n_fixed - 1, first, distance)


@dataclass(frozen=True, slots=True)
class DriftFit:
    """How far the depth of the moving slice departs from the expected one.

    Parameters
    ----------
    drift_planes : float
        Added to the expected plane; 0 when nothing better was found.
    correlation, expected_correlation : float
        Mean correlation of matched planes with and without it.
    sigma_planes : float
        Standard error suggested by the curvature and the scatter between planes; infinite when
        the depth could not be measured.
    """

    drift_planes: float
    correlation: float
    expected_correlation: float
    sigma_planes: float


def fit_drift(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    *,
    lag_planes: float,
    first_index: int,
    max_drift_planes: int,
) -> DriftFit:
    """Slide one slice along depth and find where its planes match best.

    Parameters
    ----------
    fixed, moving : ndarray, shape (z, pixels), float32
        Laterally aligned, coarsely binned planes.
    lag_planes : float
        Expected depth of the moving slice's face in the fixed slice [planes].
    first_index : int
        Planes at the top of the moving slice left out.
    max_drift_planes : int
        Largest departure searched.

    Returns
    -------
    DriftFit
    """
    table = _unit_planes(fixed) @ _unit_planes(moving).T
    lag = round(lag_planes)
    drifts = np.arange(-max_drift_planes, max_drift_planes + 1)
    # Every candidate is judged by the same moving planes: fewer would favour the noise.
    planes = np.arange(first_index, moving.shape[0])
    deepest = planes + lag + max_drift_planes < fixed.shape[0]
    planes = planes[deepest & (planes + lag - max_drift_planes >= 0)]
    if len(planes) < 3 or max_drift_planes < 1:
        return DriftFit(0.0, math.nan, math.nan, math.inf)
    curves = np.stack([table[planes + lag + drift, planes] for drift in drifts])
    mean = curves.mean(axis=1)
    # Matching planes of speckled slices are noisy: smooth along depth before the peak is sought.
    smooth = np.convolve(np.pad(mean, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    best = int(np.argmax(smooth))
    expected = float(smooth[max_drift_planes])
    if best in (0, len(drifts) - 1):
        return DriftFit(0.0, expected, expected, math.inf)
    left, peak, right = (float(v) for v in smooth[best - 1 : best + 2])
    curvature = 2 * peak - left - right
    if curvature <= 1e-6:
        return DriftFit(0.0, expected, expected, math.inf)
    drift = float(drifts[best]) + 0.5 * (right - left) / curvature - (lag_planes - lag)
    slope = curves[best + 1] - curves[best - 1]
    scatter = float(slope.std(ddof=1)) / math.sqrt(len(planes)) / 2
    return DriftFit(drift, peak, expected, scatter / curvature + 0.05)


def _unit_planes(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    centered = planes - planes.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    result: NDArray[np.float32] = (centered / np.maximum(length, 1e-12)).astype(np.float32)
    return result
