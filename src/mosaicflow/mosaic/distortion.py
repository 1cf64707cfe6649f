"""The distortion that all tiles of a microscope share: what is seen at p belongs at p + d."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import RectBivariateSpline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

__all__ = ["TileDistortion"]


@dataclass(frozen=True)
class TileDistortion:
    """A smooth displacement over the tile, given on a regular grid.

    Parameters
    ----------
    rows_px, columns_px : ndarray, shapes (r,) and (c,), float64
        Places of the grid in px of the native tile, ascending.
    shift_px : ndarray, shape (2, r, c), float64
        d along y and x in native px.
    """

    rows_px: F64
    columns_px: F64
    shift_px: F64

    @property
    def kept(self) -> bool:
        """Whether it moves anything."""
        return bool(self.shift_px.any())

    @property
    def largest_px(self) -> float:
        """Length of its longest vector."""
        return float(np.hypot(*self.shift_px).max())

    @property
    def rms_px(self) -> float:
        """Root mean square of its vectors over the tile."""
        return float(np.sqrt((self.shift_px**2).sum(axis=0).mean()))

    def spans(self, tile_yx: tuple[int, int]) -> bool:
        """Whether it was given for tiles of this lateral shape: its grid ends at their borders."""
        ends = zip((self.rows_px, self.columns_px), tile_yx, strict=True)
        return all(abs(at[0]) < 1 and abs(at[-1] - (n - 1)) < 1 for at, n in ends)

    @cached_property
    def _splines(self) -> tuple[RectBivariateSpline, RectBivariateSpline]:
        orders = (min(3, len(self.rows_px) - 1), min(3, len(self.columns_px) - 1))
        y, x = (
            RectBivariateSpline(self.rows_px, self.columns_px, part, kx=orders[0], ky=orders[1])
            for part in self.shift_px
        )
        return y, x

    def at(self, y_px: F64, x_px: F64) -> F64:
        """Give d at places (n,) of the native tile, shape (2, n)."""
        return np.stack([spline(y_px, x_px, grid=False) for spline in self._splines])

    def images(self, shape_yx: tuple[int, int], scale_yx: tuple[float, float]) -> F64:
        """Give d at every pixel of a resampled tile, shape (2, y, x), in its px.

        Parameters
        ----------
        shape_yx : (int, int)
            Shape of the tile.
        scale_yx : (float, float)
            Native over own pitch, along y and x.
        """
        y, x = (
            (np.arange(n) + 0.5) / scale - 0.5 for n, scale in zip(shape_yx, scale_yx, strict=True)
        )
        return np.stack(
            [spline(y, x) * scale for spline, scale in zip(self._splines, scale_yx, strict=True)]
        )
