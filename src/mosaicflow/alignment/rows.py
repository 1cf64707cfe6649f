"""Rows of a sparse least-squares problem in the plane, each in units of its standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from mosaicflow.rigid import rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Rows", "lever", "solve_step"]

YX = tuple[float, float]


def lever(
    center_yx: YX, point_yx: YX, angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotate a point about a centre; also give the derivative by the angle [rad]."""
    arm = rotation(angle) @ np.subtract(point_yx, center_yx)
    return arm, np.array([-arm[1], arm[0]])


def solve_step(
    jacobian: sparse.csc_array, residual: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Gauss-Newton step of a weighted problem."""
    weighted = jacobian.T * weight
    step: NDArray[np.float64] = np.atleast_1d(
        spsolve((weighted @ jacobian).tocsc(), -(weighted @ residual))
    )
    return step


class Rows:
    """Collects the rows: values, which of them are parts of one vector, and what they are of."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.groups: list[int] = []
        self.kinds: list[str] = []
        self._row: list[int] = []
        self._column: list[int] = []
        self._entry: list[float] = []

    def add(
        self, value: float, terms: Mapping[int, float], kind: str, *, joined: bool = False
    ) -> None:
        """Add a residual; `joined` makes it share its robust weight with the one before."""
        for column, entry in terms.items():
            self._row.append(len(self.values))
            self._column.append(column)
            self._entry.append(entry)
        self.groups.append(self.groups[-1] + (not joined) if self.groups else 0)
        self.values.append(float(value))
        self.kinds.append(kind)

    def assemble(self, n_columns: int) -> tuple[NDArray[np.float64], sparse.csc_array]:
        """Give all values, and their derivatives by the unknowns."""
        shape = (len(self.values), n_columns)
        matrix = sparse.csc_array((self._entry, (self._row, self._column)), shape=shape)
        return np.array(self.values), matrix
