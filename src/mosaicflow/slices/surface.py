"""The block face in a slice: where water ends and tissue begins, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.ndimage import gaussian_filter1d

from mosaicflow.errors import QualityError
from mosaicflow.fits import robust_fit
from mosaicflow.smoothing import gaussian
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["Surface", "SurfaceModel", "detect_surface", "fit_surface", "rise", "sharpened"]

SurfaceModel = Literal["plane_waviness", "plane", "global"]

# Standard deviation of the edge filter that finds the face [planes], by judgement. Doubled, thin
# layers of water vanish.
_SIGMA_PLANES = 2.0
# Of the one that says where in a plane it lies. Tissue that gets brighter or darker below the face
# moves the steepest place by the square of it: with 2 planes the faces of 16 slices were 0.3-0.9 um
# off against each other, with this half of that.
_FINE_PLANES = 1.0
# How far the finer edge is looked for from the one that was found [planes]: what the two differ by.
_NEAR_PLANES = 2
# A column of water must be this much darker than the tissue below to count as an interface.
_LEAST_CONTRAST = 1.3
# Cost of a step of one plane between neighbouring columns, in heights of the edge; by judgement.
# Doubled, steep faces are cut through.
_STEP_COST = 0.3
# Order of a wavy face, by judgement. Doubled, it follows the tissue.
_WAVINESS_ORDER = 4
# Share by which the wavy face must explain left-out columns better, by judgement. Doubled, slight
# waves stay.
_LEAST_GAIN = 0.05
# And by how much [planes]: where a sharp face crosses planes the steepest place ripples, which a
# wavy face follows by 0.003. Doubled, waves of 0.1 um stay in planes of 10 um.
_LEAST_WAVE_PLANES = 0.01


@dataclass(frozen=True, slots=True)
class Surface:
    """Depth of the block face as a smooth function of the position in the slice.

    Parameters
    ----------
    coefficients : ndarray, shape (order + 1, order + 1), float64
        Legendre coefficients [planes] over the slice scaled to -1..1, first index y.
    shape_yx : (int, int)
        Lateral shape of the slice.
    residual_planes : float
        Median distance of detected columns from the surface.
    model : str
        What was fitted.
    """

    coefficients: NDArray[np.float64]
    shape_yx: tuple[int, int]
    residual_planes: float
    model: SurfaceModel

    def record(self) -> dict[str, Any]:
        """Describe the surface for the block of a store."""
        return {
            "model": self.model,
            "basis": "Legendre products over the slice scaled to -1..1, first index y",
            "coefficients_planes": self.coefficients.tolist(),
        }

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any] | None, shape_yx: Sequence[int]
    ) -> Surface | None:
        """Read what `record` wrote; None stays None."""
        if not record:
            return None
        coefficients = np.array(record["coefficients_planes"], dtype=np.float64)
        return cls(coefficients, (shape_yx[0], shape_yx[1]), 0.0, record["model"])

    def depth(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Depth [planes] of every pixel of a block, shape (y, x)."""
        order = len(self.coefficients) - 1
        y, x = (
            legvander((np.arange(part.start, part.stop) + 0.5) / length * 2 - 1, order)
            for part, length in zip((rows, columns), self.shape_yx, strict=True)
        )
        return np.asarray(y @ self.coefficients @ x.T)


def rise(volume: Volume, *sigmas_planes: float) -> tuple[Volume, ...]:
    """Measure how steeply each column rises with depth, relative to its own brightness.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x), float32
        Laterally reduced slice.
    *sigmas_planes : float
        Standard deviations of the Gaussian along z.

    Returns
    -------
    tuple of ndarray, shape (z, y, x), float32
        For each the derivative of a Gaussian along z, scaled by the column's 90th percentile; zero
        where the column holds no data.
    """
    smooth = gaussian(volume, 1.0, beyond="nearest")
    bright = np.percentile(smooth, 90, axis=0)
    slopes = (gaussian_filter1d(smooth, s, axis=0, order=1, mode="nearest") for s in sigmas_planes)
    scale = np.where(bright > 0, bright, 1)
    return tuple(np.where(bright > 0, s / scale, 0).astype(np.float32) for s in slopes)


def detect_surface(steepness: Volume) -> NDArray[np.int64]:
    """Trace the steepest rise so that neighbouring columns agree.

    Parameters
    ----------
    steepness : ndarray, shape (z, y, x), float32
        From `rise`.

    Returns
    -------
    ndarray, shape (y, x), int64
        Plane of the face.

    Notes
    -----
    Semi-global matching: dynamic programming along four directions, their costs added
    (Hirschmueller 2008, doi:10.1109/TPAMI.2007.1166).
    """
    scale = float(np.percentile(steepness.max(axis=0), 75)) or 1.0
    cost = -steepness / scale
    total = np.zeros_like(cost)
    for axis in (1, 2):
        for reverse in (False, True):
            total += _aggregated(cost, axis, reverse=reverse)
    return np.asarray(total.argmin(axis=0), np.int64)


def sharpened(surface: NDArray[np.int64], steepness: Volume) -> NDArray[np.float64]:
    """Say where between planes a face lies.

    Parameters
    ----------
    surface : ndarray, shape (y, x), int64
        Plane of the face, from `detect_surface`.
    steepness : ndarray, shape (z, y, x), float32
        From `rise`, with a narrow filter.

    Returns
    -------
    ndarray, shape (y, x), float64
        Depth of the steepest place near to it [planes].
    """
    last = len(steepness) - 1
    near = [
        np.take_along_axis(steepness, np.clip(surface + d, 0, last)[None], axis=0)[0]
        for d in range(-_NEAR_PLANES, _NEAR_PLANES + 1)
    ]
    best = surface + np.argmax(near, axis=0) - _NEAR_PLANES
    inner = np.clip(best, 1, last - 1)
    low, mid, high = (
        np.take_along_axis(steepness, (inner + d)[None], axis=0)[0] for d in (-1, 0, 1)
    )
    bend = low - 2 * mid + high
    fraction = np.where(bend < 0, 0.5 * (low - high) / np.where(bend < 0, bend, 1), 0)
    refined = np.where(best == inner, inner + np.clip(fraction, -0.5, 0.5), np.clip(best, 0, last))
    return np.asarray(refined, dtype=np.float64)


def _aggregated(cost: Volume, axis: int, *, reverse: bool) -> Volume:
    """Cheapest path to each voxel along one lateral direction, one plane per step at most."""
    along = np.moveaxis(cost, axis, 0)
    along = along[::-1] if reverse else along
    result = np.empty_like(along)
    previous = np.zeros_like(along[0])
    for number, layer in enumerate(along):
        up = np.pad(previous[1:], ((0, 1), (0, 0)), constant_values=np.inf)
        down = np.pad(previous[:-1], ((1, 0), (0, 0)), constant_values=np.inf)
        cheapest = np.minimum(previous, np.minimum(up, down) + _STEP_COST)
        previous = layer + np.minimum(cheapest, previous.min(axis=0) + 3 * _STEP_COST)
        previous -= previous.min(axis=0)
        result[number] = previous
    result = result[::-1] if reverse else result
    return np.moveaxis(result, 0, axis)


def fit_surface(
    volume: Volume, shape_yx: tuple[int, int], model: SurfaceModel = "plane_waviness"
) -> Surface | None:
    """Find the block face of a slice.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x), float32
        The slice, laterally reduced.
    shape_yx : (int, int)
        Lateral shape of the full slice.
    model : {'plane_waviness', 'plane', 'global'}
        The knife cuts a plane; `plane_waviness` adds a smooth departure if held-out columns agree;
        `global` is one depth for the whole slice.

    Returns
    -------
    Surface or None
        None when there is no layer of water above the tissue.

    Raises
    ------
    QualityError
        When no column gets brighter with depth, as in a slice of negative values.
    """
    known = volume.any(axis=0)
    if not known.any():
        return None
    mean = volume[:, known].mean(axis=1)
    steepness, fine = rise(volume, _SIGMA_PLANES, _FINE_PLANES)
    start = int(np.argmax(steepness[:, known].mean(axis=1)))
    above, below = mean[: max(1, start - 2)].mean(), mean[start + 2 :].max(initial=0.0)
    if below < _LEAST_CONTRAST * above:
        return None
    if not steepness.max() > 0:
        raise QualityError(
            f"no column gets brighter with depth; its values reach from {volume.min():g} to"
            f" {volume.max():g}, intensities above zero are expected",
            remedy="was a dark image subtracted twice? use the values as the camera gave them",
        )
    coefficients = np.zeros((2, 2))
    coefficients[0, 0] = start
    if model == "global":
        return Surface(coefficients, shape_yx, 0.0, "global")
    depth = sharpened(detect_surface(steepness), fine)
    weight = np.where(known, np.maximum(steepness.max(axis=0), 0), 0)
    # What is far from the bulk of the columns is a bubble, a vessel or a reflection.
    depth_plane, weight = _fitted(depth, weight, 1)
    residual = _median_residual(depth, weight, depth_plane)
    if model == "plane":
        return Surface(depth_plane, shape_yx, residual, "plane")
    tested = [_held_out(depth, weight, order) for order in (1, _WAVINESS_ORDER)]
    if not tested[1] < min((1 - _LEAST_GAIN) * tested[0], tested[0] - _LEAST_WAVE_PLANES):
        return Surface(depth_plane, shape_yx, residual, "plane")
    wavy, weight = _fitted(depth, weight, _WAVINESS_ORDER)
    return Surface(wavy, shape_yx, _median_residual(depth, weight, wavy), "plane_waviness")


def _design(shape: tuple[int, ...], order: int) -> NDArray[np.float64]:
    y, x = (legvander((np.arange(n) + 0.5) / n * 2 - 1, order) for n in shape)
    products = np.einsum("yi,xj->yxij", y, x)
    return np.asarray(products.reshape(shape[0] * shape[1], -1))


def _fitted(
    depth: NDArray[np.float64], weight: NDArray[np.floating], order: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Legendre coefficients by re-weighted least squares; also the final weights."""
    design = _design(depth.shape, order)
    # Only terms up to the total order: products of two high ones are noise.
    i, j = np.indices((order + 1, order + 1)).reshape(2, -1)
    terms = i + j <= order
    kept = design[:, terms]
    base = np.asarray(weight, float).ravel()

    def weigh(left: NDArray[np.float64]) -> NDArray[np.float64]:
        scale = 4 * max(0.25, spread_about(left[base > 0], 0.0))
        return base * np.where(np.abs(left) < scale, (1 - (left / scale) ** 2) ** 2, 0)

    found = robust_fit(kept, depth.ravel(), weigh, start=base, rounds=15)
    coefficients = np.zeros((order + 1) ** 2)
    # Rounded here, so that who reads the recorded surface finds every column where it was put.
    coefficients[terms] = found.solution.round(9)
    return coefficients.reshape(order + 1, order + 1), found.weight.reshape(depth.shape)


def _median_residual(
    depth: NDArray[np.float64], weight: NDArray[np.floating], coefficients: NDArray[np.float64]
) -> float:
    surface = Surface(coefficients, (depth.shape[0], depth.shape[1]), 0.0, "plane")
    fitted = surface.depth(slice(0, depth.shape[0]), slice(0, depth.shape[1]))
    used = weight > 0
    return float(np.median(np.abs(depth - fitted)[used])) if used.any() else float("nan")


def _held_out(depth: NDArray[np.float64], weight: NDArray[np.floating], order: int) -> float:
    """Median distance of columns in every other patch from a fit to the patches between them."""
    y, x = np.indices(depth.shape)
    out = ((y // 8 + x // 8) % 2).astype(bool)
    if not (weight[out] > 0).any() or not (weight[~out] > 0).any():
        return float("nan")
    coefficients, _ = _fitted(depth, np.where(out, 0, weight), order)
    return _median_residual(depth, np.where(out, weight, 0), coefficients)
