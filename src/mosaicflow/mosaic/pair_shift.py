"""Where one tile lies relative to its neighbour, measured in their overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import spline_filter1d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["PairShift", "measure_shift", "overlap_ncc", "peak_heights"]

# A correlation over less than this share of the expected overlap is chance.
_LEAST_OVERLAP = 0.1
# Pixels around the overlap that fractional shifts and the spline may reach for.
_MARGIN = 3
# An overlap narrower than this tells nothing [px].
_LEAST_WIDTH = 8
# Bands are averaged to this many for the search over all shifts.
_SEARCH_BANDS = 4
# Whole-pixel peaks this close to the highest are compared once more, by fractions of a pixel.
_RIVAL = 0.97
_MOST_PEAKS = 3


@dataclass(frozen=True, slots=True)
class PairShift:
    """Measured position of one tile minus that of its neighbour.

    Parameters
    ----------
    shift_px : (float, float)
        (y, x) in px of the features.
    ncc : float
        Correlation of the two tiles in the overlap at that shift.
    peak_ncc : float
        Correlation at the nearest shift by whole pixels, as `peak_heights` gives it for tiles
        that have nothing to do with each other.
    peak_ratio : float
        Best over second-best correlation peak; 1 is ambiguous.
    """

    shift_px: tuple[float, float]
    ncc: float
    peak_ncc: float
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
    window = _search(first, second, start, reach)
    if window is None or window.max() <= 0:
        return None
    peaks, ratio = _best_peaks(window)
    found = []
    for y, x in peaks:
        overlap = _Overlap.at(first, second, (start[0] - reach + y, start[1] - reach + x))
        refined = None if overlap is None else _refine(overlap)
        if overlap is not None and refined is not None:
            found.append(PairShift(refined, overlap.ncc(refined), float(window[y, x]), ratio))
    sound = [one for one in found if np.isfinite(one.ncc)]
    return max(sound, key=lambda one: one.ncc, default=None)


def peak_heights(
    first: Image, second: Image, expected_px: tuple[float, float], reaches_px: Sequence[float]
) -> tuple[float, ...] | None:
    """Give the highest correlation within each of several distances of an expected shift.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Features of both tiles.
    expected_px : (float, float)
        Position of `second` minus position of `first` in the middle of the search.
    reaches_px : sequence of float
        Departures from it that are looked at, per axis.

    Returns
    -------
    tuple of float, or None
        One height per reach; None when there is nothing to compare.
    """
    start = (round(expected_px[0]), round(expected_px[1]))
    reaches = [int(np.ceil(reach)) for reach in reaches_px]
    window = _search(first, second, start, max(reaches))
    if window is None:
        return None
    parts = (slice(max(reaches) - reach, max(reaches) + reach + 1) for reach in reaches)
    return tuple(float(window[part, part].max()) for part in parts)


def _search(
    first: Image, second: Image, start: tuple[int, int], reach: int
) -> NDArray[np.float64] | None:
    """Correlate at all shifts from `start` - `reach` to `start` + `reach`; -1 = cannot tell."""
    strips = _strips(first, second, start, reach)
    if strips is None:
        return None
    a, b, offset = strips
    # A lag is the shift between the strips, a shift that between the tiles.
    lags = [
        _Lags(n_a, n_b, at - reach - off, at + reach - off)
        for n_a, n_b, at, off in zip(a.shape[1:], b.shape[1:], start, offset, strict=True)
    ]
    surface = _ncc_surface(_fewer_bands(a), _fewer_bands(b), (lags[0], lags[1]))
    wide = [
        np.array([_overlap_bounds(n_a, n_b, at + d) is not None for d in range(-reach, reach + 1)])
        for n_a, n_b, at in zip(first.shape[1:], second.shape[1:], start, strict=True)
    ]
    return np.where(np.outer(*wide), surface, -1.0)


def _overlap_bounds(n_a: int, n_b: int, shift: int) -> tuple[int, int] | None:
    """Part of the first tile that the second one covers with a margin; None if too narrow."""
    low, high = max(0, shift + _MARGIN), min(n_a, n_b + shift - _MARGIN)
    return (low, high) if high - low >= _LEAST_WIDTH else None


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
    if step == 1:
        return images
    groups = [images[start : start + step] for start in range(0, len(images), step)]
    return np.stack([group.sum(axis=0) for group in groups])


@dataclass(frozen=True, slots=True)
class _Lags:
    """The lags of interest along one axis of two strips."""

    n_a: int
    n_b: int
    low: int
    high: int

    @property
    def size(self) -> int:
        """Length of a transform in which no other lag wraps round onto those of interest."""
        least = max(self.n_a, self.n_b, self.n_b + self.high, self.n_a - self.low)
        return int(next_fast_len(least, real=True))

    @property
    def values(self) -> NDArray[np.int64]:
        return np.arange(self.low, self.high + 1)

    @property
    def met(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and stop of the part of the first strip that meets the second, per lag."""
        lags = self.values
        start = np.clip(lags, 0, self.n_a)
        return start, np.clip(lags + self.n_b, start, self.n_a)


def _ncc_surface(a: Image, b: Image, lags: tuple[_Lags, _Lags]) -> NDArray[np.float64]:
    """Correlation coefficient of the overlap for each lag, all bands together."""
    rows, columns = lags
    size = (rows.size, columns.size)
    wanted = np.ix_(rows.values % size[0], columns.values % size[1])

    def correlate(p: NDArray[np.floating], q: NDArray[np.floating]) -> NDArray[np.float64]:
        spectrum = (rfft2(p, size) * np.conj(rfft2(q, size))).sum(axis=0)
        return np.asarray(irfft2(spectrum, size)[wanted], dtype=np.float64)

    cross = correlate(a, b)
    known_a, known_b = (a != 0).any(axis=0), (b != 0).any(axis=0)
    square_a, square_b = (np.einsum("kyx,kyx->yx", part, part) for part in (a, b))
    if known_a.all() and known_b.all():
        there = (_mirrored(rows), _mirrored(columns))
        count = _box_sums(np.ones_like(square_a), lags)
        energy_a, energy_b = _box_sums(square_a, lags), _box_sums(square_b, there)[::-1, ::-1]
    else:
        ones_a, ones_b = (known[None].astype(np.float32) for known in (known_a, known_b))
        count = correlate(ones_a, ones_b)
        energy_a, energy_b = correlate(square_a[None], ones_b), correlate(ones_a, square_b[None])
    least = _LEAST_OVERLAP * min(known_a.sum(), known_b.sum())
    energy = np.maximum(energy_a, 0) * np.maximum(energy_b, 0)
    good = (count >= max(least, 16)) & (energy > 1e-12 * max(float(energy.max()), 1e-30))
    return np.where(good, cross / np.sqrt(np.where(good, energy, 1.0)), -1.0)


def _mirrored(lags: _Lags) -> _Lags:
    """Lags of the first strip as seen from the second."""
    return _Lags(lags.n_b, lags.n_a, -lags.high, -lags.low)


def _box_sums(image: NDArray[np.floating], lags: tuple[_Lags, _Lags]) -> NDArray[np.float64]:
    """Sum the part of a strip that meets the other one, for each lag."""
    total = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    total[1:, 1:] = image.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    (top, bottom), (left, right) = lags[0].met, lags[1].met
    lower = total[np.ix_(bottom, right)] - total[np.ix_(bottom, left)]
    return np.asarray(lower - total[np.ix_(top, right)] + total[np.ix_(top, left)])


def _best_peaks(surface: NDArray[np.float64]) -> tuple[list[tuple[int, int]], float]:
    """Peaks hardly lower than the highest, and the ratio of that one to the next."""
    rest = surface.copy()
    places, heights = [], []
    for _ in range(_MOST_PEAKS + 1):
        y, x = (int(i) for i in np.unravel_index(int(rest.argmax()), rest.shape))
        places.append((y, x))
        heights.append(float(rest[y, x]))
        rest[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = -1.0
    high = [at for at, height in zip(places, heights, strict=True) if height >= _RIVAL * heights[0]]
    return high[:_MOST_PEAKS], heights[0] / max(heights[1], 1e-6)


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
            bounds = _overlap_bounds(n_a, n_b, d)
            if bounds is None:
                return None
            low, high = bounds
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


def _refine(overlap: _Overlap) -> tuple[float, float] | None:
    """Move the second tile by fractions of a pixel until its difference to the first is least.

    None when that leads away from where it began: no maximum is there, as on the flank of a ridge.

    Lucas-Kanade with gradients of both tiles; the steps end where the residual no longer
    correlates with the gradient, so the speckle of the two tiles does not bias the result.
    """
    start = np.array(overlap.start, dtype=np.float64)
    shift = start.copy()
    inner = (slice(None), slice(1, -1), slice(1, -1))
    known = overlap.known[inner]
    mask = None if known.all() else known
    gradient_a, first = _gradient(overlap.first), overlap.first[inner]
    for _ in range(12):
        b = overlap.second((shift[0], shift[1]))
        g_y, g_x = (p + q for p, q in zip(gradient_a, _gradient(b), strict=True))
        difference = first - b[inner]
        if mask is not None:
            g_y *= mask
            g_x *= mask
        normal = np.array(
            [[np.vdot(g_y, g_y), np.vdot(g_y, g_x)], [np.vdot(g_y, g_x), np.vdot(g_x, g_x)]],
            dtype=np.float64,
        )
        if np.linalg.det(normal) <= 1e-9 * np.trace(normal) ** 2:
            break
        right = np.array([np.vdot(g_y, difference), np.vdot(g_x, difference)], dtype=np.float64)
        # The gradients are sums of four differences. A larger shift moves the content of the
        # second tile down and right.
        step = -4 * np.linalg.solve(normal, right)
        shift += np.clip(step, -0.5, 0.5)
        if np.abs(shift - start).max() > _MARGIN - 1.5:
            return None
        if np.abs(step).max() < 2e-3:
            break
    return float(shift[0]), float(shift[1])


def _gradient(images: Image) -> tuple[Image, Image]:
    """Twice the central differences along y and x, without the outermost pixels."""
    return (
        images[:, 2:, 1:-1] - images[:, :-2, 1:-1],
        images[:, 1:-1, 2:] - images[:, 1:-1, :-2],
    )


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
