"""Means of blocks in which 0 is no data: of pictures, of whole volumes, of what is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["known_means"]


def known_means(values: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """Average blocks of what is not 0; the last ones are filled up with no data.

    Where no data is dark, or a pitch is no multiple of the other, means are others: those of the
    pyramids are exact and streamed (`io.zarr.area`), those of tiles are weighted by area
    (`mosaic.resampling`), and the alignment's leave out what is no whole block (`slices.images`).

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
