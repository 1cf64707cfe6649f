"""The overlap of two tiles, compared at fractional shifts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import spline_filter1d

from mosaicflow.likeness import pearson
from mosaicflow.mosaic.correlation import (
    LEAST_WIDTH_PX,
    MARGIN_PX,
    correlate_tiles,
    overlap_bounds,
)
from mosaicflow.mosaic.features import band_passed
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["BroydenSteps", "CutOverlap", "Refined", "refine_shift", "refine_windows"]

# Steps of the fit at the most, by judgement. Doubled, pairs that never settle take twice as long.
_ITERATIONS = 12
# Step at which it has ended [px]: a quarter of the least error that a link may have. Doubled, a
# half.
_SETTLED_PX = 2e-3
# Longest step along each axis: beyond, slopes tell nothing of structure of a few px. Doubled,
# fits of noise leave for elsewhere.
_LONGEST_PX = 0.5
# Least length of the middle third of an overlap that is measured alone [px].
_LEAST_MIDDLE_PX = 20
# Share of signal in the slopes of an overlap that is believed at least: errors stay finite.
_LEAST_SIGNAL = 0.05


@dataclass(frozen=True, slots=True)
class Refined:
    """A shift to a fraction of a pixel.

    Parameters
    ----------
    shift_px : (float, float)
        Position of the second tile minus that of the first, (y, x).
    ncc : float
        Correlation of the overlap there.
    sigma_px : float
        Standard error per axis, if every pixel's noise were its own.
    lean : (float, float)
        How that error leans, as in `Link`.
    misfit : float
        What differs there, squared: its middle half, so that dropped lines or dust in one of the
        tiles do not speak for the whole overlap.
    """

    shift_px: tuple[float, float]
    ncc: float
    sigma_px: float
    lean: tuple[float, float]
    misfit: float


def refine_shift(first: Image, second: Image, start: tuple[int, int]) -> Refined | None:
    """Improve a shift by whole pixels to the nearest best one.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Features of both tiles.
    start : (int, int)
        Position of `second` minus position of `first`, (y, x) in px.

    Returns
    -------
    Refined or None
        None without an overlap, without contrast, or where no maximum is near, as on the flank
        of a ridge.
    """
    overlap = _Overlap.at(first, second, start)
    if overlap is None:
        return None
    found = _refine(overlap)
    if found is None:
        return None
    shift, sigma, lean, misfit = found
    ncc = overlap.ncc(shift)
    return Refined(shift, ncc, sigma, lean, misfit) if np.isfinite(ncc) else None


def refine_windows(first: Image, second: Image, reach: int) -> list[Refined | None]:
    """Measure the shifts of several windows, which lie at most `reach` px per axis from none.

    Parameters
    ----------
    first, second : ndarray, shape (n, bands, y, x), float32
        The windows as both tiles show them, band-passed.
    reach : int
        Largest shift that is looked at, per axis [px].

    Returns
    -------
    list of Refined or None
        None as in `refine_shift`, or where nothing can be told.
    """
    matches = correlate_tiles(first, second, (0, 0), reach)
    if matches is None:
        return [None] * len(first)
    found: list[Refined | None] = []
    for one, other, ncc in zip(first, second, matches.ncc, strict=True):
        if np.isnan(ncc).all():
            found.append(None)
            continue
        y, x = np.unravel_index(int(np.nanargmax(ncc)), ncc.shape)
        found.append(refine_shift(one, other, (int(y) - reach, int(x) - reach)))
    return found


@dataclass(frozen=True, slots=True)
class CutOverlap:
    """The overlap of two tiles at a shift by whole pixels, cut out of both and filtered alike.

    Filters look beyond the border of a tile and see nothing there, in each tile at another place:
    with features of whole tiles, shifts of narrow overlaps are off by a tenth of a pixel, all to
    one side.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        The overlap as both tiles show it, band-passed.
    start : (int, int)
        Position of the second tile minus that of the first, (y, x) in px.
    """

    first: Image
    second: Image
    start: tuple[int, int]

    @classmethod
    def at(
        cls, first: Image, second: Image, start: tuple[int, int], *, middle: bool = False
    ) -> CutOverlap | None:
        """Cut the overlap, or the middle third along it; None where it is too small.

        `first` and `second` are logarithms of whole tiles, zero where there is no data.
        """
        cut: list[tuple[slice, ...]] = []
        for n_a, n_b, d in zip(first.shape[1:], second.shape[1:], start, strict=True):
            low, high = max(0, d), min(n_a, n_b + d)
            if high - low < LEAST_WIDTH_PX:
                return None
            cut.append((slice(low, high), slice(low - d, high - d)))
        if middle:
            long = max((0, 1), key=lambda axis: cut[axis][0].stop - cut[axis][0].start)
            third = (cut[long][0].stop - cut[long][0].start) // 3
            if third < _LEAST_MIDDLE_PX:
                return None
            cut[long] = tuple(slice(part.start + third, part.stop - third) for part in cut[long])
        both = [image[:, cut[0][i], cut[1][i]] for i, image in enumerate((first, second))]
        bands = len(first)
        passed = band_passed(np.concatenate(both))
        return cls(passed[:bands], passed[bands:], start)

    def refined(self, reach: int) -> Refined | None:
        """Measure the shift, which lies at most `reach` px per axis from `start`.

        None as in `refine_shift`.
        """
        if reach:
            (found,) = refine_windows(self.first[None], self.second[None], reach)
        else:
            found = refine_shift(self.first, self.second, (0, 0))
        if found is None:
            return None
        y, x = np.add(self.start, found.shift_px)
        return replace(found, shift_px=(float(y), float(x)))


@dataclass(frozen=True, slots=True)
class _Overlap:
    """The overlap of two tiles on the pixels of the first, ready for fractional shifts."""

    first: Image
    spline: Image  # B-spline coefficients of the second tile, MARGIN_PX wider on each side
    known: NDArray[np.bool_]
    start: tuple[int, int]

    @classmethod
    def at(cls, first: Image, second: Image, start: tuple[int, int]) -> _Overlap | None:
        """Cut the overlap at a whole-pixel shift; None when it is too narrow."""
        cut_a, cut_b = [], []
        for n_a, n_b, d in zip(first.shape[1:], second.shape[1:], start, strict=True):
            bounds = overlap_bounds(n_a, n_b, d)
            if bounds is None:
                return None
            low, high = bounds
            cut_a.append(slice(low, high))
            cut_b.append(slice(low - d - MARGIN_PX, high - d + MARGIN_PX))
        a, b = first[:, cut_a[0], cut_a[1]], _cut_mirrored(second, cut_b)
        known = (a != 0) & (b[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] != 0)
        spline = spline_filter1d(spline_filter1d(b, axis=1, mode="mirror"), axis=2, mode="mirror")
        return cls(a, spline.astype(np.float32), known, start)

    def second(self, shift: tuple[float, float]) -> Image:
        """Second tile at a fractional shift less than MARGIN_PX - 1 px away from `start`."""
        result = self.spline
        for axis, (d, start) in enumerate(zip(shift, self.start, strict=True), start=1):
            result = _sampled(result, MARGIN_PX - (d - start), self.first.shape[axis], axis)
        return result

    def ncc(self, shift: tuple[float, float]) -> float:
        """Correlation at a shift; NaN without contrast."""
        parts = (self.first, self.second(shift))
        if not self.known.all():
            parts = (parts[0][self.known], parts[1][self.known])
        a, b = (part.astype(np.float64).ravel() for part in parts)
        if a.size < 16:
            return float("nan")
        return pearson(a, b) or float("nan")


def _cut_mirrored(image: Image, cut: Sequence[slice]) -> Image:
    """Cut a part of an image that may reach beyond it; mirrored there."""
    inside = [
        slice(max(0, c.start), min(n, c.stop)) for c, n in zip(cut, image.shape[1:], strict=True)
    ]
    part = image[:, inside[0], inside[1]]
    beyond = [(i.start - c.start, c.stop - i.stop) for i, c in zip(inside, cut, strict=True)]
    return np.pad(part, [(0, 0), *beyond], mode="symmetric") if np.any(beyond) else part


def _sampled(spline: Image, start: float, length: int, axis: int) -> Image:
    """Evaluate cubic B-splines at `start`, `start` + 1, ... along one axis."""
    whole = int(np.floor(start))
    t = start - whole
    taps = ((1 - t) ** 3 / 6, 2 / 3 - t * t + t**3 / 2, 1 / 6 + (t + t * t - t**3) / 2, t**3 / 6)
    before = (slice(None),) * axis
    parts = [
        np.float32(weight) * spline[(*before, slice(first, first + length))]
        for first, weight in enumerate(taps, start=whole - 1)
    ]
    result = parts[0]
    for part in parts[1:]:
        result += part
    return result


def _refine(
    overlap: _Overlap,
) -> tuple[tuple[float, float], float, tuple[float, float], float] | None:
    """Move the second tile by fractions of a pixel until its difference to the first is least.

    Returns the shift, its standard error, how that leans, and the square of the difference, of its
    middle half.

    Lucas-Kanade with gradients of both tiles; the steps end where the residual no longer
    correlates with the gradient, so the speckle of the two tiles does not bias the result. It
    makes the steps too short, though, by as much as slopes are noise: they are lengthened.
    """
    start = np.array(overlap.start, dtype=np.float64)
    shift = start.copy()
    inner = (slice(None), slice(1, -1), slice(1, -1))
    known = overlap.known[inner]
    mask = None if known.all() else known
    gradient_a, first = _gradient(overlap.first), overlap.first[inner]
    gradient_b, normal, difference = gradient_a, np.zeros((2, 2)), first
    steps = BroydenSteps()
    for _ in range(_ITERATIONS):
        b = overlap.second((shift[0], shift[1]))
        gradient_b = _gradient(b)
        g_y, g_x = (p + q for p, q in zip(gradient_a, gradient_b, strict=True))
        difference = first - b[inner]
        # In a narrow overlap filters have seen other things beyond the border of each tile.
        difference -= np.add.reduce(difference, axis=None) / np.float32(difference.size)
        if mask is not None:
            g_y *= mask
            g_x *= mask
        normal = _products(g_y, g_x)
        if _is_flat(normal):
            break
        right = np.array([np.vdot(g_y, difference), np.vdot(g_x, difference)], dtype=np.float64)
        # The gradients are sums of four differences. A larger shift moves the content of the
        # second tile down and right.
        step = steps.step(np.asarray(-4 * np.linalg.solve(normal, right)))
        shift += step
        if np.abs(shift - start).max() > MARGIN_PX - 1.5:
            return None
        if np.abs(step).max() < _SETTLED_PX:
            break
    left = (difference if mask is None else difference[known]).astype(np.float64).ravel()
    power = float(np.mean(np.square(left)))
    misfit = spread_about(left, 0.0) ** 2 if left.size else power
    d_y, d_x = (p - q for p, q in zip(gradient_a, gradient_b, strict=True))
    if mask is not None:
        d_y *= mask
        d_x *= mask
    shared = normal - _products(d_y, d_x)  # without what one of the tiles shows alone
    return (float(shift[0]), float(shift[1])), *_standard_error(normal, shared, power), misfit


class BroydenSteps:
    """Steps towards a place where none is left, as long as those before show they must be.

    From how much a step changed the next one follows how much of the way it went, in each
    direction (C. G. Broyden, "A class of methods for solving nonlinear simultaneous
    equations", Math. Comp. 19 (1965), doi:10.1090/S0025-5718-1965-0198670-6).
    """

    def __init__(self) -> None:
        self._scale = np.eye(2)
        self._proposed = self._made = np.zeros(2)

    def step(self, proposed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the step to make in place of a proposed one [px], half a pixel at most.

        Where a step did not bring the goal nearer, there is none: what is proposed is done.
        """
        change = proposed - self._proposed
        seen = self._made @ self._scale
        nearer = -(seen @ change)
        if nearer > 0:
            missed = self._made + self._scale @ change
            self._scale = self._scale + np.outer(missed, seen) / nearer
        else:
            self._scale = np.eye(2)
        step = self._scale @ proposed
        if step @ proposed <= 0:
            step = proposed
        self._proposed, self._made = proposed, np.clip(step, -_LONGEST_PX, _LONGEST_PX)
        return self._made


def _products(y: Image, x: Image) -> NDArray[np.float64]:
    """Sum the products of slopes (y, x) with each other."""
    both = np.vdot(y, x)
    return np.array([[np.vdot(y, y), both], [both, np.vdot(x, x)]], dtype=np.float64)


def _is_flat(normal: NDArray[np.float64]) -> bool:
    """Whether gradients tell nothing along some direction."""
    (yy, yx), (_, xx) = normal.tolist()
    return bool(yy * xx - yx * yx <= 1e-9 * (yy + xx) ** 2)


def _standard_error(
    normal: NDArray[np.float64], shared: NDArray[np.float64], power: float
) -> tuple[float, tuple[float, float]]:
    """Estimate the error per axis of a least-squares shift from what differs there [px].

    Also how it leans. Slopes of noise hold nothing: of those in `normal` only what both tiles show
    resists a shift, and along an edge there may be none.
    """
    if _is_flat(normal):
        return float("inf"), (0.0, 0.0)
    root = np.linalg.cholesky(normal)
    share, axes = np.linalg.eigh(np.linalg.solve(root, np.linalg.solve(root, shared).T))
    held = np.linalg.solve(root.T, axes) / np.maximum(share, _LEAST_SIGNAL)
    (yy, yx), (_, xx) = (16 * power * held @ held.T).tolist()
    both = yy + xx
    lean = ((yy - xx) / both, 2 * yx / both) if both > 0 else (0.0, 0.0)
    return float(np.sqrt(both / 2)), lean


def _gradient(images: Image) -> tuple[Image, Image]:
    """Twice the central differences along y and x, without the outermost pixels."""
    return (
        images[:, 2:, 1:-1] - images[:, :-2, 1:-1],
        images[:, 1:-1, 2:] - images[:, 1:-1, :-2],
    )
