"""Smooth functions of the place in a tile, which all tiles of a microscope share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.legendre import legvander

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

__all__ = ["FieldBasis"]


@dataclass(frozen=True)
class FieldBasis:
    """Legendre products of a total order, each with mean square 1 over the tile.

    Parameters
    ----------
    order : int
        Highest total order.
    shape_yx : (int, int)
        Shape of the images.
    least : int
        Lowest total order: 1 leaves out the mean, 2 also what is linear over the tile.
    """

    order: int
    shape_yx: tuple[int, int]
    least: int = 1

    @property
    def terms(self) -> list[tuple[int, int]]:
        """Orders along y and x of each term."""
        n = self.order + 1
        return [(i, j) for i in range(n) for j in range(n - i) if i + j >= self.least]

    @property
    def totals(self) -> NDArray[np.int64]:
        """Total order of each term."""
        return np.array([i + j for i, j in self.terms], np.int64)

    def at(self, y: F64, x: F64) -> F64:
        """Values at places in px, shape (terms, places)."""
        p, q = (
            legvander((axis + 0.5) / length * 2 - 1, self.order).T
            * np.sqrt(2 * np.arange(self.order + 1) + 1)[:, None]
            for axis, length in zip((y, x), self.shape_yx, strict=True)
        )
        return np.stack([p[i] * q[j] for i, j in self.terms])

    def images(self) -> F64:
        """Values at all pixels, shape (terms, y * x)."""
        y, x = np.indices(self.shape_yx).reshape(2, -1).astype(np.float64)
        return self.at(y, x)
