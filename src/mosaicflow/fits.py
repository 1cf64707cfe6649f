"""The one robust fit: least squares whose weights come from what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

__all__ = ["RobustFit", "robust_fit"]

# Weight of a prior at 0 for those who have none, as a part of all that was measured: unknowns that
# nothing tells stay 0. Doubled, fits change by as much again.
_RIDGE = 1e-6


class RobustFit(NamedTuple):
    """What `robust_fit` found.

    Parameters
    ----------
    solution : ndarray, shape (k,), float64
        The unknowns.
    weight : ndarray, shape (n,), float64
        By what the solution leaves.
    normal : ndarray, shape (k, k), float64
        Inverse of the covariance, where weights are inverse variances.
    """

    solution: F64
    weight: F64
    normal: F64


def robust_fit(
    design: F64,
    target: F64,
    weigh: Callable[[F64], F64],
    *,
    start: F64,
    rounds: int,
    prior: F64 | None = None,
) -> RobustFit:
    """Solve ``design @ x = target`` by re-weighted least squares.

    Parameters
    ----------
    design : ndarray, shape (n, k), float64
        Derivatives.
    target : ndarray, shape (n,), float64
        What was measured.
    weigh : callable
        What is left, shape (n,) -> weights: the loss.
    start : ndarray, shape (n,), float64
        First weights.
    rounds : int
        How often it is solved, one or more.
    prior : ndarray, shape (k,), float64, optional
        Standard deviation of each unknown about 0, in the unit of the weights; without it a trace.
    """
    weight, diagonal = start, np.diag_indices(design.shape[1])
    for _ in range(rounds):
        weighted = design.T * weight
        normal = weighted @ design
        normal[diagonal] += _RIDGE * np.trace(normal) if prior is None else prior**-2
        solution = np.asarray(np.linalg.solve(normal, weighted @ target), np.float64)
        weight = weigh(target - design @ solution)
    return RobustFit(solution, weight, normal)
