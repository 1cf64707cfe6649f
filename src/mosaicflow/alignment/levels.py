"""Two projections made ready to be compared at one step of the pyramid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.refine import Motion, warp
from mosaicflow.averages import bin_mean, whole_blocks
from mosaicflow.likeness import pearson
from mosaicflow.slices.images import band_pass, inner_part
from mosaicflow.slices.masks import tissue_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.alignment.pair_fit import SlicePair

__all__ = [
    "COARSEST_PX",
    "Level",
    "Pyramid",
    "overlap",
    "tissue_correlation",
    "warp_mask",
]

# Coarsest structure that is compared [px at full resolution]: shading is coarser.
COARSEST_PX = 32
# A wider border [px] would cost more tissue than the last of the filters' reach is worth.
_WIDEST_BORDER_PX = 10.0
# Speckle is gone after smoothing by this many px at full resolution.
_SPECKLE_PX = 2
# Masks of tissue are grown by this [px at full resolution], and smoothed by as much before.
_TISSUE_PX = 8
# Within this of the end of such a mask lies the outline, on either side.
_OUTLINE_PX = 1.5 * _TISSUE_PX


@dataclass(frozen=True, slots=True)
class Level:
    """Both images at one step of the pyramid.

    Parameters
    ----------
    factor : int
        Binning [px].
    fixed, moving : ndarray, shape (y, x), float32
        Band-passed images.
    valid, inner, tissue : tuple of ndarray, bool
        Of either image: where there is data, where filters see nothing else, where there is tissue.
    plain : tuple of ndarray, float32
        The images as they are, binned.
    """

    factor: int
    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    valid: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    inner: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    tissue: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    plain: tuple[NDArray[np.float32], NDArray[np.float32]]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (y, x) of the fixed image."""
        return _shape_of(self.fixed)


@dataclass(frozen=True, slots=True)
class _Step:
    """Both images binned, and what does not depend on how they lie on each other."""

    plain: tuple[NDArray[np.float32], NDArray[np.float32]]
    valid: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    tissue: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    @classmethod
    def of(cls, pair: SlicePair, factor: int) -> _Step:
        """Bin the images of a pair, and find their tissue."""
        plain = bin_mean(pair.fixed, factor), bin_mean(pair.moving, factor)
        valid = whole_blocks(pair.fixed_valid, factor), whole_blocks(pair.moving_valid, factor)
        tissue = _tissue(plain[0], valid[0], factor), _tissue(plain[1], valid[1], factor)
        return cls(plain, valid, tissue)


def _tissue(image: NDArray[np.float32], valid: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Find tissue; what is smoothed this much needs no fine pixels."""
    coarse = max(1, _TISSUE_PX // (2 * factor))
    small = tissue_mask(
        bin_mean(image, coarse),
        whole_blocks(valid, coarse),
        max(1.0, _TISSUE_PX / (coarse * factor)),
    )
    large = small.repeat(coarse, axis=0).repeat(coarse, axis=1)
    rest = [(0, n - own) for n, own in zip(image.shape, large.shape, strict=True)]
    return np.pad(large, rest, mode="edge") & valid


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Both images of a pair at all steps; each step is made when it is first asked for.

    Parameters
    ----------
    pair : SlicePair
        The two projections.
    """

    pair: SlicePair
    _steps: dict[int, _Step] = field(default_factory=dict, init=False)

    def level(self, factor: int, motion: Motion, band_px: int = COARSEST_PX) -> Level:
        """Filter both images of a step, each where the other has data if `motion` is right."""
        if factor not in self._steps:
            self._steps[factor] = _Step.of(self.pair, factor)
        step = self._steps[factor]
        valid = step.valid
        start = motion.scaled(factor)
        # Both background filters must see the same tissue: where only one image has data, its
        # background would differ and pull the images apart.
        shared = (
            valid[0] & warp_mask(valid[1], start, valid[0]),
            valid[1] & warp_mask(valid[0], _inverse(start, valid), valid[1]),
        )
        low = max(1.0, _SPECKLE_PX / factor)
        high = max(2 * low, band_px / factor)
        fixed, moving = (
            band_pass(image, mask, low, high)
            for image, mask in zip(step.plain, shared, strict=True)
        )
        # Filters see only half their neighbourhood where the data ends: keep away from there.
        border = max(3 * low, min(high, _WIDEST_BORDER_PX))
        inner = inner_part(valid[0], border), inner_part(valid[1], border)
        return Level(factor, fixed, moving, valid, inner, step.tissue, step.plain)


def overlap(level: Level, motion: Motion) -> NDArray[np.float32]:
    """Give 1 where both images hold data and either tissue, shape (y, x) of the fixed, float32."""
    shape = level.shape
    # One warp for both masks of the moving image: 2 where there is tissue, 1 where only data.
    marks = level.inner[1].astype(np.float32) + (level.tissue[1] & level.inner[1])
    moved = warp(marks.astype(np.float32), motion, shape)
    there = (moved > 0.99) & level.inner[0]
    weight: NDArray[np.float32] = ((level.tissue[0] | (moved > 1.5)) & there).astype(np.float32)
    return weight


def tissue_correlation(pyramid: Pyramid, motion: Motion, factor: int = 1) -> float:
    """Correlate the fine structure inside the tissue of both slices; their outline has no say.

    Parameters
    ----------
    pyramid : Pyramid
        The two projections.
    motion : Motion
        Where they are compared.
    factor : int
        Binning before [px].

    Returns
    -------
    float
        0 where they have no tissue in common.
    """
    level = pyramid.level(factor, motion)
    scaled, shape = motion.scaled(factor), level.shape
    inside = level.tissue[0] & warp_mask(level.tissue[1], scaled, level.tissue[0])
    inside = inner_part(inside, _OUTLINE_PX / factor)
    moved = warp(level.plain[1], scaled, shape)
    low = max(1.0, _SPECKLE_PX / factor)
    fixed, moved = (band_pass(one, inside, low, 4 * low) for one in (level.plain[0], moved))
    return pearson(fixed, moved, inside.astype(np.float32))


def warp_mask(
    mask: NDArray[np.bool_], motion: Motion, like: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Lay a mask of the moving image on the fixed one; true where all that it is made of was."""
    return warp(mask.astype(np.float32), motion, _shape_of(like)) > 0.99


def _inverse(motion: Motion, frames: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> Motion:
    """Turn a pull motion of the moving frame into that of the fixed frame."""
    back = motion.on(_shape_of(frames[0])).inverse()
    at = back.apply((np.array(frames[1].shape) - 1) / 2)
    return Motion(back.angle_deg, (float(at[0]), float(at[1])))


def _shape_of(image: NDArray[np.generic]) -> tuple[int, int]:
    """Give the shape of an image as two numbers."""
    n_y, n_x = image.shape
    return n_y, n_x
