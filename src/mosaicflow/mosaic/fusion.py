"""Fusing placed tiles into one seamless slice, block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

from mosaicflow.mosaic.sampling import Span, TileWarp, sample_tile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.sampling import TileSample

    Tile = tuple[int, int]
    Volume = NDArray[np.float32]
    Image = NDArray[np.float32]

__all__ = ["Blending", "Canvas", "PlacedTile", "TileFuser", "plan_canvas", "tile_gains"]

Blending = Literal["linear", "average", "none"]

# Planes handled at once: small enough for the processor's cache.
_PLANES = 4
_GAIN_RANGE = (0.7, 1.4)
_GAIN_NOISE, _GAIN_PRIOR = 0.1, 0.2


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A tile on the canvas.

    Parameters
    ----------
    tile : (int, int)
        Lattice index.
    corner_px : (float, float)
        (y, x) of the first pixel on the canvas.
    ramps_px : tuple of 4 float
        Width of the overlap at the top, bottom, left and right border; 0 without neighbour.
    """

    tile: Tile
    corner_px: tuple[float, float]
    ramps_px: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Frame of one slice.

    Parameters
    ----------
    origin_px : (int, int)
        Position of the canvas' first pixel in the slice's own tile coordinates (y, x).
    shape_yx : (int, int)
        Size that holds all tiles.
    tile_yx : (int, int)
        Lateral shape of a tile.
    tiles : tuple of PlacedTile
        Sorted by lattice index.
    """

    origin_px: tuple[int, int]
    shape_yx: tuple[int, int]
    tile_yx: tuple[int, int]
    tiles: tuple[PlacedTile, ...]


def plan_canvas(
    positions_px: Mapping[Tile, tuple[float, float]], tile_yx: tuple[int, int]
) -> Canvas:
    """Lay out the canvas of a slice.

    Parameters
    ----------
    positions_px : mapping
        Tile -> (y, x) of its first pixel, at the pitch of the tiles.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    Canvas
    """
    corners = np.array(list(positions_px.values()), float)
    origin = np.floor(corners.min(axis=0)).astype(int)
    far = np.ceil(corners.max(axis=0) + tile_yx).astype(int)
    placed = []
    for tile in sorted(positions_px):
        y, x = positions_px[tile]
        ramps = tuple(_overlap(positions_px, tile, side, tile_yx) for side in range(4))
        placed.append(
            PlacedTile(
                tile,
                (y - int(origin[0]), x - int(origin[1])),
                (ramps[0], ramps[1], ramps[2], ramps[3]),
            )
        )
    shape = far - origin
    return Canvas(
        (int(origin[0]), int(origin[1])), (int(shape[0]), int(shape[1])), tile_yx, tuple(placed)
    )


def _overlap(
    positions_px: Mapping[Tile, tuple[float, float]],
    tile: Tile,
    side: int,
    tile_yx: tuple[int, int],
) -> float:
    """Width of the overlap with the neighbour at the top, bottom, left or right."""
    axis, direction = side // 2, (-1, 1)[side % 2]
    other = (tile[0] + direction, tile[1]) if axis == 0 else (tile[0], tile[1] + direction)
    if other not in positions_px:
        return 0.0
    distance = abs(positions_px[other][axis] - positions_px[tile][axis])
    return max(0.0, tile_yx[axis] - distance)


@dataclass(frozen=True)
class TileFuser:
    """Renders any block of the canvas.

    Parameters
    ----------
    canvas : Canvas
        Where the tiles lie.
    read : callable
        Gives a tile (z, y, x), float32; zeros over the whole depth of a column mean no data.
    gains : mapping
        Tile -> factor.
    blending : {'linear', 'average', 'none'}
        Weight of a tile where it overlaps others: falling linearly towards its border, equal, or
        all for the last tile.
    warp : TileWarp
        What bends all tiles alike.
    """

    canvas: Canvas
    read: Callable[[Tile], Volume]
    gains: Mapping[Tile, float]
    blending: Blending = "linear"
    warp: TileWarp = field(default_factory=TileWarp)

    def render(self, n_z: int, rows: slice, columns: slice) -> tuple[Volume, Image]:
        """Fuse one block.

        Parameters
        ----------
        n_z : int
            Planes of the tiles.
        rows, columns : slice
            Part of the canvas.

        Returns
        -------
        (ndarray, ndarray), shapes (z, y, x) and (y, x), float32
            The block, zero where there is no data, and the sum of weights.
        """
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        block = np.zeros((n_z, *shape), np.float32)
        total = np.zeros(shape, np.float32)
        for placed in self.canvas.tiles:
            spans = [
                Span.of(corner, length, part)
                for corner, length, part in zip(
                    placed.corner_px, self.canvas.tile_yx, (rows, columns), strict=True
                )
            ]
            if spans[0] is not None and spans[1] is not None:
                self._add(block, total, placed, (spans[0], spans[1]))
        if self.blending != "none":
            np.divide(block, total, out=block, where=total > 0)
        return block, total

    def _add(
        self, block: Volume, total: Image, placed: PlacedTile, spans: tuple[Span, Span]
    ) -> None:
        sample = sample_tile(self.read(placed.tile), spans, self.warp)
        weight = self._weight(placed, sample) * sample.known
        target = (slice(None), spans[0].target, spans[1].target)
        gain = np.float32(self.gains.get(placed.tile, 1.0))
        if self.blending == "none":
            total[target[1:]] = np.where(weight > 0, 1, total[target[1:]])
        else:
            total[target[1:]] += weight
        scaled = weight * gain
        view = block[target]
        for start in range(0, len(block), _PLANES):
            planes = sample.planes(start, min(start + _PLANES, len(block)))
            if self.blending == "none":
                np.copyto(view[start : start + _PLANES], planes * gain, where=weight > 0)
            else:
                planes *= scaled
                view[start : start + _PLANES] += planes

    def _weight(self, placed: PlacedTile, sample: TileSample) -> Image:
        if self.blending != "linear":
            return np.ones(sample.known.shape, np.float32)
        profiles = [
            _ramp(at, length, placed.ramps_px[2 * axis : 2 * axis + 2])
            for axis, (at, length) in enumerate(
                zip((sample.y, sample.x), self.canvas.tile_yx, strict=True)
            )
        ]
        return np.asarray(np.minimum(profiles[0], profiles[1]))


def _ramp(
    coordinates: NDArray[np.float64], length: int, widths: Sequence[float]
) -> NDArray[np.float32]:
    """Weight along one axis: 1 inside, falling towards borders that have a neighbour."""
    weight = np.ones(coordinates.shape)
    for distance, width in zip((coordinates, length - 1 - coordinates), widths, strict=True):
        if width > 0:
            weight = np.minimum(weight, (distance + 0.5) / width)
    return np.clip(weight, 1e-3, 1.0).astype(np.float32)


def tile_gains(canvas: Canvas, projections: Mapping[Tile, Image]) -> dict[Tile, float]:
    """Find one factor per tile that makes neighbours equally bright in their overlaps.

    Parameters
    ----------
    canvas : Canvas
        Where the tiles lie.
    projections : mapping
        Tile -> mean over depth (y, x), of any one size; zero where there is no data.

    Returns
    -------
    dict
        Tile -> factor between 0.7 and 1.4.

    References
    ----------
    Brown and Lowe, "Automatic panoramic image stitching using invariant features", Int. J.
    Comput. Vis. 74 (2007), https://doi.org/10.1007/s11263-006-0002-3
    """
    corners = {placed.tile: placed.corner_px for placed in canvas.tiles}
    index = {tile: number for number, tile in enumerate(corners)}
    rows: list[tuple[int, int, float, float]] = []
    for (iy, ix), corner in corners.items():
        for other in ((iy + 1, ix), (iy, ix + 1)):
            if other not in corners:
                continue
            first = projections[iy, ix]
            pixels = np.array(first.shape) / canvas.tile_yx
            shift = np.round(np.subtract(corners[other], corner) * pixels).astype(int)
            found = _overlap_means(first, projections[other], shift)
            if found is not None:
                rows.append((index[iy, ix], index[other], *found))
    if not rows:
        return dict.fromkeys(corners, 1.0)
    a, b, difference, share = (np.array(column) for column in zip(*rows, strict=True))
    n_rows = len(rows)
    incidence = coo_matrix(
        (
            np.concatenate([np.ones(n_rows), -np.ones(n_rows)]),
            (np.tile(np.arange(n_rows), 2), np.concatenate([a, b])),
        ),
        shape=(n_rows, len(index)),
    ).tocsr()
    weights = share / _GAIN_NOISE**2
    matrix = incidence.T @ diags(weights) @ incidence
    matrix = matrix + diags(np.full(len(index), 1 / _GAIN_PRIOR**2))
    logs = spsolve(matrix.tocsc(), incidence.T @ (-weights * difference))
    return dict(zip(corners, np.clip(np.exp(logs), *_GAIN_RANGE).tolist(), strict=True))


def _overlap_means(
    first: Image, second: Image, shift: NDArray[np.int64]
) -> tuple[float, float] | None:
    """Log ratio of the means in an overlap, and its area as a share of the tile."""
    cuts_a, cuts_b = [], []
    for length, d in zip(first.shape, shift.tolist(), strict=True):
        if abs(d) >= length:  # a gap between the tiles
            return None
        cuts_a.append(slice(max(0, d), min(length, length + d)))
        cuts_b.append(slice(max(0, -d), min(length, length - d)))
    a, b = first[tuple(cuts_a)], second[tuple(cuts_b)]
    known = (a > 0) & (b > 0)
    if known.sum() < 16:
        return None
    ratio = float(np.log(a[known].mean(dtype=np.float64) / b[known].mean(dtype=np.float64)))
    return ratio, float(known.sum() / first.size)
