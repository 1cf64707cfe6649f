"""How alike two images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["pearson"]


def pearson(first: Image, second: Image, weight: NDArray[np.float32] | None = None) -> float:
    """Correlate two images of the same shape; 0 when one of them is flat.

    What looks at all shifts at once (`mosaic.correlation`, `alignment.coarse`, each with its own
    idea of an overlap large enough), at many fields in one pass (`slices.images`) or gathers sums
    piece by piece (`simulation`) has its own.

    Parameters
    ----------
    first, second : ndarray, float32 or float64
        The images.
    weight : ndarray, same shape, float32, optional
        How much each pixel counts; without it all count alike.
    """
    if weight is None:
        a, b = first - first.mean(), second - second.mean()
        return _cosine(a, a, b, b)
    total = float(weight.sum(dtype=np.float64))
    if total <= 0.0:
        return 0.0
    a = first - np.float32((first * weight).sum(dtype=np.float64) / total)
    b = second - np.float32((second * weight).sum(dtype=np.float64) / total)
    return _cosine(a, a * weight, b, b * weight)


def _cosine(a: Image, weighted_a: Image, b: Image, weighted_b: Image) -> float:
    power = float(np.vdot(weighted_a, a)) * float(np.vdot(weighted_b, b))
    return float(np.vdot(weighted_a, b)) / power**0.5 if power > 0.0 else 0.0
