"""Read the tiles of a LIF file (LAS X): every image is a tile, with the place of the stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.find.microscope_files import opened
from mosaicflow.acquisition.image_header import UNPROVEN_AXES, ImageHeader, chosen_note
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]

_UM_PER_M = 1e6
_OTHER_AXES = {
    "T": "time points", "λ": "emission bands", "Λ": "excitation bands", "H": "phases",
    "L": "loops", "R": "rotations", "Q": "slices of another kind",
}  # fmt: skip


def list_tiles(path: Path) -> list[SourceTile]:
    """Describe the images of a file; see `TileSource`."""
    with opened(path, "liffile", "LifFile") as file:
        images = list(file.images)
        areas = [k for k, image in enumerate(images) if {"Y", "X"} <= set(image.dims)]
        if not areas:
            found = ", ".join("".join(image.dims) for image in images) or "none"
            raise FormatError(f"holds no image with rows and columns, but {found}")
        if scans := [images[k] for k in areas if "M" in images[k].dims]:
            raise FormatError(
                f"holds the tile scan {scans[0].name} of {scans[0].sizes['M']} fields, whose "
                "places are not read",
                remedy="export the fields as OME-TIFF, and give their places in a tile_table",
            )
        left_out = len(images) - len(areas)
        return [
            SourceTile(
                _header(images[k], left_out),
                item=str(k) if len(areas) > 1 else "",
                centre_um=_stage_position(images[k]),
            )
            for k in areas
        ]


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read a channel of an image; see `TileSource`."""
    with opened(path, "liffile", "LifFile") as file:
        images = list(file.images)
        first = next(k for k, image in enumerate(images) if {"Y", "X"} <= set(image.dims))
        image = images[int(item) if item else first]
        pixels, dims = np.asarray(image.asarray()), list(image.dims)
        for axis in [axis for axis in dims if axis not in "ZYXS"]:
            pixels = pixels.take(channel if axis == "C" else 0, axis=dims.index(axis))
            dims.remove(axis)
    order = [dims.index(axis) for axis in "ZYXS" if axis in dims]
    pixels = pixels.transpose(order)
    if "S" in dims:
        pixels = pixels.mean(axis=-1, dtype=np.float32)
    return pixels if "Z" in dims else pixels[None]


def _header(image: Any, left_out: int) -> ImageHeader:  # noqa: ANN401  # an untyped interface
    sizes = dict(image.sizes)
    n_channels = sizes.get("C", 1)
    channels = tuple(f"channel {k}" for k in range(n_channels)) if n_channels > 1 else ("grey",)
    others = {name: sizes.get(axis, 1) for axis, name in _OTHER_AXES.items()}
    notes = chosen_note(channels, others)
    if left_out:
        notes += (f"{left_out} images without rows and columns are left out",)
    if _stage_position(image) is not None:
        notes += (UNPROVEN_AXES,)
    coords = dict(image.coords)
    pitch = [_pitch_um(coords.get(axis, ())) for axis in "ZYX"]
    size = (sizes.get("Z", 1), sizes["Y"], sizes["X"])
    return ImageHeader(*size, (pitch[0], pitch[1], pitch[2]), channels, notes)


def _pitch_um(places_m: Sequence[float]) -> float | None:
    if len(places_m) < 2:
        return None
    um = abs(float(places_m[-1]) - float(places_m[0])) / (len(places_m) - 1) * _UM_PER_M
    return float(f"{um:.9g}") if math.isfinite(um) and um > 0 else None


def _stage_position(image: Any) -> tuple[float, float] | None:  # noqa: ANN401
    """Read where the stage was, (y, x) in um: metres, among the settings of the scan."""
    for settings in image.xml_element.iter():
        y, x = settings.get("StagePosY"), settings.get("StagePosX")
        if y is not None and x is not None:
            return float(f"{float(y) * _UM_PER_M:.9g}"), float(f"{float(x) * _UM_PER_M:.9g}")
    return None
