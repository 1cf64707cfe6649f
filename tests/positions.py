"""Reading positions that were written for other programs."""

from __future__ import annotations

from mosaicflow.acquisition.place.tile_configuration import parse_tile_configuration


def corners_of(text: str) -> dict[str, tuple[float, ...]]:
    """Return what a tile configuration says: name -> (y, x) or (z, y, x) in px."""
    listed = parse_tile_configuration(text, "TileConfiguration.txt")
    return {tile.name: tile.corner_px for tile in listed}
