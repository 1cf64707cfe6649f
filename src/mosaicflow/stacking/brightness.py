"""How bright each plane of each slice is drawn, and how much it counts where slices fade."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.stacking.plan import Seam

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

__all__ = ["Display", "PlaneTone", "even_seams", "with_gains"]

# What a voxel that is exactly black becomes: a zero would say that there is no data.
_DARKEST = np.float32(1e-6)


@dataclass(frozen=True, slots=True)
class PlaneTone:
    """What one slice's planes are multiplied with, and how they count against other slices.

    Parameters
    ----------
    factor : ndarray, shape (depth,), float64
        Brightness factor of each canvas plane below the slice's face.
    signal : ndarray, shape (depth,), float64
        Weight of the same planes where the slice fades into another; only ratios matter.
    """

    factor: F64
    signal: F64

    @classmethod
    def plain(cls, depth: int) -> PlaneTone:
        """Leave everything as it is."""
        return cls(np.ones(depth), np.ones(depth))


@dataclass(frozen=True, slots=True)
class Display:
    """Which values become 0 and 1 in the volume; nothing is clipped.

    Parameters
    ----------
    black, white : float
        In units of the drawn values.
    """

    black: float = 0.0
    white: float = 1.0

    def apply(self, image: F32) -> F32:
        """Scale in place; exactly 0 is no data before and after."""
        if (self.black, self.white) == (0.0, 1.0):
            return image
        empty = image == 0
        image -= np.float32(self.black)
        image *= np.float32(1 / (self.white - self.black))
        image[image == 0] = _DARKEST
        image[empty] = 0
        return image


def with_gains(tones: Sequence[PlaneTone], gains: Sequence[float]) -> list[PlaneTone]:
    """Multiply the factors of each slice by its gain."""
    return [
        replace(tone, factor=tone.factor * gain) for tone, gain in zip(tones, gains, strict=True)
    ]


def even_seams(
    tones: Sequence[PlaneTone], seams: Sequence[Seam], steps: Sequence[float]
) -> list[PlaneTone]:
    """Close the step of brightness that is left at each seam, near the seam only.

    Half of it is taken from either slice where both are drawn, and given back linearly over as
    many planes again: above the lower slice's face and below the planes that fade. Further away
    nothing changes.

    Parameters
    ----------
    tones : sequence of PlaneTone
        One per slice, in depth order.
    seams : sequence of Seam
        Between consecutive slices.
    steps : sequence of float
        Logarithm of the upper slice's level over the lower one's as drawn; NaN where unknown.

    Returns
    -------
    list of PlaneTone
    """
    factors = [tone.factor.copy() for tone in tones]
    for index, (seam, step) in enumerate(zip(seams, steps, strict=True)):
        if seam.blend <= 0 or not np.isfinite(step):
            continue
        upper = np.arange(len(factors[index])) - (seam.moving.first - seam.fixed.first)
        lower = np.arange(len(factors[index + 1]))
        # 1 within the planes that fade, 0 from one such depth above and below them on.
        near_upper = np.clip(1 + (upper + 0.5) / seam.blend, 0, 1)
        near_lower = np.clip(2 - (lower + 0.5) / seam.blend, 0, 1)
        factors[index] *= np.exp(-step / 2 * near_upper)
        factors[index + 1] *= np.exp(step / 2 * near_lower)
    return [replace(tone, factor=factor) for tone, factor in zip(tones, factors, strict=True)]
