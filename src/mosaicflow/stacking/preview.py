"""Pictures of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["orthogonal_montage"]

_GAP = 8


def orthogonal_montage(
    plane_yx: NDArray[np.float32],
    plane_zx: NDArray[np.float32],
    plane_zy: NDArray[np.float32],
    *,
    z_over_lateral: float = 1.0,
    longest_px: int = 2000,
) -> NDArray[np.uint8]:
    """Lay three orthogonal planes side by side, true to scale.

    Parameters
    ----------
    plane_yx, plane_zx, plane_zy : ndarray, float32
        Central planes of a volume, axes as named.
    z_over_lateral : float
        Pitch along z over the lateral pitch: depth is drawn that much longer.
    longest_px : int
        Longest side of the picture; larger planes are thinned out.

    Returns
    -------
    ndarray, shape (y, x), uint8
        (y, x) on the left, (z, x) top right, (z, y) below it; grey values between the 0.5 and
        99.5 percentile of the pixels that are not 0.
    """
    stretched = [_stretch(plane, z_over_lateral) for plane in (plane_zx, plane_zy)]
    panels = [plane_yx, *stretched]
    values = np.concatenate([panel[panel != 0] for panel in panels])
    low, high = np.percentile(values, [0.5, 99.5]) if len(values) else (0.0, 1.0)
    scale = 255 / max(float(high - low), 1e-12)
    grey = [np.clip((panel - low) * scale, 0, 255).astype(np.uint8) for panel in panels]
    if len(plane_zx) == 1:  # it has no sides to show
        step = max(1, -(-max(plane_yx.shape) // longest_px))
        return grey[0][::step, ::step]
    height = max(grey[0].shape[0], grey[1].shape[0] + _GAP + grey[2].shape[0])
    width = grey[0].shape[1] + _GAP + max(grey[1].shape[1], grey[2].shape[1])
    picture = np.zeros((height, width), np.uint8)
    right = grey[0].shape[1] + _GAP
    below = grey[1].shape[0] + _GAP
    for panel, (y, x) in zip(grey, ((0, 0), (0, right), (below, right)), strict=True):
        picture[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    step = max(1, -(-max(picture.shape) // longest_px))
    return picture[::step, ::step]


def _stretch(plane: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    rows = max(1, round(plane.shape[0] * factor))
    index = np.minimum((np.arange(rows) + 0.5) * plane.shape[0] / rows, plane.shape[0] - 1)
    stretched: NDArray[np.float32] = plane[index.astype(int)]
    return stretched
