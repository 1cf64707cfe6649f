"""Which tiles are neighbours, and where they lie before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Tile = tuple[int, int]
    Position = tuple[float, float]

__all__ = ["fit_lattice", "neighbours", "nominal_positions", "reported_positions"]


def neighbours(tiles: Iterable[Tile]) -> list[tuple[Tile, Tile]]:
    """Pair every tile with the one below and the one to the right of it, where they exist."""
    known = set(tiles)
    return [
        (tile, other)
        for tile in sorted(known)
        for other in ((tile[0] + 1, tile[1]), (tile[0], tile[1] + 1))
        if other in known
    ]


def nominal_positions(
    tiles: Iterable[Tile], tile_yx: tuple[int, int], overlap_fraction: float
) -> dict[Tile, Position]:
    """Lay tiles on an even lattice, for when nothing says where they lie."""
    step_y, step_x = (length * (1.0 - overlap_fraction) for length in tile_yx)
    return {(iy, ix): (iy * step_y, ix * step_x) for iy, ix in tiles}


def reported_positions(
    reported: Mapping[Tile, Position], nominal: Mapping[Tile, Position]
) -> dict[Tile, Position]:
    """Take the positions that the stage reports, and for the other tiles those that fit in.

    Parameters
    ----------
    reported : mapping
        Tile -> (y, x) in px, for all tiles, some or none.
    nominal : mapping
        Tile -> (y, x) on an even lattice, for all tiles.

    Returns
    -------
    dict
        A position for every tile of `nominal`; the least is the origin.
    """
    known = {tile: reported[tile] for tile in sorted(nominal) if tile in reported}
    if not known:
        return dict(nominal)
    tiles, positions = np.array(list(known), float), np.array(list(known.values()), float)
    beside = positions - [nominal[tile] for tile in known]
    middle, mean = tiles.mean(axis=0), beside.mean(axis=0)
    # How the lattice differs from the even one; not at all in a direction nothing is known of.
    lattice = np.linalg.lstsq(tiles - middle, beside - mean, rcond=None)[0]
    filled = {
        tile: known.get(tile, np.add(even, mean + np.subtract(tile, middle) @ lattice))
        for tile, even in nominal.items()
    }
    corner = np.min(list(filled.values()), axis=0)
    return {tile: (float(y - corner[0]), float(x - corner[1])) for tile, (y, x) in filled.items()}


def fit_lattice(
    positions_px: Mapping[Tile, tuple[float, float]], tile_yx: tuple[int, int]
) -> NDArray[np.float64]:
    """Summarise positions by one matrix.

    Parameters
    ----------
    positions_px : mapping
        Tile (iy, ix) -> (y, x) of its first pixel.
    tile_yx : (int, int)
        Lateral shape of a tile, the step along an axis that no two tiles show.

    Returns
    -------
    ndarray, shape (2, 2), float64
        A of (row, col) = A (iy, ix), the lattice model of Lefebvre et al. 2017.
    """
    tiles = np.array(list(positions_px), float)
    positions = np.array(list(positions_px.values()), float)
    centred = tiles - tiles.mean(axis=0)
    moved = positions - positions.mean(axis=0)
    normal = centred.T @ centred
    # Tiles in one line, a diagonal one too, show one direction: in the other the axes' own steps
    # hold, without shear.
    extent = np.diag(normal)
    steps = np.array(tile_yx, float)
    np.divide((centred * moved).sum(axis=0), extent, out=steps, where=extent > 0)
    ridge = _directions_without_tiles(normal)
    right = centred.T @ moved + ridge @ np.diag(steps)
    return np.asarray(np.linalg.solve(normal + ridge, right).T)


def _directions_without_tiles(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project on what the sum of squared indices (2, 2) is zero along; its values are fractions."""
    size, vectors = np.linalg.eigh(normal)
    absent = vectors[:, size <= 1e-9 * max(size.max(), 1.0)]
    return np.asarray(absent @ absent.T)
