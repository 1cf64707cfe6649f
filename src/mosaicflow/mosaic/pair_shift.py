"""Where one tile lies relative to its neighbour, measured in their overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import spline_filter1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["PairShift", "measure_shift", "overlap_ncc"]

# A correlation over less than this share of the expected overlap is chance.
_LEAST_OVERLAP = 0.1
# Pixels around the overlap that fractional shifts and the spline may reach for.
_MARGIN = 3
# Bands are averaged to this many for the search over all shifts.
_SEARCH_BANDS = 4


@dataclass(frozen=True, slots=True)
class PairShift:
    """Measured position of one tile minus that of its neighbour.

    Parameters
    ----------
    shift_px : (float, float)
        (y, x) in px of the features.
    ncc : float
        Correlation of the two tiles in the overlap at that shift.
    peak_ratio : float
        Best over second-best correlation peak; 1 is ambiguous.
    """

    shift_px: tuple[float, float]
    ncc: float
    peak_ratio: float


def measure_shift(
    first: Image, second: Image, expected_px: tuple[float, float], max_shift_px: float
) -> PairShift | None:
    """Find the shift at which two tiles agree best near an expected one.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Features of both tiles; zero-mean, zeros where there is no data.
    expected_px : (float, float)
        Expected position of `second` minus position of `first`.
    max_shift_px : float
        Largest departure from it that is looked at, per axis.

    Returns
    -------
    PairShift or None
        None when the tiles do not overlap or hold nothing to compare.

    Notes
    -----
    Normalised correlation of zero-padded strips (all displacements at once by FFT), then
    Gauss-Newton on the best one; the normalisation follows Padfield, "Masked object registration
    in the Fourier domain", IEEE Trans. Image Process. 21 (2012), doi:10.1109/TIP.2011.2181402.
    """
    start = (round(expected_px[0]), round(expected_px[1]))
    reach = int(np.ceil(max_shift_px))
    strips = _strips(first, second, start, reach)
    if strips is None:
        return None
    a, b, offset = strips
    surface = _ncc_surface(_fewer_bands(a), _fewer_bands(b))
    lags = [_lags(a.shape[i], b.shape[i]) for i in (1, 2)]
    # shift = lag + where the strips start in their tiles
    shifts = [lag + off for lag, off in zip(lags, offset, strict=True)]
    inside = [np.abs(shift - exp) <= reach for shift, exp in zip(shifts, start, strict=True)]
    window = np.where(np.outer(*inside), surface, -1.0)
    if window.max() <= 0:
        return None
    (y, x), ratio = _best_peak(window)
    overlap = _Overlap.at(first, second, (int(shifts[0][y]), int(shifts[1][x])))
    if overlap is None:
        return None
    refined = _refine(overlap)
    ncc = overlap.ncc(refined)
    return PairShift(refined, ncc, ratio) if np.isfinite(ncc) else None


def _strips(
    first: Image, second: Image, start: tuple[int, int], reach: int
) -> tuple[Image, Image, tuple[int, int]] | None:
    """Cut the parts of both tiles that can meet; also the offset between the cuts."""
    cut_a, cut_b, offset = [], [], []
    for n_a, n_b, shift in zip(first.shape[1:], second.shape[1:], start, strict=True):
        a0, a1 = max(0, shift - reach), min(n_a, n_b + shift + reach)
        b0, b1 = max(0, -shift - reach), min(n_b, n_a - shift + reach)
        if a1 - a0 < 4 or b1 - b0 < 4:
            return None
        cut_a.append(slice(a0, a1))
        cut_b.append(slice(b0, b1))
        offset.append(a0 - b0)
    a = first[:, cut_a[0], cut_a[1]]
    b = second[:, cut_b[0], cut_b[1]]
    if not a.any() or not b.any():
        return None
    return a, b, (offset[0], offset[1])


def _fewer_bands(images: Image) -> Image:
    step = -(-len(images) // _SEARCH_BANDS)
    starts = np.arange(0, len(images), step)
    return np.asarray(np.add.reduceat(images, starts, axis=0), dtype=np.float32)


def _lags(n_a: int, n_b: int) -> NDArray[np.int64]:
    size = next_fast_len(n_a + n_b - 1, real=True)
    lags = np.arange(size)
    return np.where(lags < n_a, lags, lags - size)


def _ncc_surface(a: Image, b: Image) -> NDArray[np.float64]:
    """Correlation coefficient of the overlap for each lag, all bands together."""
    size = [
        next_fast_len(n + m - 1, real=True) for n, m in zip(a.shape[1:], b.shape[1:], strict=True)
    ]

    def correlate(p: NDArray[np.floating], q: NDArray[np.floating]) -> NDArray[np.float64]:
        spectrum = (rfft2(p, size) * np.conj(rfft2(q, size))).sum(axis=0)
        return np.asarray(irfft2(spectrum, size), dtype=np.float64)

    mask_a, mask_b = (a != 0).any(axis=0, keepdims=True), (b != 0).any(axis=0, keepdims=True)
    ones_a, ones_b = mask_a.astype(np.float32), mask_b.astype(np.float32)
    count = correlate(ones_a, ones_b)
    cross = correlate(a, b)
    energy_a = correlate((a * a).sum(axis=0, keepdims=True), ones_b)
    energy_b = correlate(ones_a, (b * b).sum(axis=0, keepdims=True))
    least = _LEAST_OVERLAP * min(ones_a.sum(), ones_b.sum())
    energy = np.maximum(energy_a, 0) * np.maximum(energy_b, 0)
    good = (count >= max(least, 16)) & (energy > 1e-12 * max(float(energy.max()), 1e-30))
    return np.where(good, cross / np.sqrt(np.where(good, energy, 1.0)), -1.0)


def _best_peak(surface: NDArray[np.float64]) -> tuple[tuple[int, int], float]:
    """Highest local maximum and its ratio to the next one that is not part of it."""
    values = surface.copy()
    heights: list[float] = []
    first: tuple[int, int] = (0, 0)
    for number in range(2):
        y, x = np.unravel_index(int(values.argmax()), values.shape)
        heights.append(float(values[y, x]))
        if number == 0:
            first = (int(y), int(x))
        rows = np.arange(y - 3, y + 4) % values.shape[0]
        columns = np.arange(x - 3, x + 4) % values.shape[1]
        values[np.ix_(rows, columns)] = -1.0
    return first, heights[0] / max(heights[1], 1e-6)


@dataclass(frozen=True, slots=True)
class _Overlap:
    """The overlap of two tiles on the pixels of the first, ready for fractional shifts."""

    first: Image
    spline: Image  # B-spline coefficients of the second tile, _MARGIN wider on each side
    known: NDArray[np.bool_]
    start: tuple[int, int]

    @classmethod
    def at(cls, first: Image, second: Image, start: tuple[int, int]) -> _Overlap | None:
        """Cut the overlap at a whole-pixel shift; None when it is too narrow."""
        cut_a, cut_b = [], []
        for n_a, n_b, d in zip(first.shape[1:], second.shape[1:], start, strict=True):
            low, high = max(0, d + _MARGIN), min(n_a, n_b + d - _MARGIN)
            if high - low < 8:
                return None
            cut_a.append(slice(low, high))
            cut_b.append(slice(low - d - _MARGIN, high - d + _MARGIN))
        a, b = first[:, cut_a[0], cut_a[1]], second[:, cut_b[0], cut_b[1]]
        known = (a != 0) & (b[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] != 0)
        spline = spline_filter1d(spline_filter1d(b, axis=1, mode="mirror"), axis=2, mode="mirror")
        return cls(a, spline.astype(np.float32), known, start)

    def second(self, shift: tuple[float, float]) -> Image:
        """Second tile at a fractional shift less than _MARGIN - 1 px away from `start`."""
        result = self.spline
        for axis, (d, start) in enumerate(zip(shift, self.start, strict=True), start=1):
            result = _sampled(result, _MARGIN - (d - start), self.first.shape[axis], axis)
        return result

    def ncc(self, shift: tuple[float, float]) -> float:
        """Correlation at a shift; NaN without contrast."""
        a, b = (part[self.known].astype(np.float64) for part in (self.first, self.second(shift)))
        if a.size < 16:
            return float("nan")
        a, b = a - a.mean(), b - b.mean()
        norm = np.sqrt((a @ a) * (b @ b))
        return float(a @ b / norm) if norm > 0 else float("nan")


def _sampled(spline: Image, start: float, length: int, axis: int) -> Image:
    """Evaluate cubic B-splines at `start`, `start` + 1, ... along one axis."""
    whole = int(np.floor(start))
    t = start - whole
    taps = ((1 - t) ** 3 / 6, 2 / 3 - t * t + t**3 / 2, 1 / 6 + (t + t * t - t**3) / 2, t**3 / 6)
    result = np.zeros(())
    for number, weight in enumerate(taps):
        part = [slice(None)] * spline.ndim
        part[axis] = slice(whole - 1 + number, whole - 1 + number + length)
        result = result + np.float32(weight) * spline[tuple(part)]
    return np.asarray(result, dtype=np.float32)


def _refine(overlap: _Overlap) -> tuple[float, float]:
    """Move the second tile by fractions of a pixel until its difference to the first is least.

    Lucas-Kanade with gradients of both tiles; the steps end where the residual no longer
    correlates with the gradient, so the speckle of the two tiles does not bias the result.
    """
    start = np.array(overlap.start, dtype=np.float64)
    shift = start.copy()
    inner = (slice(None), slice(1, -1), slice(1, -1))
    a, known = overlap.first, overlap.known[inner]
    gradient_a = np.gradient(a, axis=(1, 2))
    for _ in range(12):
        b = overlap.second((shift[0], shift[1]))
        gradient_b = np.gradient(b, axis=(1, 2))
        g_y, g_x = (
            (p[inner] + q[inner])[known] / 2 for p, q in zip(gradient_a, gradient_b, strict=True)
        )
        difference = (a - b)[inner][known]
        normal = np.array([[g_y @ g_y, g_y @ g_x], [g_y @ g_x, g_x @ g_x]], dtype=np.float64)
        if np.linalg.det(normal) <= 1e-9 * np.trace(normal) ** 2:
            break
        right = np.array([g_y @ difference, g_x @ difference], dtype=np.float64)
        # A larger shift moves the content of the second tile down and right.
        step = -np.linalg.solve(normal, right)
        shift += np.clip(step, -0.5, 0.5)
        if np.abs(shift - start).max() > _MARGIN - 1.5:
            return float(start[0]), float(start[1])
        if np.abs(step).max() < 2e-3:
            break
    return float(shift[0]), float(shift[1])


def overlap_ncc(first: Image, second: Image, shift_px: tuple[float, float]) -> float:
    """Correlate two tiles in their overlap at a given shift.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Features of both tiles.
    shift_px : (float, float)
        Position of `second` minus position of `first`, (y, x).

    Returns
    -------
    float
        Correlation coefficient; NaN when there is no overlap or no contrast in it.
    """
    overlap = _Overlap.at(first, second, (round(shift_px[0]), round(shift_px[1])))
    return float("nan") if overlap is None else overlap.ncc(shift_px)
