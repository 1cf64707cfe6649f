#!/usr/bin/env python3
"""Draw overview.png from the example that comes with the package: raw tiles and the section.

mosaicflow example brain-section
mosaicflow run brain-section/raw -o RUN -p brain-section/params.yml
python docs/images/draw_overview.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mosaicflow.io.zarr import open_level

HEIGHT, LABEL, GAP = 420, 30, 60  # px
Picture = NDArray[np.uint8]


def draw(run: Path) -> Image.Image:
    """Put what goes in and what comes out side by side."""
    tiles = open_level(run / "mosaic_grids" / "mosaic_grid_3d_z00.ome.zarr")
    section = open_level(run / "3d_volume.ome.zarr")
    panels = {
        "63 raw tiles, edge to edge": scaled(grey(tiles[0])),
        "the section": scaled(grey(section[0])),
    }
    return side_by_side(panels)


def grey(image: NDArray[np.floating]) -> Picture:
    """Stretch between the darkest and brightest values that are no outliers."""
    low, high = np.percentile(image[image != 0], [0.5, 99.7])
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def scaled(image: Picture) -> Image.Image:
    """Bring a picture to the height of the row."""
    picture = Image.fromarray(image)
    width = round(picture.width * HEIGHT / picture.height)
    return picture.resize((width, HEIGHT), Image.Resampling.LANCZOS)


def side_by_side(panels: dict[str, Image.Image]) -> Image.Image:
    """Draw labelled pictures in a row, with arrows between them."""
    width = sum(picture.width for picture in panels.values()) + GAP * (len(panels) - 1)
    canvas = Image.new("L", (width, LABEL + HEIGHT), 255)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=17)
    left = 0
    for label, picture in panels.items():
        if left:
            arrow(pen, left - GAP + 12, left - 12)
        pen.text((left, 4), label, fill=0, font=font)
        canvas.paste(picture, (left, LABEL))
        left += picture.width + GAP
    return canvas


def arrow(pen: ImageDraw.ImageDraw, start: int, end: int) -> None:
    """Draw an arrow to the right, at half the height of the row."""
    y = LABEL + HEIGHT // 2
    pen.line([(start, y), (end - 8, y)], fill=0, width=3)
    pen.polygon([(end, y), (end - 11, y - 7), (end - 11, y + 7)], fill=0)


if __name__ == "__main__":
    draw(Path(sys.argv[1])).save(Path(__file__).with_name("overview.png"), optimize=True)
