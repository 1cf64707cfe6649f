"""Which planes of two slices show the same tissue.

Plane 0 of each slice is its block face, and every section cut off lowers the face by one interval:
plane `m` of slice j lies at plane ``(j - i) * interval + m`` of slice i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.slices.images import filled_depth
from mosaicflow.slices.masks import tissue_mask
from mosaicflow.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NOT_MEASURED",
    "DepthMatch",
    "DriftFit",
    "PlaneProducts",
    "deepest_needed",
    "expected_plane",
    "fit_drift",
    "match_planes",
    "measure_drift",
    "shadow_strength",
]

# Planes compared at the least, however few are good, so that speckle averages out a little.
_CONTACT_PLANES = 3
# Planes without common tissue agree by chance: fine structure of gel and noise reaches 0.1-0.2.
_LEAST_CORRELATION = 0.25
# Structure that changes from plane to plane lies between speckle (standard deviation of a Gaussian)
# and the side of a box [px]; coarser one is attenuation and shadow, which agree over all planes.
_SPECKLE_PX, _COARSE_PX = 0.7, 11
# Brightness added to that of the surroundings, of which tissue has about 0.3: noise of dark places
# counts less. Halved or doubled, depths change by 0.05 um.
_DIM = np.float32(0.1)
# Share of the tissue that must be deep enough for the planes compared, and what it costs that the
# rest has no say [planes]: where the face is found too shallow the columns seem deep (half of them:
# 1.5-2.3 um of error on sections of 70 um).
_DEEP_SHARES = (0.98, 0.0), (0.8, 0.1), (0.5, 0.2)
# How far plane 0 is off, half of which is water: 0.42 planes in 30 pairs.
_FACE_DOUBT = 0.4
# Pixels that are enough to compare planes, and planes of tissue that make a column one.
_LEAST_PX, _TISSUE_PX = 64, 4.0
# Tissue this near to the end of the data is left out [px]: filters see half their neighbourhood.
_BORDER_PX = 3
# Planes above a cut that are left out of what throws shadows: they resemble the tissue below it.
_NEAR_PLANES = 3
# Two patterns more alike than this cannot be told apart.
_WELL_POSED = 1e8
# Standard deviation between planes of the slope at the peak, where one or two planes cannot tell:
# single planes of 30 sections err by 0.6 um, which this is.
_SLOPE = 0.02
# Rests of shadows tilt the peak by this share of its height: mean errors of sets of seven sections
# are up to 0.25 um, which this is. Doubled, errors of 43 sections are 0.59 of what is claimed and
# not 0.74; without it those of that set are 1.5 times the claim.
_TILT = 0.003
# Linear interpolation between planes, twice, leaves this much [planes].
_LEAST_SIGMA = 0.02


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
    # A plane that the knife may have spoiled is better than none.
    first = min(first_index, max(0, last + 1 - _CONTACT_PLANES))
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
        Added to the expected depth of its face.
    correlation, expected_correlation : float
        Mean correlation of matched planes with and without it.
    sigma_planes : float
        Standard error by the curvature of the peak and the scatter between planes; infinite when
        the depth could not be measured.
    """

    drift_planes: float
    correlation: float
    expected_correlation: float
    sigma_planes: float


NOT_MEASURED = DriftFit(0.0, math.nan, math.nan, math.inf)  # no drift, and no bound on its error
"""The images do not tell."""


@dataclass(frozen=True, slots=True)
class PlaneProducts:
    """Products of each plane of two slices with each other: all that a fit of depth asks of them.

    Parameters
    ----------
    fixed : ndarray, shape (n, n), float64
        Of the planes of the fixed slice with each other.
    across : ndarray, shape (n, m), float64
        Of them with those of the moving slice.
    moving : ndarray, shape (m, m), float64
        Of those with each other.
    """

    fixed: NDArray[np.float64]
    across: NDArray[np.float64]
    moving: NDArray[np.float64]

    @classmethod
    def of(cls, fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> PlaneProducts:
        """Multiply planes (z, pixels) of laterally aligned slices, each brought to a mean of 0."""
        a, b = (part - part.mean(axis=1, keepdims=True) for part in (fixed, moving))
        found = a @ a.T, a @ b.T, b @ b.T
        return cls(*(one.astype(np.float64) for one in found))

    @property
    def correlations(self) -> NDArray[np.float64]:
        """Correlation of each plane of the fixed slice with each of the moving one."""
        power = np.outer(np.diag(self.fixed), np.diag(self.moving))
        return self.across / np.sqrt(np.maximum(power, 1e-48))

    def lit(self, strength: float) -> PlaneProducts:
        """Give them as if no plane took light from those below it."""
        a, b = (_without_shadows(len(own), strength) for own in (self.fixed, self.moving))
        return PlaneProducts(a @ self.fixed @ a.T, a @ self.across @ b.T, b @ self.moving @ b.T)


def deepest_needed(n_fixed: int, lag_planes: float, first_index: int, max_drift_planes: int) -> int:
    """Count the planes of the moving slice that `measure_drift` looks at."""
    reached = max(math.ceil(n_fixed - 1 - lag_planes) + max_drift_planes, 1)
    return max(reached, first_index + 1) + 1


def measure_drift(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    *,
    lag_planes: float,
    first_index: int,
    max_drift_planes: int,
) -> DriftFit:
    """Slide one slice along depth and find where its tissue matches best.

    Parameters
    ----------
    fixed, moving : ndarray, shape (z, y, x), float32
        Laterally aligned planes; 0 is no data. Of the moving slice no more than `deepest_needed`
        are looked at.
    lag_planes : float
        Expected depth of the moving slice's face in the fixed slice [planes].
    first_index : int
        Planes at the top of the moving slice that the knife may have spoiled.
    max_drift_planes : int
        Largest departure searched.

    Returns
    -------
    DriftFit
    """
    # The last plane of a column had none below it to be interpolated with.
    deep = filled_depth(fixed) - 1, filled_depth(moving) - 1
    top = min(first_index + 1, *(len(one) - 1 for one in (fixed, moving)))
    if top < 1:
        return NOT_MEASURED
    tissue = tissue_mask(fixed[:top].mean(axis=0), deep[0] >= top, _TISSUE_PX) & (deep[1] >= top)
    if tissue.sum() < _LEAST_PX:
        return NOT_MEASURED
    fine = _fine(fixed), _fine(moving)
    found = NOT_MEASURED
    for share, doubt in _DEEP_SHARES:
        n_fixed, n_moving = (int(np.quantile(one[tissue], 1 - share)) for one in deep)
        # Of the moving slice only what the fixed one reaches is needed.
        n_moving = min(max(math.ceil(n_fixed - lag_planes) + max_drift_planes, 1), n_moving)
        inside = tissue & (deep[0] >= n_fixed) & (deep[1] >= n_moving)
        inside = ndimage.binary_erosion(inside, iterations=_BORDER_PX)
        if inside.sum() < _LEAST_PX or n_moving < 1:
            continue
        products = PlaneProducts.of(fine[0][:n_fixed, inside], fine[1][:n_moving, inside])
        for first, more in _first_planes(first_index, n_fixed - lag_planes).items():
            found = _fit_without_shadows(
                products,
                lag_planes=lag_planes,
                first_index=first,
                max_drift_planes=max_drift_planes,
            )
            if math.isfinite(found.sigma_planes):
                return replace(found, sigma_planes=math.hypot(found.sigma_planes, doubt, more))
    return found


def _first_planes(first_index: int, common_planes: float) -> dict[int, float]:
    """List first planes to try, and what each costs [planes]: below what the knife spoiled, if any.

    The face lies in the middle of plane 0, which is half water: it shows what lies 4 um deeper than
    it should. Thin overlaps that used it had sections 1.9 um too thick, each of them.
    """
    first = min(first_index, max(1, int(common_planes) - _CONTACT_PLANES))
    return {first: 0.0, 0: _FACE_DOUBT}


def _fit_without_shadows(
    products: PlaneProducts, *, lag_planes: float, first_index: int, max_drift_planes: int
) -> DriftFit:
    """Fit, learn from the match how strong shadows are, and fit again without them.

    What lies above a plane darkens it in its own pattern, so that the plane seems to lie a little
    deeper. Under the cut there is nothing above: uncorrected, sections came out 1.7 um too thin.
    """
    fit = partial(
        fit_drift,
        lag_planes=lag_planes,
        first_index=first_index,
        max_drift_planes=max_drift_planes,
    )
    found = fit(products)
    if not math.isfinite(found.sigma_planes):
        return found
    strength = shadow_strength(products, lag_planes + found.drift_planes)
    if strength <= 0:
        return found
    again = fit(products.lit(strength))
    return again if math.isfinite(again.sigma_planes) else found


def shadow_strength(products: PlaneProducts, lag_planes: float) -> float:
    """Measure how strongly tissue shadows what lies below it.

    The fixed slice shows the common tissue below what was cut off later, the moving slice shows it
    at its face: what the two do not share is the shadow of the cut-off tissue, which the fixed
    slice shows too.

    Parameters
    ----------
    products : PlaneProducts
        Of the fine structure of laterally aligned planes.
    lag_planes : float
        Depth of the moving slice's face in the fixed slice [planes].

    Returns
    -------
    float
        Loss of a plane per plane of tissue above, both in units of their structure; the median
        over the planes that both slices show, 0 where none tells.
    """
    n_above = int(lag_planes) - _NEAR_PLANES
    if n_above < 1:
        return 0.0
    n_fixed, n_moving = products.across.shape
    # The tissue above as one plane: its products with itself and with those of either slice.
    above_fixed = products.fixed[:n_above].sum(axis=0)
    above_moving = products.across[:n_above].sum(axis=0)
    above = float(above_fixed[:n_above].sum())
    found = []
    for number in range(n_moving):
        below = math.floor(number + lag_planes)
        if below + 1 >= n_fixed:
            break
        share = number + lag_planes - below
        between = np.array([1 - share, share])
        same = [
            between @ own[below : below + 2] for own in (products.across[:, number], above_fixed)
        ]
        shadow = float(above_moving[number])
        normal = np.array([[products.moving[number, number], shadow], [shadow, above]])
        if np.linalg.cond(normal) < _WELL_POSED:
            found.append(-np.linalg.solve(normal, np.array(same))[1])
    return float(np.median(found)) if found else 0.0


def _without_shadows(n_planes: int, strength: float) -> NDArray[np.float64]:
    """Give the weights by which planes as seen make up planes as lit, (planes, planes)."""
    lit = np.eye(n_planes)
    for plane in range(1, n_planes):
        lit[plane] += strength * lit[:plane].sum(axis=0)
    return lit


def _fine(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the fine structure of planes as a share of what surrounds it.

    Shadows darken by a factor: below bright tissue all structure is weaker, and the more so the
    deeper. Absolute structure had sections 0.4 um too thin, shares half of that.
    """
    fine = np.empty_like(planes)
    for plane, found in zip(planes, fine, strict=True):
        smooth = gaussian(plane, _SPECKLE_PX)
        coarse = ndimage.uniform_filter(smooth, _COARSE_PX)
        np.subtract(smooth, coarse, out=found)
        found /= np.maximum(coarse, 0) + _DIM
    return fine


def fit_drift(
    products: PlaneProducts, *, lag_planes: float, first_index: int, max_drift_planes: int
) -> DriftFit:
    """Find the shift along depth at which planes correlate best.

    Parameters
    ----------
    products : PlaneProducts
        Of the fine structure of laterally aligned planes.
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
    lag = round(lag_planes)
    drifts = np.arange(-max_drift_planes, max_drift_planes + 1)
    table = products.correlations
    n_fixed, n_moving = table.shape
    planes = np.arange(first_index, n_moving)
    if not planes.size or not n_fixed:
        return NOT_MEASURED
    at = planes[None, :] + lag + drifts[:, None]
    there = (at >= 0) & (at < n_fixed)
    curves = np.where(there, table[np.clip(at, 0, n_fixed - 1), planes[None, :]], 0.0)
    # Each candidate is judged by the planes it has; the three that decide, by common ones.
    count = there.sum(axis=1)
    mean = np.where(count > 0, curves.sum(axis=1) / np.maximum(count, 1), -1.0)
    best = int(np.argmax(mean))
    expected = float(mean[max_drift_planes])
    unclear = DriftFit(0.0, expected, expected, math.inf)
    if best in (0, len(drifts) - 1):
        return unclear
    common = there[best - 1 : best + 2].all(axis=0)
    if not common.any():
        return unclear
    three = curves[best - 1 : best + 2, common]
    peak = _Peak.of(three)
    if peak is None or peak.height < _LEAST_CORRELATION:
        return unclear
    # What tilts the peak where fixed planes slide tilts it the other way where moving ones do: on
    # 26 sections of 200 um the mean error is 0.25 um so, 0.35 um without.
    inner = common & (planes > first_index) & (planes + 1 < n_moving)
    back = [table[at[best, inner], planes[inner] - step] for step in (-1, 0, 1)]
    again = _Peak.of(np.array(back)) if inner.any() else None
    beside = peak.beside if again is None else (peak.beside + again.beside) / 2
    drift = float(drifts[best]) + beside - (lag_planes - lag)
    slope = three[2] - three[0]
    spread = float(slope.std(ddof=1)) if len(slope) > 2 else _SLOPE
    scatter = max(spread, _SLOPE / 2) / math.sqrt(len(slope)) / 2
    sigma = math.hypot(math.hypot(scatter, _TILT * peak.height) / peak.curvature, _LEAST_SIGMA)
    return DriftFit(drift, peak.height, expected, sigma)


@dataclass(frozen=True, slots=True)
class _Peak:
    """A parabola through the means of three rows: the middle one, and its peak beside it."""

    height: float
    curvature: float
    beside: float

    @classmethod
    def of(cls, three: NDArray[np.float64]) -> _Peak | None:
        """Fit it; None where the middle row is no peak."""
        left, middle, right = (float(v) for v in three.mean(axis=1))
        curvature = 2 * middle - left - right
        # Judged by common planes the peak may lie nearer to a neighbour, but not beyond it.
        if curvature <= max(1e-6, 0.5 * abs(right - left)):
            return None
        return cls(middle, curvature, 0.5 * (right - left) / curvature)
