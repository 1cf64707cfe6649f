"""One brightness factor per slice, so that no band shows where slices meet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SeamLevel", "compare_levels", "solve_gains", "sure_steps"]

# Standard error of a seam's log ratio. Between slices of equal brightness in simulated stacks of
# 24 slices the ratios spread by 0.005 to 0.01 once the depth profile is out; at twice as much,
# gains of 2 % would pass for noise.
_SEAM_SIGMA = 0.01
# Spread of the slices' own log gains where there are too few seams to measure it, and of the part
# that all seams share.
_GAIN_SIGMA, _COMMON_SIGMA = 0.2, 0.05
_FEWEST_SEAMS = 4
# Gains this many spreads off (Cauchy's weights) are those of a single odd slice, not of them all.
_TUNING, _ROUNDS = 2.0, 10
# A slice with less than a twentieth of the light holds noise.
_LIMITS = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class SeamLevel:
    """Brightness on both sides of a seam.

    Parameters
    ----------
    fixed, moving : int
        Numbers of the two slices in the list.
    log_ratio : float
        Logarithm of the upper slice's level over the lower one's, in the same tissue; NaN when
        unknown.
    correlation : float
        Correlation of the two images; NaN when unknown.
    """

    fixed: int
    moving: int
    log_ratio: float
    correlation: float


def compare_levels(
    upper: NDArray[np.float32], lower: NDArray[np.float32], tissue: NDArray[np.bool_]
) -> float:
    """Return the median log ratio of two images of the same tissue; NaN without enough of it.

    Parameters
    ----------
    upper, lower : ndarray, shape (y, x), float32
        The images.
    tissue : ndarray, shape (y, x), bool
        Where to compare them.
    """
    both = tissue & (upper > 0) & (lower > 0)
    if both.sum() < 32:
        return float("nan")
    return float(np.median(np.log(upper[both] / lower[both])))


def solve_gains(levels: Sequence[SeamLevel], n_slices: int) -> NDArray[np.float64]:
    """Fit one factor per slice to all seams at once.

    How much slices differ at all is taken from the seams themselves: ratios that spread no more
    than their error say nothing of gains, and following them would let the errors add up over
    the stack. Single slices may be far off, such as one recorded with a tenth of the light.
    What all seams have in common is not a property of single slices but the fading of every slice
    with depth; following it would darken the volume from end to end, so it is left out.

    Parameters
    ----------
    levels : sequence of SeamLevel
        Measured seams.
    n_slices : int
        Number of slices.

    Returns
    -------
    ndarray, shape (n_slices,), float64
        Factors between 1/20 and 20; most of their logarithms lie around 0.
    """
    known = [level for level in levels if np.isfinite(level.log_ratio)]
    if not known:
        return np.ones(n_slices)
    ratios = np.array([level.log_ratio for level in known])
    design = np.zeros((len(known), n_slices + 1))
    for row, level in enumerate(known):
        design[row, level.moving], design[row, level.fixed] = 1.0, -1.0
    # The last unknown is what all seams share; one or two seams cannot tell it from gains.
    design[:, -1] = 1.0 if len(known) > 2 else 0.0
    normal = design.T @ design / _SEAM_SIGMA**2
    spread = _gain_spread(ratios)
    prior = np.full(n_slices, max(spread, 3.0 if len(known) >= _FEWEST_SEAMS else spread))
    for _ in range(_ROUNDS):
        full = normal + np.diag(1 / np.append(prior, _COMMON_SIGMA) ** 2)
        gains = np.linalg.solve(full, design.T @ ratios / _SEAM_SIGMA**2)[:-1]
        gains -= np.median(gains)
        if len(known) >= _FEWEST_SEAMS:
            prior = np.hypot(spread, gains / _TUNING)
    limited: NDArray[np.float64] = np.clip(np.exp(gains), *_LIMITS)
    return limited


def _gain_spread(ratios: NDArray[np.float64]) -> float:
    """Measure the standard deviation of most slices' log gains from the ratios of neighbours."""
    if len(ratios) < _FEWEST_SEAMS:
        return _GAIN_SIGMA
    # The smallest third of normal deviations ends at 0.43 sigma. Not the median: in a short stack
    # one odd slice spoils half of all ratios.
    spread = float(np.quantile(np.abs(ratios - np.median(ratios)), 1 / 3)) / 0.4307
    # A ratio holds two gains and its own error.
    return math.sqrt(max(0.5 * (spread**2 - _SEAM_SIGMA**2), 1e-6))


def sure_steps(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take from measured steps what may be error: all of one below two standard errors.

    Parameters
    ----------
    steps : ndarray, shape (n,), float64
        Log ratios of brightness at seams; NaN where unknown.

    Returns
    -------
    ndarray, shape (n,), float64
        Shrunk towards 0 by their error's share of the square; NaN stays.
    """
    noise = (2 * _SEAM_SIGMA) ** 2
    share = 1 - noise / np.maximum(steps**2, noise)
    shrunk: NDArray[np.float64] = np.where(np.isfinite(steps), steps * share, np.nan)
    return shrunk
