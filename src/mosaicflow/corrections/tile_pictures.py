"""Pictures of tiles: all tiles of a slice in one picture, each as a mean over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.averages import known_means
from mosaicflow.corrections.projections import edges, grey, known_mean, reduction
from mosaicflow.io.grids import MosaicGrid
from mosaicflow.io.previews import save_jpeg
from mosaicflow.io.tables import read_csv, read_document
from mosaicflow.mosaic.given import native_per_working
from mosaicflow.names import slice_label

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["draw_tiles"]

# Longest side of the picture of all tiles of a slice: a tile of a lattice of ten keeps 250 px.
_SIDE_PX = 2500


def draw_tiles(
    grids: Mapping[int, Path],
    tables: Mapping[int, tuple[Path, Path]],
    resolution_um: float,
    folder: Path,
) -> dict[int, dict[str, Any]]:
    """Draw the tiles of every slice whose grid was kept, and tell where each lies.

    Parameters
    ----------
    grids : mapping
        Slice id -> mosaic grid.
    tables : mapping
        Slice id -> ``zNN_tile_positions.csv`` and ``zNN_tile_stage.json``.
    resolution_um : float
        Pitch whose pixels the table of overrides counts in.
    folder : Path
        For the pictures.

    Returns
    -------
    dict
        Slice id -> size of a tile and its cell in the picture, and per tile: iy, ix, place by the
        stage (y, x), where it went minus that (y, x) in working px, and how that is known.
    """
    found = {}
    for slice_id, path in sorted(grids.items()):
        if slice_id in tables:
            grid = MosaicGrid(path)
            cell = _draw(grid, folder, slice_label(slice_id))
            places = _places(*tables[slice_id], resolution_um)
            found[slice_id] = {
                "cell_yx": cell,
                "pictures": f"{folder.name}/{slice_label(slice_id)}_tiles",
                **places,
            }
    return found


def _draw(grid: MosaicGrid, folder: Path, label: str) -> list[int]:
    """Draw the picture of all tiles; give the size of one in it."""
    (_, n_y, n_x), (n_iy, n_ix) = grid.tile_shape, grid.grid_shape
    step = reduction((n_iy * n_y, n_ix * n_x), _SIDE_PX)
    cell = (-(-n_y // step), -(-n_x // step))
    whole = np.zeros((n_iy * cell[0], n_ix * cell[1]), np.float32)
    outlines = np.zeros(whole.shape, np.uint8)
    regions = {
        (iy, ix): np.s_[iy * cell[0] : (iy + 1) * cell[0], ix * cell[1] : (ix + 1) * cell[1]]
        for iy, ix in grid.tiles
    }
    for tile, region in regions.items():
        whole[region] = known_means(known_mean(grid.read(tile), axis=0), (step, step))
    picture = grey(whole)  # one stretch for all: a seam then shows what it is
    for region in regions.values():
        outlines[region] = edges(picture[region])
    save_jpeg(folder / f"{label}_tiles.jpg", picture)
    save_jpeg(folder / f"{label}_tiles_edges.jpg", outlines)
    return list(cell)


def _places(positions: Path, stage: Path, resolution_um: float) -> dict[str, Any]:
    known = read_document(stage)
    native = known["tile_shape"][1:]
    scale = np.array(
        [
            native_per_working(n, um, resolution_um)
            for n, um in zip(native, known["pitch_um"][1:], strict=True)
        ]
    )
    by_stage = {(int(iy), int(ix)): np.array([y, x]) for iy, ix, y, x in known["stage_px"]}
    rows = read_csv(positions, ["iy", "ix", "row_px", "col_px"])
    tiles = [(int(row["iy"]), int(row["ix"])) for row in rows]
    at = np.array([[float(row["row_px"]), float(row["col_px"])] for row in rows])
    moved = at - np.array([by_stage[tile] for tile in tiles])
    # The solver holds the slice as a whole where the stage has it; rows are counted from there.
    moved -= moved.mean(axis=0)
    return {
        "tile_yx": (np.array(native) / scale).tolist(),
        "tiles": [
            _tile(tile, by_stage[tile] / scale, step / scale, row.get("source", ""))
            for tile, step, row in zip(tiles, moved, rows, strict=True)
        ],
    }


def _tile(
    tile: tuple[int, int], stage: NDArray[np.float64], moved: NDArray[np.float64], source: str
) -> dict[str, Any]:
    return {
        "iy": tile[0],
        "ix": tile[1],
        "stage_yx": [round(float(value), 4) for value in stage],
        "shift_px": [round(float(value), 4) for value in moved],
        "source": source,
    }
