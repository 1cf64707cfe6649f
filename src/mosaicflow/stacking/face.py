"""Letting plane 0 of a slice be its block face exactly, not to the nearest plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["settle_face"]


def settle_face(data: NDArray[np.float32], fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample a slice between its planes, each column by what whole planes left over.

    Parameters
    ----------
    data : ndarray, shape (z, y, x), float32
        Slice whose columns were moved by whole planes; 0 is no data.
    fraction : ndarray, shape (y, x), float32
        Depth of the face below plane 0 [planes], between -0.5 and 0.5.

    Returns
    -------
    ndarray, shape (z, y, x), float32
        Linear interpolation; a voxel whose neighbour holds no data keeps its own value.
    """
    settled = data.copy()
    for step, share in ((1, np.maximum(fraction, 0)), (-1, np.maximum(-fraction, 0))):
        own, other = (data[:-1], data[1:]) if step == 1 else (data[1:], data[:-1])
        target = settled[:-1] if step == 1 else settled[1:]
        target += np.where((own > 0) & (other > 0), share * (other - own), 0)
    return settled
