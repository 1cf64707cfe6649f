"""A small picture of where the tiles of each slice lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from mosaicflow.names import format_slice_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.tiles import SliceTiles, Tile

__all__ = ["draw_layout"]

# Sizes in pixels, by eye: a slice, the space around it, its title. Doubled, the picture of many
# slices is wider than a screen.
_PANEL = 220
_MARGIN = 12
_TITLE = 16
# Slices shown, evenly chosen: six rows of eight. Doubled, the picture is no overview any more.
_MOST_PANELS = 48
# Colours (red, green, blue), of 255.
_BACKGROUND = (255, 255, 255)
_TEXT = (40, 40, 40)
_COLOURS = {
    "ok": (70, 130, 180),
    "repaired": (230, 160, 40),
    "skipped": (200, 50, 50),
    "unplaced": (150, 150, 150),
}


def draw_layout(slices: Sequence[SliceTiles]) -> Image.Image:
    """Draw each slice's fields of view as rectangles, at one scale.

    Used tiles are blue, repaired ones orange, unusable ones red. Of many slices only evenly chosen
    ones are drawn.

    Parameters
    ----------
    slices : sequence of SliceTiles
        At least one.
    """
    step = math.ceil(len(slices) / _MOST_PANELS)
    chosen = slices[::step]
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    size = (columns * _PANEL, rows * (_PANEL + _TITLE))
    image = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(image)
    extent_mm = max(max(_extent(tiles)) for tiles in chosen)
    for number, tiles in enumerate(chosen):
        corner = ((number % columns) * _PANEL, (number // columns) * (_PANEL + _TITLE))
        _draw_slice(draw, tiles, corner, (_PANEL - 2 * _MARGIN) / (extent_mm or 1.0))
    return image


def _extent(tiles: SliceTiles) -> tuple[float, float]:
    low, high = tiles.stage.min_mm, tiles.stage.max_mm
    return high[0] - low[0], high[1] - low[1]


def _draw_slice(
    draw: ImageDraw.ImageDraw, tiles: SliceTiles, corner: tuple[int, int], px_per_mm: float
) -> None:
    title = f"z{format_slice_id(tiles.slice_id)}: {len(tiles.used)} of {len(tiles.tiles)} tiles"
    draw.text((corner[0] + _MARGIN, corner[1] + 2), title, fill=_TEXT)
    left, top = corner[0] + _MARGIN, corner[1] + _TITLE + _MARGIN
    for tile in tiles.tiles:
        if tile.centre_mm is None:
            continue
        y, x = _corner_mm(tiles, tile)
        height, width = tiles.fov_mm
        box = (
            left + x * px_per_mm,
            top + y * px_per_mm,
            left + (x + width) * px_per_mm,
            top + (y + height) * px_per_mm,
        )
        draw.rectangle(box, outline=_COLOURS[tile.status], width=1)


def _corner_mm(tiles: SliceTiles, tile: Tile) -> tuple[float, float]:
    # Mosaic coordinates: from the corner at array index (0, 0), growing with the index.
    (origin_y, origin_x), (sign_y, sign_x) = tiles.stage.origin_mm, tiles.stage.signs
    centre_y, centre_x = tile.centre_mm or tiles.stage.origin_mm
    height, width = tiles.fov_mm
    return (
        sign_y * (centre_y - origin_y) - height / 2,
        sign_x * (centre_x - origin_x) - width / 2,
    )
