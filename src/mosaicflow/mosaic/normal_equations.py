"""Least squares over steps between tiles: the solver and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dpbtrf, dpbtrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Pull", "StepEquations"]

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


@dataclass(frozen=True)
class StepEquations:
    """Which tiles steps lead from and to: the shape of their normal equations.

    Parameters
    ----------
    ends : ndarray, shape (m, 2), int64
        Numbers of the two tiles of each step.
    n_tiles : int
        Number of all tiles.
    """

    ends: NDArray[np.int64]
    n_tiles: int

    def solve(self, steps: Vector, trust: Vector, pull: Pull) -> Vector:
        """Find the places that agree best with steps between tiles.

        Parameters
        ----------
        steps : ndarray, shape (m, 2), float64
            Place of the second tile less that of the first, (y, x) in px.
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
        pulled = np.einsum("mij,mj->mi", trust, steps).ravel()
        right = right.ravel()
        for end, sign in zip(self._coordinates, (-1.0, 1.0), strict=True):
            right += sign * np.bincount(end, pulled, len(right))
        return _solved(_factor(self._band(trust, own)), right).reshape(-1, 2)

    @cached_property
    def _coordinates(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of either end of each step: y and x of the first tile, of the second, and so on."""
        first, second = (np.add.outer(2 * end, [0, 1]).ravel() for end in self.ends.T)
        return first, second

    @cached_property
    def _entries(self) -> tuple[tuple[int, int], NDArray[np.int64]]:
        """Shape of the lower band, and where in it the parts of each step's trust belong."""
        low, high = self.ends.min(axis=1), self.ends.max(axis=1)
        n = 2 * self.n_tiles
        places = [(2 * (high - low) + i - j) * n + 2 * low + j for i in (0, 1) for j in (0, 1)]
        for end in (low, high):
            places += [2 * end, 2 * end + 1, n + 2 * end]
        width = 2 * int((high - low).max(initial=0)) + 2
        return (width, n), np.concatenate(places)

    def _band(self, trust: Vector, own: Vector) -> Vector:
        """Lower band of the normal matrix: tiles are numbered along the rows, so it is narrow."""
        shape, places = self._entries
        beside = trust[:, (0, 1, 1), (0, 1, 0)].T.ravel()
        values = np.concatenate([-trust.reshape(len(trust), 4).T.ravel(), beside, beside])
        sums = np.bincount(places, values, shape[0] * shape[1]).reshape(shape)
        band = np.asarray(sums, dtype=np.float64)  # without a step they are counts
        band[0] += np.repeat(own, 2)
        return band

    def spread(self, trust: Vector, own: Vector, main: Sequence[int]) -> Vector:
        """Work out how well each place is known relative to the middle of some tiles.

        Parameters
        ----------
        trust : ndarray, shape (m, 2, 2), float64
            Inverse covariance of each step [1 / px^2].
        own : ndarray, shape (n,), float64
            Inverse variance of each tile's own place [1 / px^2].
        main : sequence of int
            Numbers of the tiles whose middle counts as known.

        Returns
        -------
        ndarray, shape (n,), float64
            Standard error per axis [px].
        """
        n = 2 * self.n_tiles
        factor = _factor(self._band(trust, own + _ANCHOR))
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


def _factor(band: Vector) -> Vector:
    """Cholesky factor of a band; `scipy.linalg` calls the same and takes thrice as long for it."""
    factor, failed = dpbtrf(band, lower=1)
    if failed:
        raise np.linalg.LinAlgError(f"row {failed} of the normal matrix is not positive")
    return np.asarray(factor)


def _solved(factor: Vector, right: Vector) -> Vector:
    found, _ = dpbtrs(factor, right, lower=1)
    return np.asarray(found)
