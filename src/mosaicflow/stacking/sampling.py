"""Sampling the planes of a slice on the canvas: one gather of four pixels, shared by all planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.slices.islands import Islands

__all__ = ["LateralMap", "Sampler", "Window", "plane_weights"]


# Rows that are sampled at once, by judgement. Doubled, twice the memory of it and the same result.
_BAND_ROWS = 64


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels, [start, stop) per axis.

    Parameters
    ----------
    y, x : tuple of int
        Start and stop.
    """

    y: tuple[int, int]
    x: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y[1] - self.y[0], self.x[1] - self.x[0]

    @property
    def slices(self) -> tuple[slice, slice]:
        """As an index."""
        return slice(*self.y), slice(*self.x)


@dataclass(frozen=True, slots=True)
class LateralMap:
    """From canvas pixels to slice pixels: ``slice_yx = matrix @ canvas_yx + offset``.

    Parameters
    ----------
    matrix : ndarray, shape (2, 2), float64
        Rotation and change of pitch.
    offset : ndarray, shape (2,), float64
        Slice pixel of the canvas's pixel (0, 0).
    shape : tuple of int
        Rows and columns of the slice.
    islands : Islands or None
        Tiles of the slice that no overlap joins.
    moves : ndarray, shape (islands, 2), float64
        What is added to `slice_yx` in each of them.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    shape: tuple[int, int]
    islands: Islands | None = None
    moves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 2)))

    def places(self, target: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the slice pixel (y, x) of every pixel of a part of the canvas."""
        # float64: at 10 000 px float32 resolves only 0.001 px.
        rows = np.arange(*target.y, dtype=np.float64)[:, None]
        columns = np.arange(*target.x, dtype=np.float64)[None, :]
        y, x = (
            self.matrix[axis, 0] * rows + self.matrix[axis, 1] * columns + self.offset[axis]
            for axis in (0, 1)
        )
        if self.islands is None:
            return y, x
        down, right = np.moveaxis(self.moves[self.islands.of(y, x)], -1, 0)
        return y + down, x + right

    def source(self, target: Window) -> Window | None:
        """Return the part of the slice that a part of the canvas needs; None when it is empty."""
        ends = np.array(
            [[y, x] for y in (target.y[0], target.y[1] - 1) for x in (target.x[0], target.x[1] - 1)]
        )
        mapped = ends @ self.matrix.T + self.offset
        first, last = mapped.min(axis=0), mapped.max(axis=0)
        first = first + np.minimum(self.moves.min(axis=0), 0)
        last = last + np.maximum(self.moves.max(axis=0), 0)
        low = np.maximum(np.floor(first).astype(int), 0)
        high = np.minimum(np.floor(last).astype(int) + 2, self.shape)
        if (low >= high).any():
            return None
        return Window((int(low[0]), int(high[0])), (int(low[1]), int(high[1])))


class Sampler:
    """Bilinear sampling of one slice on one part of the canvas.

    A rigid motion gathers the same four pixels with the same weights in every plane, so they are
    computed once and kept as a sparse matrix (5 ns per pixel and plane; an affine resampling of
    each plane takes 30 to 50 ns).

    Parameters
    ----------
    lateral : LateralMap
        Canvas to slice.
    target, source : Window
        Part of the canvas, and the part of the slice it needs.
    valid : ndarray, shape of `source`, bool
        Where the slice holds data; a pixel next to missing data takes its value from the valid
        ones alone.
    """

    def __init__(
        self, lateral: LateralMap, target: Window, source: Window, valid: NDArray[np.bool_]
    ) -> None:
        weights, columns = _corners(lateral, target, source, valid)
        total = weights.sum(axis=1)
        # Half a pixel beyond the last pixel centre is still inside the last pixel.
        good = total >= 0.5 - 1e-6
        weights *= np.where(good, 1 / np.maximum(total, 1e-6), 0).astype(np.float32)[:, None]
        n_rows = len(weights)
        ends = np.arange(0, 4 * n_rows + 1, 4, dtype=np.int32)
        self._matrix = sparse.csr_array(
            (weights.ravel(), columns.ravel(), ends), shape=(n_rows, valid.size)
        )
        self.covered: NDArray[np.bool_] = good
        self.holes: NDArray[np.intp] = np.flatnonzero(~good)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return int(self._matrix.data.nbytes + self._matrix.indices.nbytes + self.covered.nbytes)

    def __call__(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sample one plane, shape of the source; returns the target's pixels in one row."""
        sampled: NDArray[np.float32] = self._matrix @ plane.reshape(-1)
        return sampled

    def some(self, plane: NDArray[np.float32], pixels: NDArray[np.intp]) -> NDArray[np.float32]:
        """Sample one plane at some pixels of the target only."""
        starts = self._matrix.indptr[pixels]
        entries = starts[:, None] + np.arange(4)
        values = plane.reshape(-1)[self._matrix.indices[entries]]
        sampled: NDArray[np.float32] = (values * self._matrix.data[entries]).sum(axis=1)
        return sampled


def _corners(
    lateral: LateralMap, target: Window, source: Window, valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Weights and flat indices of the four neighbours of every target pixel, shape (pixels, 4)."""
    n_rows, n_columns = target.shape
    weights = np.empty((n_rows * n_columns, 4), np.float32)
    flat = np.empty((n_rows * n_columns, 4), np.int32)
    usable = valid.astype(np.float32).ravel()
    # In bands: what is needed on the way takes three times the memory of the result.
    for start in range(0, n_rows, _BAND_ROWS):
        stop = min(start + _BAND_ROWS, n_rows)
        band = Window((target.y[0] + start, target.y[0] + stop), target.x)
        part = slice(start * n_columns, stop * n_columns)
        _fill_corners(lateral, band, source, usable, (weights[part], flat[part]))
    return weights, flat


def _fill_corners(
    lateral: LateralMap,
    target: Window,
    source: Window,
    usable: NDArray[np.float32],
    into: tuple[NDArray[np.float32], NDArray[np.int32]],
) -> None:
    fractions, starts = [], []
    for place, begin in zip(lateral.places(target), (source.y[0], source.x[0]), strict=True):
        place -= begin
        low = np.floor(place)
        fractions.append((place - low).astype(np.float32).ravel())
        starts.append(low.astype(np.int32).ravel())
    n_y, n_x = source.shape
    weights, flat = into
    for corner, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        y, x = starts[0] + dy, starts[1] + dx
        inside = (y >= 0) & (y < n_y) & (x >= 0) & (x < n_x)
        index = np.where(inside, y * n_x + x, 0)
        share = (fractions[0] if dy else 1 - fractions[0]) * (
            fractions[1] if dx else 1 - fractions[1]
        )
        weights[:, corner] = share * inside * usable[index]
        flat[:, corner] = index


def plane_weights(
    n_source: int, source_um: float, n_target: int, target_um: float
) -> list[tuple[int, NDArray[np.float32]]]:
    """Say how canvas planes average the planes of a slice, by shared thickness.

    Parameters
    ----------
    n_source : int
        Planes of the slice.
    source_um, target_um : float
        Pitch of the slice's and of the canvas's planes.
    n_target : int
        Canvas planes of the slice.

    Returns
    -------
    list of tuple
        Per canvas plane: first plane of the slice, and the weights of it and those that follow
        (sum 1).
    """
    if n_source == 1 or abs(source_um / target_um - 1) < 1e-6:
        return [(min(k, n_source - 1), np.ones(1, np.float32)) for k in range(n_target)]
    edges = np.arange(n_source + 1) * source_um
    result = []
    for k in range(n_target):
        top, bottom = k * target_um, (k + 1) * target_um
        shared = np.minimum(edges[1:], bottom) - np.maximum(edges[:-1], top)
        part = np.flatnonzero(shared > 1e-6 * target_um)
        if not len(part):  # rounding may ask for a sliver below the last plane
            part, shared = np.array([n_source - 1]), np.ones(n_source)
        weights = shared[part] / shared[part].sum()
        result.append((int(part[0]), weights.astype(np.float32)))
    return result
