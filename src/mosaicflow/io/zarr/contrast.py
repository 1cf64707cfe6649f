"""Which values viewers show as black and as white, from a few voxels taken as they are written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import Region

__all__ = ["Contrast", "ContrastSample", "contrast_window"]

# Values shown as black and white; smallest and largest value.
Contrast = tuple[tuple[float, float], tuple[float, float]]

# Percentiles shown as black and white: dirt and dead pixels do not decide. With twice as much cut
# off, thin bright structures lose their differences.
_WINDOW = (2.0, 99.8)
# Voxels looked at in a store: 400 of them are above the upper percentile, so that it is known to
# 0.01 points. Twice as many are twice the memory (0.8 MB), for no grey step of a screen.
_SAMPLES = 200_000
# Part of the white value below zero from which values have a sign of their own, by judgement: the
# noise of gel reaches to a fifth where it warns, the cosine of an angle to all of it.
_SIGNED = 0.5


def contrast_window(values: NDArray[Any]) -> Contrast | None:
    """Say what to show as black and white, and the range of the values.

    Parameters
    ----------
    values : ndarray
        Some voxels, of any shape; zero and what is not finite is no data.

    Returns
    -------
    ((float, float), (float, float)) or None
        Black and white, and the smallest and largest value; None without data.
    """
    data = values[np.isfinite(values) & (values != 0)]
    if not data.size:
        return None
    low, high = (float(value) for value in np.percentile(data, _WINDOW))
    least, most = float(data.min()), float(data.max())
    if low > -_SIGNED * high:
        # Half of the gel's noise lies below 0, where gel is; it is to be black.
        low = max(low, 0.0)
    high = max(high, low + 1e-6)
    return (low, high), (min(least, low), max(most, high))


class ContrastSample:
    """Voxels of a regular lattice over a whole array, taken from what is written of it.

    Parts may come in any order and from several threads; which voxels are taken depends on the
    array's shape alone, so that the same content always gets the same contrast.

    Parameters
    ----------
    shape : sequence of int
        Extent of the array.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._step = _lattice_step(shape)
        self._taken: list[NDArray[Any]] = []

    def take(self, region: Region, block: NDArray[Any]) -> None:
        """Keep the voxels of the lattice that a part holds, of the array's extent `region`."""
        starts = (-part.start % self._step for part in region)
        some = block[tuple(slice(start, None, self._step) for start in starts)]
        if some.size:
            self._taken.append(some.ravel().copy())

    def window(self) -> Contrast | None:
        """Say what to show as black and white; None where nothing with data was written."""
        return contrast_window(np.concatenate(self._taken)) if self._taken else None


def _lattice_step(shape: Sequence[int]) -> int:
    """Return the smallest step along all axes that leaves few enough voxels."""
    step = max(1, int(math.pow(math.prod(shape) / _SAMPLES, 1 / len(shape))))
    while math.prod(-(-n // step) for n in shape) > _SAMPLES:
        step += 1
    return step
