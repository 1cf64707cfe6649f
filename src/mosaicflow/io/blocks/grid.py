"""The block of a mosaic grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError
from mosaicflow.io.blocks.entries import YX, pair, parsed, tile_of, tiles, triple
from mosaicflow.io.blocks.raw import GalvoBlock, StageBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GridBlock"]


@dataclass(frozen=True, slots=True)
class GridBlock:
    """Block of a mosaic grid: tiles laid edge to edge.

    Parameters
    ----------
    tile_shape : tuple of int
        (z, y, x).
    grid_shape : tuple of int
        Tiles along y and x, missing ones included.
    slice_id : int or None
        The slice; None where the store does not say.
    index_origin : tuple of int
        Raw index (iy, ix) of tile (0, 0).
    missing_tiles, blank_tiles, saturated_tiles : tuple of (int, int)
        Tiles (iy, ix) without an image; without light; with too much.
    overlap_fraction : float or None
        Of a tile's length, nominal.
    positions : str
        Where positions come from.
    tile_positions_mm : mapping
        Tile -> (y, x) of its centre in stage coordinates.
    stage : StageBlock
        Direction and range of the stage.
    orientation : mapping
        Which scan axis each array axis follows.
    galvo : GalvoBlock
        The galvo's shift.
    source : mapping
        Name of the raw folder, its layout, number of tiles.
    native_pitch_um : tuple of float or None
        Voxel pitch (z, y, x) of the raw tiles; None when the grid has it.
    """

    tile_shape: tuple[int, int, int]
    grid_shape: tuple[int, int]
    slice_id: int | None = None
    index_origin: tuple[int, int] = (0, 0)
    missing_tiles: tuple[tuple[int, int], ...] = ()
    blank_tiles: tuple[tuple[int, int], ...] = ()
    saturated_tiles: tuple[tuple[int, int], ...] = ()
    overlap_fraction: float | None = None
    positions: str = ""
    tile_positions_mm: Mapping[tuple[int, int], YX] = field(default_factory=dict)
    stage: StageBlock = field(default_factory=StageBlock)
    orientation: Mapping[str, Any] = field(default_factory=dict)
    galvo: GalvoBlock = field(default_factory=GalvoBlock)
    source: Mapping[str, Any] = field(default_factory=dict)
    native_pitch_um: tuple[float, float, float] | None = None

    @classmethod
    def from_attrs(cls, block: Mapping[str, Any], where: str) -> GridBlock:
        """Read the block of a grid.

        Raises
        ------
        FormatError
            When it does not tell the lattice of tiles, or an entry cannot be read.
        """
        for key in ("tile_shape", "grid_shape"):
            if key not in block:
                raise FormatError(
                    f"{where}: the mosaicflow block has no '{key}', so the tiles are unknown",
                    remedy="write the grid with create_mosaic_grid",
                )
        stage = StageBlock.from_attrs(block.get("stage"), where)
        galvo = GalvoBlock.from_attrs(block.get("galvo"), where)
        return parsed(where, "lattice", lambda: cls._read(block, stage, galvo))

    @classmethod
    def _read(cls, block: Mapping[str, Any], stage: StageBlock, galvo: GalvoBlock) -> GridBlock:
        n_z, n_y, n_x = (int(n) for n in block["tile_shape"])
        n_iy, n_ix = (int(n) for n in block["grid_shape"])
        first = block.get("index_origin", {"iy": 0, "ix": 0})
        overlap, native = block.get("overlap_fraction"), block.get("native_pitch_um")
        return cls(
            tile_shape=(n_z, n_y, n_x),
            grid_shape=(n_iy, n_ix),
            slice_id=None if block.get("slice_id") is None else int(block["slice_id"]),
            index_origin=(int(first["iy"]), int(first["ix"])),
            missing_tiles=tiles(block.get("missing_tiles", ())),
            blank_tiles=tiles(block.get("blank_tiles", ())),
            saturated_tiles=tiles(block.get("saturated_tiles", ())),
            overlap_fraction=None if overlap is None else float(overlap),
            positions=str(block.get("positions", "")),
            tile_positions_mm={
                tile_of(key): pair(value)
                for key, value in block.get("tile_positions_mm", {}).items()
            },
            stage=stage,
            orientation=block.get("orientation", {}),
            galvo=galvo,
            source=block.get("source", {}),
            native_pitch_um=None if native is None else triple(native),
        )

    def to_attrs(self) -> dict[str, Any]:
        """Give the block of a grid."""
        native = {} if self.native_pitch_um is None else {"native_pitch_um": self.native_pitch_um}
        return {
            "kind": "mosaic_grid",
            "slice_id": self.slice_id,
            "tile_shape": list(self.tile_shape),
            "grid_shape": list(self.grid_shape),
            "index_origin": {"iy": self.index_origin[0], "ix": self.index_origin[1]},
            "missing_tiles": [list(index) for index in self.missing_tiles],
            "blank_tiles": [list(index) for index in self.blank_tiles],
            "saturated_tiles": [list(index) for index in self.saturated_tiles],
            "overlap_fraction": self.overlap_fraction,
            "positions": self.positions,
            "tile_positions_mm": {
                f"{iy},{ix}": list(place) for (iy, ix), place in self.tile_positions_mm.items()
            },
            "stage": self.stage.to_attrs(),
            "orientation": dict(self.orientation),
            "galvo": self.galvo.to_attrs(),
            "source": dict(self.source),
            **{key: list(value) for key, value in native.items()},
        }
