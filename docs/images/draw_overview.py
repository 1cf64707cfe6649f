#!/usr/bin/env python3
"""Draw overview.png from a finished run: raw tiles, one slice, the volume.

python docs/images/draw_overview.py RUN 03
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mosaicflow.io.zarr import open_level

HEIGHT, LABEL, GAP = 300, 30, 60  # px
Picture = NDArray[np.uint8]


def draw(run: Path, slice_id: str) -> Image.Image:
    """Put what goes in, what happens between and what comes out side by side."""
    tiles = open_level(run / "mosaic_grids" / f"mosaic_grid_3d_z{slice_id}_resampled.ome.zarr")
    piece = open_level(run / "slices" / "stitch_3d" / f"slice_z{slice_id}_stitch_3d.ome.zarr")
    volume = open_level(run / "3d_volume.ome.zarr")
    depth = slice(piece.shape[0] // 2, None)  # below the water
    panels = {
        "raw tiles, edge to edge": scaled(grey(tiles[depth].mean(axis=0))),
        "one slice": scaled(grey(piece[depth].mean(axis=0))),
        "the volume": scaled(three_planes(volume[:, :, :])),
    }
    return side_by_side(panels)


def grey(image: NDArray[np.floating]) -> Picture:
    """Stretch between the darkest and brightest values that are no outliers."""
    low, high = np.percentile(image[image != 0], [0.5, 99.7])
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def three_planes(volume: NDArray[np.floating]) -> Picture:
    """Lay the central planes out as a fold-out box: seen from above, from the front, the side."""
    z, y, x = (length // 2 for length in volume.shape)
    top, front, side = grey(volume[z]), grey(volume[:, y]), grey(volume[:, :, x].T)
    rule = 4
    height, width = top.shape[0] + rule + front.shape[0], top.shape[1] + rule + side.shape[1]
    box = np.full((height, width), 255, np.uint8)
    box[: top.shape[0], : top.shape[1]] = top
    box[top.shape[0] + rule :, : top.shape[1]] = front
    box[: top.shape[0], top.shape[1] + rule :] = side
    return box


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
    draw(Path(sys.argv[1]), sys.argv[2]).save(
        Path(__file__).with_name("overview.png"), optimize=True
    )
