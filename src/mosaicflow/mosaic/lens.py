"""What a lens that bends all tiles alike does to the shifts of their overlaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["lens_share"]

F64 = NDArray[np.float64]

_STEPS = 48  # places along each side of a tile at which the bend is worked out


def lens_share(tile_yx: tuple[int, int], shift_px: tuple[float, float], axis: int) -> float:
    """Tell which part of the way from the whole of an overlap to its middle a lens leads.

    Along an overlap the shift of a bent tile varies, and both its mean and its value in the middle
    differ from the distance of the tiles. The middle less the mean shows how strong the bend is.

    Parameters
    ----------
    tile_yx : (int, int)
        Lateral shape of a tile.
    shift_px : (float, float)
        Position of the second tile minus that of the first, (y, x) in px.
    axis : int
        0 for tiles below each other, 1 for tiles side by side.

    Returns
    -------
    float
        Distance of the tiles = mean + share * (middle - mean); 0 where a lens would not show.

    Notes
    -----
    Displacements along the radius by its third power, as of a lens that makes barrels or cushions,
    without the part of them that is a mere scale of the tile: overlaps of 10 % give 0.7, of 20 %
    0.3, of 40 % -0.3.
    """
    n_along, n_across = tile_yx[axis], tile_yx[1 - axis]
    at = abs(float(shift_px[axis])) / n_along
    if not 0 < at < 1:
        return 0.0
    across = np.linspace(-1, 1, _STEPS)[:, None] * n_across / n_along
    scale = _scale_of_cube(n_across / n_along)
    # Side by side lie the far end of the first tile and the near end of the second one.
    end = np.linspace(2 * at - 1, 1, _STEPS)
    bend = _bend(end - 2 * at, across, scale) - _bend(end, across, scale)
    profile = bend.mean(axis=1)
    third = _STEPS // 3
    mean, middle = profile.mean(), profile[third:-third].mean()
    return float(-mean / (middle - mean)) if abs(middle - mean) > 1e-9 else 0.0


def _bend(along: F64, across: F64, scale: float) -> F64:
    return np.asarray(along * (along**2 + across**2 - scale))


def _scale_of_cube(ratio: float) -> float:
    """Give the scale that fits u (u^2 + v^2) best over a tile, |u| <= 1, |v| <= ratio."""
    return 3 / 5 + ratio**2 / 3
