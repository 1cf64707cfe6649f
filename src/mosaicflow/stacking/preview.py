"""Pictures of a volume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.previews import save_picture
from mosaicflow.io.zarr import open_level, read_omezarr_info

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.location import StorePath
    from mosaicflow.io.zarr.reader import LevelReader

__all__ = ["orthogonal_montage", "write_preview"]

# Between the three planes [px]: seen, and no more.
_GAP = 8
# Longest side of the picture of the volume: two screens' worth.
_PREVIEW_PX = 2000


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


def _middle_plane(level: LevelReader) -> NDArray[np.float32]:
    """Read the plane nearest to the middle that is not in a gap."""
    n_z = level.shape[0]
    for z in sorted(range(n_z), key=lambda z: abs(z - n_z // 2)):
        plane = np.asarray(level[z], dtype=np.float32)
        if plane.any():
            return plane
    return plane


def write_preview(volume: StorePath, target: Path) -> None:
    """Draw the three central planes of the finest level that fits on a screen."""
    from PIL import Image

    shapes = [level.shape for level in read_omezarr_info(volume).levels]
    fitting = [number for number, shape in enumerate(shapes) if max(shape) <= 1024]
    level = open_level(volume, fitting[0] if fitting else len(shapes) - 1)
    _, y, x = (n // 2 for n in level.shape)
    pitch = level.resolution_mm
    picture = orthogonal_montage(
        _middle_plane(level),
        np.asarray(level[:, y], dtype=np.float32),
        np.asarray(level[:, :, x], dtype=np.float32),
        z_over_lateral=pitch[0] / pitch[2],
        longest_px=sys.maxsize,
    )
    step = -(-max(picture.shape) // _PREVIEW_PX)
    thin = np.ascontiguousarray(picture[::step, ::step])
    save_picture(target, Image.fromarray(thin), 1000 * pitch[2] * step)
