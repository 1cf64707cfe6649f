"""Means of blocks: of images that are compared, of pictures, of whole volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["bin_mean", "known_means", "whole_blocks"]

# Mean of a mask above which all of a block is in it.
_WHOLE = 0.999


def known_means(values: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """Average blocks of what is not 0; the last ones are filled up with no data.

    Where no data is dark, or a pitch is no multiple of the other, means are others: those of the
    pyramids are exact and streamed (`io.zarr.area`), those of tiles are weighted by area
    (`mosaic.resampling`), those of images that are compared leave out what is no whole block
    (`bin_mean`).

    Parameters
    ----------
    values : ndarray
        Values; 0 is no data.
    factors : sequence of int
        Size of a block along each axis.

    Returns
    -------
    ndarray, each side ceil(n / factor), float32
        0 where nothing is known.
    """
    if all(factor == 1 for factor in factors):
        return values
    whole = np.pad(values, [(0, -n % f) for n, f in zip(values.shape, factors, strict=True)])
    sides = [side for n, f in zip(whole.shape, factors, strict=True) for side in (n // f, f)]
    blocks, inner = whole.reshape(sides), tuple(range(1, 2 * values.ndim, 2))
    known = np.count_nonzero(blocks, axis=inner)
    total = blocks.sum(axis=inner, dtype=np.float64)
    return np.asarray(total / np.maximum(known, 1), np.float32)


def bin_mean(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` x ``factor`` px; a remainder at the end is dropped.

    Parameters
    ----------
    image : ndarray, shape (..., y, x), float32
        One image or a stack of them.
    factor : int
        Side of a block [px].

    Returns
    -------
    ndarray, shape (..., y // factor, x // factor), float32
    """
    if factor == 1:
        return image
    *stack, n_y, n_x = image.shape
    new_y, new_x = n_y // factor, n_x // factor
    blocks = image[..., : new_y * factor, : new_x * factor]
    result = np.empty((*stack, new_y, new_x), np.float32)
    # Image by image and one axis at a time, sums stay in the cache: 5 x as fast as one call.
    for at in np.ndindex(*stack):
        total = _sum_of_strides(_sum_of_strides(blocks[at], factor, 0), factor, 1)
        np.divide(total, np.float32(factor**2), out=result[at])
    return result


def whole_blocks(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Bin a mask, (y, x): true where all that a block is made of is."""
    result: NDArray[np.bool_] = bin_mean(mask.astype(np.float32), factor) > _WHOLE
    return result


def _sum_of_strides(image: NDArray[np.float32], factor: int, axis: int) -> NDArray[np.float32]:
    """Add every `factor` neighbouring rows (axis 0) or columns (1)."""
    every = (slice(None),) * axis
    total = image[(*every, slice(0, None, factor))].copy()
    for first in range(1, factor):
        total += image[(*every, slice(first, None, factor))]
    return total
