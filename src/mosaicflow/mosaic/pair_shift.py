"""Where one tile may lie relative to its neighbour, by how well their overlap matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.correlation import correlate_tiles
from mosaicflow.mosaic.overlap import refine_shift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.correlation import Matches

    Image = NDArray[np.float32]
    Surface = NDArray[np.float64]
    Levels = Mapping[int, Image]

__all__ = ["Candidate", "Evidence", "PairShift", "find_candidates", "measure_shift", "search"]

# Peaks nearer than this to a higher one are the same peak [px of the search].
_APART_PX = 3
# Whole-pixel peaks this close to the highest are compared once more, by fractions of a pixel.
_RIVAL = 0.97
# Further peaks that are looked for, by judgement. Doubled, twice the time of that.
_MOST_RIVALS = 3
# Noise-free tiles match no better than this, so that evidence stays finite.
_MOST_NCC = 0.995


@dataclass(frozen=True, slots=True)
class Candidate:
    """A shift by whole pixels at which two tiles may match.

    Parameters
    ----------
    shift_px : (int, int)
        Position of the second tile minus that of the first, (y, x).
    height : float
        Evidence, as `search` defines it.
    ncc : float
        Correlation there, at the finest level searched.
    """

    shift_px: tuple[int, int]
    height: float
    ncc: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for every shift of a search.

    Parameters
    ----------
    first_px : (int, int)
        Shift of the first element, (y, x).
    step_px : int
        Spacing of the elements.
    height : ndarray, shape (n, n), float64
        Evidence; -inf where it cannot be told.
    ncc : ndarray, shape (n, n), float64
        Correlation at the finest level; NaN where it cannot be told.
    """

    first_px: tuple[int, int]
    step_px: int
    height: Surface
    ncc: Surface

    @property
    def highest(self) -> float:
        """The most evidence there is for any shift; -inf where none can be told."""
        return float(self.height.max(initial=-np.inf))

    @property
    def highest_px(self) -> tuple[int, int]:
        """Shift for which there is most, (y, x)."""
        y, x = np.unravel_index(int(self.height.argmax()), self.height.shape)
        low_y, low_x = self.first_px
        return low_y + self.step_px * int(y), low_x + self.step_px * int(x)

    def within(self, middle_px: tuple[float, float], reach_px: float) -> Surface:
        """Evidence at the shifts not further than `reach_px` from one, per axis."""
        parts = []
        for low, middle, n in zip(self.first_px, middle_px, self.height.shape, strict=True):
            at = low + self.step_px * np.arange(n)
            parts.append(np.abs(at - round(middle)) <= reach_px)
        return self.height[np.ix_(*parts)]


def search(
    first: Levels,
    second: Levels,
    expected_px: tuple[float, float],
    reach_px: float,
    *,
    typical_px2: float,
) -> Evidence | None:
    """Compare two tiles at all shifts near an expected one, at several levels together.

    Parameters
    ----------
    first, second : mapping
        Bin -> features of a tile, averaged over so many pixels; the least bin is searched, the
        others help.
    expected_px : (float, float)
        Position of `second` minus position of `first` in the middle of the search, (y, x).
    reach_px : float
        Departure from it that is looked at, per axis.
    typical_px2 : float
        Area of an overlap as it is to be expected.

    Returns
    -------
    Evidence or None
        None when there is nothing to compare.

    Notes
    -----
    A correlation over n pixels scatters by chance as 1 / sqrt(n), so that the narrowest overlaps
    would always seem to match best; and a correlation of 0.95 says far more than one of 0.6
    (Fisher's transform). Evidence is therefore atanh(ncc) * sqrt(n / (n + typical)), averaged over
    the levels. How much of it chance gives is learnt from pairs of strangers.
    """
    finest = min(first)
    middle = tuple(round(e / finest) for e in expected_px)
    reach = int(np.ceil(reach_px / finest))
    base = correlate_tiles(first[finest], second[finest], (middle[0], middle[1]), reach)
    if base is None or np.isnan(base.ncc).all():
        return None
    total, count = _weighed(base, typical_px2 / finest**2), 1
    at = [finest * (low + np.arange(n)) for low, n in zip(base.first, base.ncc.shape, strict=True)]
    for level in sorted(set(first) & set(second) - {finest}):
        around = tuple(round(finest * m / level) for m in middle)
        half = int(np.ceil(finest * reach / level)) + 1
        coarse = correlate_tiles(first[level], second[level], (around[0], around[1]), half)
        if coarse is None or np.isnan(coarse.ncc).all():
            continue
        seen = np.nan_to_num(_weighed(coarse, typical_px2 / level**2))
        places = (p / level - low for p, low in zip(at, coarse.first, strict=True))
        total = total + _between(seen, *places)
        count += 1
    height = np.where(np.isnan(total), -np.inf, total / count)
    return Evidence((int(at[0][0]), int(at[1][0])), finest, height, base.ncc)


def _weighed(matches: Matches, typical: float) -> Surface:
    clipped = np.clip(matches.ncc, -_MOST_NCC, _MOST_NCC)
    share = matches.pixels / (matches.pixels + max(typical, 1.0))
    return np.asarray(np.arctanh(clipped) * np.sqrt(np.maximum(share, 0.0)))


def _between(image: Surface, y: NDArray[np.float64], x: NDArray[np.float64]) -> Surface:
    """Interpolate linearly at rows `y` and columns `x`."""
    for axis, at in enumerate((y, x)):
        low = np.clip(np.floor(at).astype(int), 0, image.shape[axis] - 2)
        part = np.clip(at - low, 0, 1)
        part = part[:, None] if axis == 0 else part[None]
        image = np.take(image, low, axis) * (1 - part) + np.take(image, low + 1, axis) * part
    return image


def find_candidates(evidence: Evidence, most: int) -> list[Candidate]:
    """List the shifts for which there is most evidence, the best first.

    Parameters
    ----------
    evidence : Evidence
        A search.
    most : int
        Number of candidates at most.

    Returns
    -------
    list of Candidate
    """
    rest = evidence.height.copy()
    found: list[Candidate] = []
    for _ in range(most):
        y, x = (int(i) for i in np.unravel_index(int(rest.argmax()), rest.shape))
        height = float(rest[y, x])
        if height <= 0:
            break
        shift = [
            low + evidence.step_px * i for low, i in zip(evidence.first_px, (y, x), strict=True)
        ]
        if _is_top(evidence.height, y, x):
            found.append(Candidate((shift[0], shift[1]), height, float(evidence.ncc[y, x])))
        near = (slice(max(0, i - _APART_PX), i + _APART_PX + 1) for i in (y, x))
        rest[tuple(near)] = -np.inf
    return found


def _is_top(height: Surface, y: int, x: int) -> bool:
    """Whether no shift beside one is better; at the border of a search nobody knows."""
    n_y, n_x = height.shape
    if not (0 < y < n_y - 1 and 0 < x < n_x - 1):
        return False
    return bool(height[y, x] >= height[y - 1 : y + 2, x - 1 : x + 2].max())


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
        Correlation at the nearest shift by whole pixels.
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
    """
    start = (round(expected_px[0]), round(expected_px[1]))
    matches = correlate_tiles(first, second, start, int(np.ceil(max_shift_px)))
    if matches is None:
        return None
    surface = np.nan_to_num(matches.ncc, nan=-1.0)
    if surface.max() <= 0:
        return None
    peaks, ratio = _best_peaks(surface)
    found = []
    for y, x in peaks:
        refined = refine_shift(first, second, (matches.first[0] + y, matches.first[1] + x))
        if refined is not None:
            found.append(PairShift(refined.shift_px, refined.ncc, float(surface[y, x]), ratio))
    return max(found, key=lambda one: one.ncc, default=None)


def _best_peaks(surface: Surface) -> tuple[Sequence[tuple[int, int]], float]:
    """Peaks hardly lower than the highest, and the ratio of that one to the next."""
    rest = surface.copy()
    places, heights = [], []
    for _ in range(_MOST_RIVALS + 1):
        y, x = (int(i) for i in np.unravel_index(int(rest.argmax()), rest.shape))
        places.append((y, x))
        heights.append(float(rest[y, x]))
        rest[
            max(0, y - _APART_PX) : y + _APART_PX + 1, max(0, x - _APART_PX) : x + _APART_PX + 1
        ] = -1.0
    high = [at for at, height in zip(places, heights, strict=True) if height >= _RIVAL * heights[0]]
    return high[:_MOST_RIVALS], heights[0] / max(heights[1], 1e-6)
