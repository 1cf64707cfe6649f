"""Least squares over steps between tiles: the solver and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dpbtrf, dpbtrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Pull", "solve_steps", "spread_of_tiles"]

# Steps leave one common offset open; this hardly bends what they tell [1 / px^2].
_ANCHOR = 1e-6
# Coordinates whose errors are worked out together: their columns fit into memory [number].
_TOGETHER = 512


@dataclass(frozen=True, slots=True)
class Pull:
    """What is known of places, not of steps.

    Parameters
    ----------
    place : ndarray, shape (n, 2), float64
        Where tiles lie if nothing else is known, (y, x) in px.
    trust : ndarray, shape (n,), float64
        Inverse variance of that [1 / px^2]; zero leaves a tile to the steps.
    fixed : mapping
        Number of a tile -> (y, x, standard deviation) in px, relative to its place: somebody has
        said so.
    """

    place: Vector
    trust: Vector
    fixed: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)


def solve_steps(ends: NDArray[np.int64], steps: Vector, trust: Vector, pull: Pull) -> Vector:
    """Find the places that agree best with steps between tiles.

    Parameters
    ----------
    ends : ndarray, shape (m, 2), int64
        Numbers of the two tiles of each step.
    steps : ndarray, shape (m, 2), float64
        Place of the second less that of the first, (y, x) in px.
    trust : ndarray, shape (m, 2, 2), float64
        Inverse covariance of each [1 / px^2].
    pull : Pull
        What is known of places.

    Returns
    -------
    ndarray, shape (n, 2), float64
        Places, (y, x) in px.
    """
    own = pull.trust + _ANCHOR
    right = own[:, None] * pull.place
    for tile, (y, x, sigma) in pull.fixed.items():
        own[tile] += 1 / sigma**2
        right[tile] += (pull.place[tile] + (y, x)) / sigma**2
    pulled = np.einsum("mij,mj->mi", trust, steps)
    for end, sign in ((ends[:, 0], -1.0), (ends[:, 1], 1.0)):
        np.add.at(right, end, sign * pulled)
    return _solved(_factor(_band(ends, trust, own)), right.ravel()).reshape(-1, 2)


def _band(ends: NDArray[np.int64], trust: Vector, own: Vector) -> Vector:
    """Lower band of the normal matrix: tiles are numbered along the rows, so it is narrow.

    Rows and columns are y and x of the first tile, then of the second, and so on.
    """
    low, high = ends.min(axis=1), ends.max(axis=1)
    band = np.zeros((2 * int((high - low).max(initial=0)) + 2, 2 * len(own)))
    band[0] = np.repeat(own, 2)
    for end in (low, high):
        for axis in (0, 1):
            np.add.at(band[0], 2 * end + axis, trust[:, axis, axis])
        np.add.at(band[1], 2 * end, trust[:, 1, 0])
    for i in (0, 1):
        for j in (0, 1):
            np.add.at(band, (2 * (high - low) + i - j, 2 * low + j), -trust[:, i, j])
    return band


def _factor(band: Vector) -> Vector:
    """Cholesky factor of a band; `scipy.linalg` calls the same and takes thrice as long for it."""
    factor, failed = dpbtrf(band, lower=1)
    if failed:
        raise np.linalg.LinAlgError(f"row {failed} of the normal matrix is not positive")
    return np.asarray(factor)


def _solved(factor: Vector, right: Vector) -> Vector:
    found, _ = dpbtrs(factor, right, lower=1)
    return np.asarray(found)


def spread_of_tiles(
    ends: NDArray[np.int64], trust: Vector, own: Vector, main: Sequence[int]
) -> Vector:
    """Work out how well each place is known relative to the middle of some tiles.

    Parameters
    ----------
    ends, trust : ndarray
        Steps and their inverse covariances, as in `solve_steps`.
    own : ndarray, shape (n,), float64
        Inverse variance of each tile's own place [1 / px^2].
    main : sequence of int
        Numbers of the tiles whose middle counts as known.

    Returns
    -------
    ndarray, shape (n,), float64
        Standard error per axis [px].
    """
    n = 2 * len(own)
    factor = _factor(_band(ends, trust, own + _ANCHOR))
    middle = np.zeros((n, 2))  # of each axis
    for axis in (0, 1):
        middle[2 * np.asarray(main) + axis, axis] = 1 / len(main)
    with_middle = _solved(factor, middle)
    variance = np.empty(n)
    for start in range(0, n, _TOGETHER):
        some = np.arange(start, min(n, start + _TOGETHER))
        columns = np.zeros((n, len(some)))
        columns[some, np.arange(len(some))] = 1
        solved = _solved(factor, columns)
        variance[some] = solved[some, np.arange(len(some))]
    for axis in (0, 1):
        variance[axis::2] -= 2 * with_middle[axis::2, axis]
        variance[axis::2] += float(middle[:, axis] @ with_middle[:, axis])
    return np.asarray(np.sqrt(np.maximum(variance.reshape(-1, 2).mean(axis=1), 0.0)))
