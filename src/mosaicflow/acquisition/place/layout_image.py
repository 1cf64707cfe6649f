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

# Sizes in pixels, by eye: a slice of many, all of few, the space around each, its title. Doubled,
# the picture of many slices is wider than a screen.
_PANEL = 220
_WIDTH = 660
_MARGIN = 12
_TITLE = 16
# Slices shown, evenly chosen: six rows of eight. Doubled, the picture is no overview any more.
_MOST_PANELS = 48
# Colours (red, green, blue), of 255.
_BACKGROUND = (255, 255, 255)
_TEXT = (40, 40, 40)
# Status -> colour and what it means; those that matter most are drawn last, over the others.
_STATUSES = {
    "ok": ((70, 130, 180), "used"),
    "repaired": ((230, 160, 40), "repaired and used"),
    "unplaced": ((150, 150, 150), "belongs to no place"),
    "skipped": ((200, 50, 50), "cannot be used"),
}


def draw_layout(slices: Sequence[SliceTiles]) -> Image.Image:
    """Draw each slice's fields of view as rectangles, at one scale.

    Each tile bears its lattice index where there is room, and the lines at the bottom say what its
    colour means. Of many slices only evenly chosen ones are drawn.

    Parameters
    ----------
    slices : sequence of SliceTiles
        At least one.
    """
    step = math.ceil(len(slices) / _MOST_PANELS)
    chosen = slices[::step]
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    panel = max(_PANEL, _WIDTH // columns)
    met = {tile.status for tiles in chosen for tile in tiles.tiles}
    statuses = [one for one in _STATUSES if one in met]
    size = (columns * panel, rows * (panel + _TITLE) + len(statuses) * _TITLE)
    image = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(image)
    extent_mm = max(max(_extent(tiles)) for tiles in chosen)
    for number, tiles in enumerate(chosen):
        corner = ((number % columns) * panel, (number // columns) * (panel + _TITLE))
        _draw_slice(draw, tiles, corner, (panel - 2 * _MARGIN) / (extent_mm or 1.0))
    for line, status in enumerate(reversed(statuses), start=1):
        _draw_meaning(draw, status, size[1] - line * _TITLE)
    return image


def _draw_meaning(draw: ImageDraw.ImageDraw, status: str, top: int) -> None:
    colour, meaning = _STATUSES[status]
    draw.rectangle((_MARGIN, top + 4, _MARGIN + 8, top + 12), outline=colour, width=2)
    draw.text((_MARGIN + 14, top + 2), meaning, fill=_TEXT)


def _extent(tiles: SliceTiles) -> tuple[float, float]:
    low, high = tiles.stage.min_mm, tiles.stage.max_mm
    return high[0] - low[0], high[1] - low[1]


def _draw_slice(
    draw: ImageDraw.ImageDraw, tiles: SliceTiles, corner: tuple[int, int], px_per_mm: float
) -> None:
    title = f"z{format_slice_id(tiles.slice_id)}: {len(tiles.used)} of {len(tiles.tiles)} tiles"
    draw.text((corner[0] + _MARGIN, corner[1] + 2), title, fill=_TEXT)
    left, top = corner[0] + _MARGIN, corner[1] + _TITLE + _MARGIN
    order = list(_STATUSES)
    for tile in sorted(tiles.tiles, key=lambda one: order.index(one.status)):
        if tile.centre_mm is None:
            continue
        y, x = _corner_mm(tiles, tile)
        height, width = (length * px_per_mm for length in tiles.fov_mm)
        _draw_tile(draw, tile, (left + x * px_per_mm, top + y * px_per_mm), (width, height))


def _draw_tile(
    draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[float, float], size: tuple[float, float]
) -> None:
    (left, top), (width, height) = corner, size
    colour, _ = _STATUSES[tile.status]
    line = 1 if tile.status == "ok" else 2
    draw.rectangle((left, top, left + width, top + height), outline=colour, width=line)
    index = ",".join(map(str, tile.index or ()))
    if draw.textlength(index) < width / 2:
        draw.text((left + width / 2, top + height / 2), index, fill=_TEXT, anchor="mm")


def _corner_mm(tiles: SliceTiles, tile: Tile) -> tuple[float, float]:
    # Mosaic coordinates: from the corner at array index (0, 0), growing with the index.
    (origin_y, origin_x), (sign_y, sign_x) = tiles.stage.origin_mm, tiles.stage.signs
    centre_y, centre_x = tile.centre_mm or tiles.stage.origin_mm
    height, width = tiles.fov_mm
    return (
        sign_y * (centre_y - origin_y) - height / 2,
        sign_x * (centre_x - origin_x) - width / 2,
    )
