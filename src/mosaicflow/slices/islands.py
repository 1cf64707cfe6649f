"""Groups of tiles of one slice that no overlap joins: each lies where the stage put it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Islands", "find_islands"]

Tile = tuple[int, int]
YX = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Islands:
    """Which part of a slice belongs to which island.

    Parameters
    ----------
    boxes : ndarray, shape (tiles, 4), float64
        First row and column of each tile, and those after the last [px of the slice].
    owner : ndarray, shape (tiles,), int64
        Island of each tile, from 0 without a hole.
    """

    boxes: NDArray[np.float64]
    owner: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.owner.max(initial=-1)) + 1

    def of(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Say to which island points belong: where tiles overlap, or none is, the nearest.

        Parameters
        ----------
        y, x : ndarray, one shape, float64
            Points [px of the slice].

        Returns
        -------
        ndarray, same shape, int64
        """
        nearest = np.full(y.shape, np.inf)
        found = np.zeros(y.shape, np.int64)
        for (top, left, bottom, right), island in zip(self.boxes, self.owner, strict=True):
            off_y = np.abs(y - (top + bottom - 1) / 2) / (bottom - top)
            off_x = np.abs(x - (left + right - 1) / 2) / (right - left)
            off = np.maximum(off_y, off_x)
            closer = off < nearest
            nearest[closer] = off[closer]
            found[closer] = island
        return found

    def shares(self, islands: Sequence[int]) -> NDArray[np.float64]:
        """Say how much each of some islands tells of the place of the slice; sums to 1.

        The same for every pair that a slice is part of: by tiles, or all to the one that has more
        than half of them.
        """
        tiles = np.array([np.count_nonzero(self.owner == k) for k in islands], np.float64)
        share: NDArray[np.float64] = tiles / tiles.sum()
        return (share > 0.5).astype(np.float64) if share.max() > 0.5 else share

    def scaled(self, scale: YX) -> Islands:
        """Count in pixels this many times as small, about their corners."""
        return Islands(self.boxes * np.array([*scale, *scale]), self.owner)

    def to_json(self) -> list[list[float]]:
        """Give one row per tile: island, first row and column, those after the last."""
        return [
            [int(island), *(round(float(v), 3) for v in box)]
            for island, box in zip(self.owner, self.boxes, strict=True)
        ]

    @classmethod
    def from_json(cls, rows: Any) -> Islands | None:  # noqa: ANN401  # parsed JSON
        """Read them; None where there are none.

        Raises
        ------
        ValueError, TypeError
            When the rows are not what `to_json` writes.
        """
        if not rows:
            return None
        table = np.array(rows, np.float64)
        if table.ndim != 2 or table.shape[1] != 5 or not np.isfinite(table).all():
            raise ValueError("islands are rows of island, top, left, bottom, right")
        owner, boxes = table[:, 0].astype(np.int64), table[:, 1:]
        if set(owner.tolist()) != set(range(int(owner.max()) + 1)):
            raise ValueError("islands are numbered from 0 without a hole")
        if not (boxes[:, 2:] > boxes[:, :2]).all():
            raise ValueError("a tile of an island is empty")
        return cls(boxes, owner)


def find_islands(
    island: Mapping[Tile, int], corners_px: Mapping[Tile, YX], tile_shape: Sequence[int]
) -> Islands | None:
    """Gather the tiles of each island.

    Parameters
    ----------
    island : mapping
        Number of each tile's island.
    corners_px : mapping
        Its first row and column [px of the slice].
    tile_shape : sequence of int
        Rows and columns of a tile.

    Returns
    -------
    Islands or None
        None where overlaps join all tiles.
    """
    tiles = sorted(corners_px)
    names = sorted({island[tile] for tile in tiles})
    if len(names) < 2:
        return None
    corners = np.array([corners_px[tile] for tile in tiles])
    boxes = np.concatenate([corners, corners + np.array(tile_shape)], axis=1)
    return Islands(boxes, np.array([names.index(island[tile]) for tile in tiles], np.int64))
