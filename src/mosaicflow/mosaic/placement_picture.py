"""A small picture of where the tiles of each slice lie, and of what holds them there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.mosaic.link import Tile
    from mosaicflow.mosaic.placement import Placement

__all__ = ["draw_placements"]

# Side of the panel of a slice, its margin and the line of its title [px]; a sheet of 48 panels is
# still a picture.
_PANEL_PX, _MARGIN_PX, _TITLE_PX, _MOST_PANELS = 220, 12, 16, 48
_BACKGROUND, _TEXT = (255, 255, 255), (40, 40, 40)
_MEASURED, _ISLAND, _STAGE = (70, 130, 180), (220, 120, 20), (150, 150, 150)
_USED, _DROPPED = (60, 150, 80), (200, 50, 50)


def draw_placements(
    slices: Sequence[tuple[str, Placement, str]], tile_yx: tuple[int, int]
) -> Image.Image:
    """Draw each slice's tiles as rectangles at one scale, and its links between their middles.

    Blue: measured. Orange: an island that no link joins to the largest part. Grey: the whole slice
    lies by the stage or its lattice. Links are green, and red where they were dropped. Of many
    slices only evenly chosen ones are drawn.

    Parameters
    ----------
    slices : sequence of (str, Placement, str)
        Name of each slice, where its tiles lie, and which positions were kept.
    tile_yx : (int, int)
        Lateral shape of a tile.
    """
    chosen = slices[:: math.ceil(len(slices) / _MOST_PANELS)]
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    image = Image.new("RGB", (columns * _PANEL_PX, rows * (_PANEL_PX + _TITLE_PX)), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    extent_px = max(_extent(placement.positions_px, tile_yx) for _, placement, _ in chosen)
    scale = (_PANEL_PX - 2 * _MARGIN_PX) / extent_px
    for number, (name, placement, source) in enumerate(chosen):
        left = (number % columns) * _PANEL_PX + _MARGIN_PX
        top = (number // columns) * (_PANEL_PX + _TITLE_PX) + 2
        draw.text((left, top), _title(name, placement, source), fill=_TEXT)
        panel = _Panel(draw, (top + _TITLE_PX + _MARGIN_PX, left), scale, placement)
        panel.tiles(tile_yx, source)
        panel.links(tile_yx)
    return image


def _title(name: str, placement: Placement, source: str) -> str:
    measured = len(placement.measured) if source == "optimised" else 0
    return f"{name}: {measured} of {len(placement.positions_px)} measured"


def _extent(positions_px: Mapping[Tile, tuple[float, float]], tile_yx: tuple[int, int]) -> float:
    return max(
        max(p[axis] for p in positions_px.values())
        - min(p[axis] for p in positions_px.values())
        + tile_yx[axis]
        for axis in (0, 1)
    )


class _Panel:
    """The part of the picture that shows one slice."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        corner: tuple[int, int],
        scale: float,
        placement: Placement,
    ) -> None:
        places = placement.positions_px.values()
        self._least = [min(p[axis] for p in places) for axis in (0, 1)]
        self._draw, self._corner, self._scale, self._placement = draw, corner, scale, placement

    def _at(self, y: float, x: float) -> tuple[float, float]:
        """Place of a point of the slice in the picture, (x, y)."""
        return (
            self._corner[1] + (x - self._least[1]) * self._scale,
            self._corner[0] + (y - self._least[0]) * self._scale,
        )

    def tiles(self, tile_yx: tuple[int, int], source: str) -> None:
        measured = self._placement.measured
        for tile, (y, x) in sorted(self._placement.positions_px.items()):
            colour = _MEASURED if tile in measured else _ISLAND
            box = (*self._at(y, x), *self._at(y + tile_yx[0], x + tile_yx[1]))
            self._draw.rectangle(box, outline=colour if source == "optimised" else _STAGE)

    def links(self, tile_yx: tuple[int, int]) -> None:
        at = self._placement.positions_px
        for link in self._placement.links:
            ends = [
                self._at(at[tile][0] + tile_yx[0] / 2, at[tile][1] + tile_yx[1] / 2)
                for tile in (link.a, link.b)
            ]
            self._draw.line([*ends[0], *ends[1]], fill=_USED if link.used else _DROPPED)
