"""How alike two images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pearson"]


def pearson(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Correlate two images of the same shape; 0 when one of them is flat.

    What weighs pixels (`slices.images`), looks at all shifts at once (`mosaic.correlation`,
    `alignment.coarse`, each with its own idea of an overlap large enough) or gathers sums piece by
    piece (`simulation`) has its own.
    """
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0
