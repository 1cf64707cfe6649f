"""How visible the borders of the tiles are in a fused slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.mosaic.fusion import Canvas

__all__ = ["seam_sums"]


def seam_sums(
    canvas: Canvas, region: tuple[slice, slice], projection: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """Sum gradients across tile borders and everywhere in one block.

    Parameters
    ----------
    canvas : Canvas
        Where the tiles lie.
    region : (slice, slice)
        Rows and columns of the block.
    projection : ndarray, shape (y, x), float32
        Mean over depth of the block; zero where there is no data.

    Returns
    -------
    tuple of 4 float
        Sum and count of |gradient| across the borders of overlapped tiles, and sum and count of
        all |gradients| of the block.
    """
    border, n_border, every, n_every = 0.0, 0.0, 0.0, 0.0
    for axis, part in enumerate(region):
        along = projection if axis == 0 else projection.T
        both = (along[1:] > 0) & (along[:-1] > 0)
        steps = np.where(both, np.abs(np.diff(along, axis=0)), 0)
        rows = [line - part.start - 1 for line in _border_lines(canvas, axis)]
        rows = [row for row in rows if 0 <= row < len(steps)]
        border += float(steps[rows].sum(dtype=np.float64))
        n_border += float(both[rows].sum())
        every += float(steps.sum(dtype=np.float64))
        n_every += float(both.sum())
    return border, n_border, every, n_every


def _border_lines(canvas: Canvas, axis: int) -> list[int]:
    lines = set()
    for placed in canvas.tiles:
        first = int(np.ceil(placed.corner_px[axis]))
        borders = (first, first + canvas.tile_yx[axis] - 1)
        ramps = placed.ramps_px[2 * axis : 2 * axis + 2]
        lines |= {line for line, width in zip(borders, ramps, strict=True) if width > 0}
    return sorted(lines)
