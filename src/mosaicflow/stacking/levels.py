"""What was drawn: brightness of the planes, their filling, and a contrast to show them with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.zarr.contrast import contrast_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.contrast import Contrast

__all__ = ["PlaneLevels"]

# Values kept of each part of a plane, for the contrast: a thousandth of it is known to a tenth.
_SAMPLE_PX = 1000


@dataclass(frozen=True, slots=True)
class PlaneLevels:
    """Brightness of every plane as drawn, and how much of the canvas is filled.

    Parameters
    ----------
    total : ndarray, shape (planes,), float64
        Sum of all values.
    filled : ndarray, shape (planes,), int64
        Pixels that are not 0.
    below, above : ndarray, shape (planes,), int64
        Pixels below 0 and above 1.
    sample : list of ndarray
        Some values of each part of each plane that are not 0.
    """

    total: NDArray[np.float64]
    filled: NDArray[np.int64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    sample: list[NDArray[np.float32]]

    @classmethod
    def empty(cls, n_planes: int) -> PlaneLevels:
        """Start counting."""
        filled, below, above = (np.zeros(n_planes, np.int64) for _ in range(3))
        return cls(np.zeros(n_planes), filled, below, above, [])

    def count(self, plane: int, image: NDArray[np.float32]) -> None:
        """Add a part of a plane."""
        self.total[plane] += float(image.sum(dtype=np.float64))
        self.filled[plane] += np.count_nonzero(image)
        self.below[plane] += np.count_nonzero(image < 0)
        self.above[plane] += np.count_nonzero(image > 1)
        some = image[:: max(1, image.size // _SAMPLE_PX)]
        self.sample.append(some[some != 0])

    def count_block(self, first: int, block: NDArray[np.float32]) -> None:
        """Add a part (z, y, x) of the planes from `first` on that was drawn before."""
        for plane, image in enumerate(block, first):
            self.count(plane, image.reshape(-1))

    def contrast(self) -> Contrast | None:
        """Say what to show as black and white, and the range of the values; None without data."""
        return contrast_window(np.concatenate(self.sample)) if self.sample else None
