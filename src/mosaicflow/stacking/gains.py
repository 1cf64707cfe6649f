"""One brightness factor per slice, so that no band shows where slices meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SeamLevel", "compare_levels", "solve_gains"]

# Standard error of a seam's log ratio; spread of the slices' own log gains, and of the part that
# all seams share.
_SEAM_SIGMA, _GAIN_SIGMA, _COMMON_SIGMA = 0.02, 0.2, 0.05
_LIMITS = (0.5, 2.0)


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
        Factors between 0.5 and 2; their logarithms have mean 0 (before limiting).
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
    spread = np.array([_GAIN_SIGMA] * n_slices + [_COMMON_SIGMA])
    normal = design.T @ design / _SEAM_SIGMA**2 + np.diag(1 / spread**2)
    gains = np.linalg.solve(normal, design.T @ ratios / _SEAM_SIGMA**2)[:-1]
    gains -= gains.mean()
    limited: NDArray[np.float64] = np.clip(np.exp(gains), *_LIMITS)
    return limited
