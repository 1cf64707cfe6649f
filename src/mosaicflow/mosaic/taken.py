"""Places of tiles that another run measured, for tiles of the same places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.formats.placements import TilePosition, bdv_xml, tile_configuration
from mosaicflow.io.tables import read_csv, write_csv, write_text
from mosaicflow.names import BIGSTITCHER, POSITIONS, TILE_CONFIGURATION

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["check_same_tiles", "no_places", "take_places"]

# Tiles of two acquisitions are the same when the stage has them this near to each other, as a part
# of a tile. A lattice that begins a row later is off by most of a tile; stages come back to a few
# pixels. Doubled, a lattice of 50 % overlap could pass for its neighbour.
_SAME_PLACE = 0.25
# Pitches that agree to this part are one pitch that was written with few digits: over a tile of
# 2000 px it moves a border by 2 px. Doubled, twice that would go unsaid.
_SAME_PITCH = 1e-3


def check_same_tiles(here: SliceTiles, there: SliceTiles) -> None:
    """Refuse places of a slice whose tiles have another size, or lay elsewhere.

    Parameters
    ----------
    here, there : SliceTiles
        Tiles of one slice, in this run and in the one that measured their places.

    Raises
    ------
    InputError
        When they cannot be the same tiles.
    """
    pairs = zip(here.pitch_um, there.pitch_um, strict=True)
    same_pitch = all(math.isclose(a, b, rel_tol=_SAME_PITCH) for a, b in pairs)
    if here.tile_shape[1:] != there.tile_shape[1:] or not same_pitch:
        raise InputError(
            f"slice {here.slice_id}: tiles of {_size(here)} in this run, of {_size(there)} in the "
            "run that positions_from names: expected the same tiles",
            remedy="take positions from a run on the same tiles",
        )
    for index in sorted(here.used.keys() & there.used.keys()):
        parts = _apart(here, there, index)
        if max(parts) > _SAME_PLACE:
            raise InputError(
                f"slice {here.slice_id}: tile (iy, ix) = {index} lies {parts[0]:.2f} tiles (y) and "
                f"{parts[1]:.2f} tiles (x) from where the run that positions_from names has it: "
                "expected the same tiles",
                remedy="take positions from a run on the same tiles, or run without positions_from",
            )


def _size(tiles: SliceTiles) -> str:
    _, n_y, n_x = tiles.tile_shape
    return f"{n_y} x {n_x} px at {tuple(round(pitch, 4) for pitch in tiles.pitch_um)} um"


def _apart(here: SliceTiles, there: SliceTiles, index: tuple[int, int]) -> tuple[float, float]:
    """How far two runs have the same tile from each other (y, x) [tiles]; 0 where neither says."""
    one, other = here.used[index].centre_mm, there.used[index].centre_mm
    if one is None or other is None:
        return 0.0, 0.0
    y, x = (abs(a - b) / size for a, b, size in zip(one, other, here.fov_mm, strict=True))
    return y, x


def take_places(table: Path, tiles: SliceTiles, name: str, folder: Path) -> int:
    """Write another run's table of places for the tiles of this one, and what goes with it.

    Parameters
    ----------
    table : Path
        zNN_tile_positions.csv of the other run.
    tiles : SliceTiles
        Tiles of the slice in this run, whose files are named.
    name : str
        What names of this run call the slice, such as z07.
    folder : Path
        Where zNN_tile_positions.csv, zNN_TileConfiguration.txt and zNN_tiles.bdv.xml go.

    Returns
    -------
    int
        Tiles of this run whose place is known.
    """
    rows = read_csv(table, ["iy", "ix", "row_px", "col_px"])
    known = {(int(row["iy"]), int(row["ix"])): row for row in rows}
    written = [
        {**row, "file": tiles.used[index].path if index in tiles.used else ""}
        for index, row in sorted(known.items())
    ]
    write_csv(folder / POSITIONS.of(name), list(written[0]), written)
    listed = [
        TilePosition(
            tiles.used[index].path, (0.0, float(row["row_px"]), float(row["col_px"])),
            tiles.tile_shape,
        )
        for index, row in sorted(known.items())
        if index in tiles.used
    ]  # fmt: skip
    write_text(folder / TILE_CONFIGURATION.of(name), tile_configuration(listed))
    write_text(folder / BIGSTITCHER.of(name), bdv_xml(listed, tiles.pitch_um))
    return len(listed)


def no_places(name: str, folder: Path) -> None:
    """Write an empty table of places: whoever reads it says which slice lacks them."""
    write_csv(folder / POSITIONS.of(name), ["iy", "ix", "row_px", "col_px", "file"], [])
