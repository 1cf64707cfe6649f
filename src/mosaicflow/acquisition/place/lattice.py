"""Find the lattice behind a set of tile positions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LatticeFit", "fill_steps", "fit_lattice", "index_positions"]

# A tile's eight neighbours in a lattice, itself, and some spare for uneven lattices.
_NEIGHBOURS = 13
# How far off, in steps, a neighbour may lie: beyond half a step it would be another's neighbour,
# and rows bend by a tenth.
_SLACK = 0.35
# Growth of the known tiles after which the steps are fitted anew.
_GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class LatticeFit:
    """A lattice: ``position = matrix @ index + offset``.

    Parameters
    ----------
    matrix : ndarray, shape (2, 2), float64
        Column d is the step of lattice axis d (y, x); NaN where no two tiles show that step.
    offset : ndarray, shape (2,), float64
        Position of index (0, 0).
    agreement : tuple of float
        Per axis, the share of steps that go the way of the median; 1 where there is none.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    agreement: tuple[float, float]

    def predict(self, indices: NDArray[np.int_]) -> NDArray[np.float64]:
        """Give the positions (n, 2) of lattice indices (n, 2)."""
        return np.asarray(indices) @ np.nan_to_num(self.matrix).T + self.offset


def fit_lattice(
    indices: Sequence[tuple[int, int]] | NDArray[np.int64],
    positions: Sequence[tuple[float, float]] | NDArray[np.float64],
) -> LatticeFit:
    """Fit a lattice to positions of known index; a few wild positions do not matter.

    Parameters
    ----------
    indices : sequence of (iy, ix)
        Lattice indices, at least one.
    positions : sequence of (y, x)
        One per index, in any unit.

    Returns
    -------
    LatticeFit
        Steps are medians over tiles that are neighbours in a row or column.
    """
    index = np.asarray(indices, dtype=np.int64)
    position = np.asarray(positions, dtype=np.float64)
    columns, agreement = [], []
    for axis in (0, 1):
        steps = _steps(index, position, axis)
        columns.append(np.median(steps, axis=0) if len(steps) else np.full(2, np.nan))
        same_way = np.sign(steps[:, axis]) == np.sign(columns[-1][axis])
        agreement.append(float(same_way.mean()) if len(steps) else 1.0)
    matrix = np.stack(columns, axis=1)
    return LatticeFit(matrix, _offset(matrix, index, position), (agreement[0], agreement[1]))


def fill_steps(
    fit: LatticeFit,
    nominal: NDArray[np.float64],
    indices: Sequence[tuple[int, int]],
    positions: Sequence[tuple[float, float]],
) -> LatticeFit:
    """Complete a lattice by steps that no two tiles show; the tiles stay where they are.

    Parameters
    ----------
    fit : LatticeFit
        What the tiles show.
    nominal : ndarray, shape (2, 2), float64
        Taken where its matrix is NaN.
    indices, positions : sequence of (iy, ix), sequence of (y, x)
        What it was fitted to.
    """
    matrix = np.where(np.isnan(fit.matrix), nominal, fit.matrix)
    return replace(fit, matrix=matrix, offset=_offset(matrix, np.asarray(indices), positions))


def _offset(
    matrix: NDArray[np.float64],
    index: NDArray[np.int64],
    position: NDArray[np.float64] | Sequence[tuple[float, float]],
) -> NDArray[np.float64]:
    return np.asarray(np.median(position - index @ np.nan_to_num(matrix).T, axis=0))


def _steps(
    index: NDArray[np.int64], position: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    order = np.lexsort((index[:, axis], index[:, 1 - axis]))
    index, position = index[order], position[order]
    gap = np.diff(index[:, axis])
    same_line = (np.diff(index[:, 1 - axis]) == 0) & (gap > 0)
    steps: NDArray[np.float64] = np.diff(position, axis=0)[same_line] / gap[same_line, None]
    return steps


def index_positions(
    positions: Sequence[tuple[float, float]], tile_size: tuple[float, float]
) -> list[tuple[int, int]]:
    """Give each position an index in the lattice they form together.

    Steps are followed from neighbour to neighbour, because over many tiles a turned camera moves a
    row by more than one step: sorting by coordinate would then mix rows.

    Parameters
    ----------
    positions : sequence of (y, x)
        Tile positions; at least one.
    tile_size : (height, width)
        Tile size in the unit of the positions.

    Returns
    -------
    list of (iy, ix)
        Indices from 0; two positions may share one.
    """
    every = np.asarray(positions, dtype=np.float64)
    # Many at one place would be neighbours of many at the next.
    position, first = np.unique(every, axis=0, return_inverse=True)
    if len(position) == len(every):
        position, first = every, np.arange(len(every))
    steps = np.stack([_typical_step(position, axis, tile_size) for axis in (0, 1)], axis=1)
    index = np.zeros((len(position), 2), dtype=np.int64)
    known = np.zeros(len(position), dtype=bool)
    n_known = n_refined = 0
    near = _Neighbours.of(position, steps)
    for seed in range(len(position)):
        if known[seed]:
            continue
        # A tile cut off from the others is placed by the lattice found so far.
        index[seed] = index[0] + np.rint(near.moved[seed] - near.moved[0]).astype(np.int64)
        n_known += near.walk(seed, index, known)
        # A few more tiles do not change the steps: refining after each would take hours on many.
        if n_known > max(2, _GROWTH * n_refined):
            steps, n_refined = _refined(position[known], index[known], steps), n_known
            near = _Neighbours.of(position, steps)
    moved = (index - index.min(axis=0))[first.ravel()]
    return [(iy, ix) for iy, ix in moved.tolist()]


def _typical_step(
    position: NDArray[np.float64], axis: int, tile_size: tuple[float, float]
) -> NDArray[np.float64]:
    _, near = cKDTree(position).query(position, k=min(_NEIGHBOURS, len(position)))
    delta = position[near.reshape(len(position), -1)] - position[:, None]
    along, across = delta[..., axis], np.abs(delta[..., 1 - axis])
    ahead = (along > 0.05 * tile_size[axis]) & (across < 0.5 * along)
    nearest = np.where(ahead, along, np.inf).argmin(axis=1)
    rows = np.flatnonzero(ahead.any(axis=1))
    if not len(rows):
        step = np.zeros(2)
        step[axis] = tile_size[axis]
        return step
    steps = delta[rows, nearest[rows]]
    # Beside a hole the nearest tile ahead is several steps away.
    single = steps[:, axis] <= 1.5 * np.percentile(steps[:, axis], 10)
    return np.asarray(np.median(steps[single], axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Positions in steps, and who lies about one step off: of tile t from starts[t] on."""

    moved: NDArray[np.float64]
    starts: list[int]
    others: list[int]
    steps: NDArray[np.int64]

    @classmethod
    def of(cls, position: NDArray[np.float64], steps: NDArray[np.float64]) -> _Neighbours:
        moved = np.asarray(np.linalg.solve(steps, position.T).T, dtype=np.float64)
        pairs = cKDTree(moved).query_pairs(1 + _SLACK, p=np.inf, output_type="ndarray")
        delta = moved[pairs[:, 1]] - moved[pairs[:, 0]]
        whole = np.rint(delta)
        near = (np.abs(whole).sum(axis=1) == 1) & (np.abs(delta - whole).max(axis=1) < _SLACK)
        pairs, single = pairs[near], whole[near].astype(np.int64)
        both = np.concatenate([pairs, pairs[:, ::-1]])
        order = np.lexsort((both[:, 1], both[:, 0]))
        starts = np.searchsorted(both[order, 0], np.arange(len(position) + 1))
        return cls(
            moved,
            starts.tolist(),
            both[order, 1].tolist(),
            np.concatenate([single, -single])[order],
        )

    def walk(self, seed: int, index: NDArray[np.int64], known: NDArray[np.bool_]) -> int:
        """Follow steps from a tile of known index; count the tiles that are reached."""
        known[seed] = True
        queue = deque([seed])
        n_reached = 0
        while queue:
            tile = queue.popleft()
            n_reached += 1
            for at in range(self.starts[tile], self.starts[tile + 1]):
                other = self.others[at]
                if not known[other]:
                    index[other], known[other] = index[tile] + self.steps[at], True
                    queue.append(other)
        return n_reached


def _refined(
    position: NDArray[np.float64], index: NDArray[np.int64], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    matrix = fit_lattice(index, position).matrix
    refined = np.where(np.isnan(matrix), steps, matrix)
    return refined if abs(np.linalg.det(refined)) > 0 else steps
