"""A first guess of the motion between two slices, by searching all shifts and a fan of angles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from mosaicflow.rigid import rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CoarseFit", "correlate_masked", "search"]


@dataclass(frozen=True, slots=True)
class CoarseFit:
    """Best rotation and shift found.

    Parameters
    ----------
    angle_deg : float
        Pull rotation about the centre of the fixed image.
    shift_yx : tuple of float
        Where the fixed centre falls in the moving image, minus where it would fall without any
        motion [px of the images given].
    score : float
        Masked correlation of the two images there.
    """

    angle_deg: float
    shift_yx: tuple[float, float]
    score: float


def search(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    valid: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    *,
    offset_yx: tuple[float, float],
    max_shift: float,
    max_angle_deg: float,
) -> CoarseFit:
    """Compare two small images at every shift and a fan of angles.

    Parameters
    ----------
    fixed, moving : ndarray, shape (y, x), float32
        Band-passed images of a few hundred px at most; zero where invalid.
    valid : tuple of ndarray
        Where `fixed` and `moving` hold data.
    offset_yx : tuple of float
        Where the moving image's pixel (0, 0) is expected in the fixed one [px].
    max_shift : float
        Largest departure from that [px].
    max_angle_deg : float
        Largest rotation either way.

    Returns
    -------
    CoarseFit
        The angle and shift with the highest masked correlation.
    """
    center = (np.array(fixed.shape) - 1) / 2
    # One step of the fan moves the rim by 1.5 px: the refinement that follows bridges that.
    step = math.degrees(1.5 / (max(fixed.shape) / 2))
    count = math.ceil(max_angle_deg / step) if max_angle_deg > 0 else 0
    best = CoarseFit(0.0, (0.0, 0.0), -1.0)
    expected = center - np.array(offset_yx)  # the fixed centre, in moving px
    margin = math.ceil(max_shift) + 2
    for index in sorted(range(-count, count + 1), key=abs):
        angle = index * step
        turned, mask = _turn(moving, valid[1], angle, expected, center, margin)
        surface = correlate_masked(fixed, turned, valid[0], mask, margin)
        limited = _within(surface, max_shift)
        row, column = np.unravel_index(int(np.argmax(limited)), limited.shape)
        if limited[row, column] > best.score + 1e-6:
            down, right = rotation(math.radians(angle)) @ (row - margin, column - margin)
            best = CoarseFit(angle, (float(down), float(right)), float(limited[row, column]))
    return best


def _turn(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    angle_deg: float,
    at: NDArray[np.float64],
    center: NDArray[np.float64],
    margin: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample an image onto the fixed frame plus a margin, turned about the point `at`."""
    matrix = rotation(math.radians(angle_deg))
    offset = at - matrix @ (center + margin)
    shape = tuple(round(2 * c) + 1 + 2 * margin for c in center)
    turned = ndimage.affine_transform(image, matrix, offset, shape, order=1)
    share = ndimage.affine_transform(valid.astype(np.float32), matrix, offset, shape, order=1)
    mask = share > 0.99
    return np.where(mask, turned, np.float32(0)), mask


def correlate_masked(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    fixed_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    margin: int,
) -> NDArray[np.float32]:
    """Correlate the valid parts of two images at every shift up to `margin`.

    The normalised correlation in which each shift counts only the pixels valid in both images
    (Padfield 2012, doi:10.1109/TIP.2011.2181402).

    Parameters
    ----------
    fixed : ndarray, shape (y, x), float32
        Zero where invalid.
    moving : ndarray, shape (y + 2 margin, x + 2 margin), float32
        Zero where invalid.
    fixed_valid, moving_valid : ndarray, bool
        Masks of the two.
    margin : int
        Largest shift [px].

    Returns
    -------
    ndarray, shape (2 margin + 1, 2 margin + 1), float32
        Element (margin + dy, margin + dx): correlation of ``fixed[y, x]`` with
        ``moving[y + margin + dy, x + margin + dx]``; -1 where under a quarter of the largest
        common area remains.
    """
    shape = tuple(fft.next_fast_len(n, real=True) for n in moving.shape)
    window = (slice(0, 2 * margin + 1), slice(0, 2 * margin + 1))

    def spectrum(image: NDArray[np.generic]) -> NDArray[np.complex64]:
        result: NDArray[np.complex64] = fft.rfft2(image.astype(np.float32), shape)
        return result

    def correlate(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = fft.irfft2(np.conj(a) * b, shape)[window]
        return result

    f, f2, fm = spectrum(fixed), spectrum(fixed * fixed), spectrum(fixed_valid)
    m, m2, mm = spectrum(moving), spectrum(moving * moving), spectrum(moving_valid)
    count = np.maximum(correlate(fm, mm), 1.0)
    sum_f, sum_m = correlate(f, mm), correlate(fm, m)
    covariance = correlate(f, m) - sum_f * sum_m / count
    power_f = np.maximum(correlate(f2, mm) - sum_f**2 / count, 0)
    power_m = np.maximum(correlate(fm, m2) - sum_m**2 / count, 0)
    power = np.sqrt(power_f * power_m)
    enough = (count > 0.25 * count.max()) & (power > 1e-6 * max(float(power.max()), 1e-30))
    return np.where(enough, covariance / np.maximum(power, 1e-30), -1.0).astype(np.float32)


def _within(surface: NDArray[np.float32], max_shift: float) -> NDArray[np.float32]:
    reach = np.arange(surface.shape[0]) - surface.shape[0] // 2
    inside = np.hypot(reach[:, None], reach[None, :]) <= max_shift + 0.5
    return np.where(inside, surface, np.float32(-2))
