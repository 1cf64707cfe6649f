"""Fusing placed tiles into one seamless slice, block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.diffusion import diffusion_weights
from mosaicflow.mosaic.sampling import Span, TileWarp, sample_tile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.blending import Blending
    from mosaicflow.mosaic.sampling import SampledTile

    Tile = tuple[int, int]
    Volume = NDArray[np.float32]
    Image = NDArray[np.float32]

__all__ = ["Canvas", "PlacedTile", "TileFuser", "plan_canvas"]

# Planes handled at once: small enough for the processor's cache.
_PLANES = 4


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

    @property
    def period_yx(self) -> tuple[float, float]:
        """Usual distance of neighbouring tiles along y and x; of a single tile its size [px]."""
        corner = {placed.tile: placed.corner_px for placed in self.tiles}
        steps = []
        for axis, (dy, dx) in enumerate(((1, 0), (0, 1))):
            found = [
                abs(corner[iy + dy, ix + dx][axis] - at[axis])
                for (iy, ix), at in corner.items()
                if (iy + dy, ix + dx) in corner
            ]
            steps.append(float(np.median(found)) if found else float(self.tile_yx[axis]))
        return max(steps[0], 1.0), max(steps[1], 1.0)


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
    blending : {'linear', 'diffusion', 'average', 'none'}
        Weight of a tile where it overlaps others: falling linearly towards its border, spreading
        like heat from where it is alone, equal, or all for the last tile.
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

    def _weight(self, placed: PlacedTile, sample: SampledTile) -> Image:
        if self.blending == "diffusion":
            found = diffusion_weights(self.canvas.tile_yx, placed.ramps_px, sample.y, sample.x)
            return np.asarray(found, np.float32)
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
