"""Weights of a tile that spread from its inside to its borders like heat."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

__all__ = ["diffusion_weights"]

F64 = NDArray[np.float64]
Ramps = tuple[float, float, float, float]

# Longest side of the grid that the equation is solved on: weights are smooth, and a finer grid
# changes them by less than a percent.
_SIDE = 96
# Least weight where a tile holds data: alone it still counts.
_LEAST = 1e-3


def diffusion_weights(tile_yx: tuple[int, int], ramps_px: Ramps, y: F64, x: F64) -> F64:
    """Give a tile's weight at places (broadcast) of it, in px.

    Parameters
    ----------
    tile_yx : (int, int)
        Lateral shape of the tile.
    ramps_px : tuple of 4 float
        Width of the overlap at the top, bottom, left and right border; 0 without neighbour.
    y, x : ndarray
        Places, in px of the tile.

    Returns
    -------
    ndarray
        One where no other tile is, zero at the borders that have a neighbour, and between the
        solution of Laplace's equation: no kink, as there is where two linear ramps meet.
    """
    rounded = tuple(round(width, 1) for width in ramps_px)
    image = _solved(tile_yx, (rounded[0], rounded[1], rounded[2], rounded[3]))
    at = [
        (places + 0.5) * n / length - 0.5
        for places, n, length in zip((y, x), image.shape, tile_yx, strict=True)
    ]
    found = map_coordinates(image, np.broadcast_arrays(*at), order=1, mode="nearest")
    return np.asarray(np.clip(found, _LEAST, 1.0), np.float64)


@lru_cache(maxsize=64)
def _solved(tile_yx: tuple[int, int], ramps_px: Ramps) -> F64:
    """Solve Laplace's equation in the overlaps of a tile, on a coarse grid of it."""
    factor = max(1.0, max(tile_yx) / _SIDE)
    n_y, n_x = (max(3, round(length / factor)) for length in tile_yx)
    inside = np.ones((n_y, n_x), bool)
    for axis, n in ((0, n_y), (1, n_x)):
        # Something of the tile is its own, whatever the stage says.
        widths = [
            min(round(width * n / tile_yx[axis]), (n - 1) // 2)
            for width in ramps_px[2 * axis : 2 * axis + 2]
        ]
        along = inside if axis == 0 else inside.T
        along[: widths[0]] = False
        along[n - widths[1] :] = False
    index = np.arange(n_y * n_x).reshape(n_y, n_x)
    rows, columns, values = [index.ravel()], [index.ravel()], [np.where(inside.ravel(), 1.0, 1e-9)]
    for side in range(4):
        shift, axis = (-1, 1)[side % 2], side // 2
        open_border = ramps_px[side] > 0
        here, there = _steps(index, axis, shift)
        free = ~inside.ravel()[here]
        here, there = here[free], there[free]
        rows += [here, here]
        columns += [here, there]
        values += [np.ones(len(here)), -np.ones(len(here))]
        if open_border:  # half a step beyond the last row the weight is none
            edge = index.take(0 if shift < 0 else -1, axis).ravel()
            edge = edge[~inside.ravel()[edge]]
            rows.append(edge)
            columns.append(edge)
            values.append(np.full(len(edge), 2.0))
    matrix = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(index.size, index.size),
    )
    return np.asarray(spsolve(matrix.tocsc(), inside.ravel().astype(float))).reshape(n_y, n_x)


def _steps(
    index: NDArray[np.int64], axis: int, shift: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of neighbouring cells along an axis, in one direction."""
    lines = index if axis == 0 else index.T
    low, high = lines[:-1].ravel(), lines[1:].ravel()
    return (high, low) if shift < 0 else (low, high)
