"""Read the tiles of a LIF file (LAS X): every image, or every field of its tile scan, is a tile."""

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
    """Describe the images of a file, or the fields of its tile scan; see `TileSource`."""
    with opened(path, "liffile", "LifFile") as file:
        images = list(file.images)
        areas = _areas(images)
        if not areas:
            found = ", ".join("".join(image.dims) for image in images) or "none"
            raise FormatError(f"holds no image with rows and columns, but {found}")
        scans = [k for k in areas if "M" in images[k].dims]
        if scans:
            return _fields(images, scans, areas)
        notes = _left_out(len(images) - len(areas), "without rows and columns")
        return [
            SourceTile(
                _header(images[k], notes, has_place=_stage_position(images[k]) is not None),
                item=str(k) if len(areas) > 1 else "",
                centre_um=_stage_position(images[k]),
            )
            for k in areas
        ]


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read a channel of an image or field; see `TileSource`."""
    with opened(path, "liffile", "LifFile") as file:
        images = list(file.images)
        index, _, field = item.partition("M")
        image = images[int(index) if index else _areas(images)[0]]
        chosen = {axis: 0 for axis in image.dims if axis not in "ZYXS"}
        if "C" in chosen:
            chosen["C"] = channel
        if field:
            chosen["M"] = int(field)
        pixels, dims = _selected(image, chosen)
    order = [dims.index(axis) for axis in "ZYXS" if axis in dims]
    pixels = pixels.transpose(order)
    if "S" in dims:
        pixels = pixels.mean(axis=-1, dtype=np.float32)
    return pixels if "Z" in dims else pixels[None]


def _areas(images: Sequence[Any]) -> list[int]:
    return [k for k, image in enumerate(images) if {"Y", "X"} <= set(image.dims)]


def _selected(image: Any, chosen: dict[str, int]) -> tuple[NDArray[Any], list[str]]:  # noqa: ANN401
    """Read one place of the axes in `chosen` and the others whole; return their order too."""
    if "M" in chosen:  # of thousands of fields only the one that is asked for
        frames = image.frames(**chosen)
        return np.asarray(frames.asarray()), list(frames.dims)
    pixels, dims = np.asarray(image.asarray()), list(image.dims)
    for axis, place in chosen.items():
        pixels = pixels.take(place, axis=dims.index(axis))
        dims.remove(axis)
    return pixels, dims


def _fields(images: Sequence[Any], scans: Sequence[int], areas: Sequence[int]) -> list[SourceTile]:
    """Describe the fields of the tile scan of a file; the stitched copy beside it is left out."""
    scan = images[scans[0]]
    if len(scans) > 1:
        names = ", ".join(images[k].name for k in scans)
        raise FormatError(
            f"holds the tile scans {names}, expected one",
            remedy="save each of them as a file of its own, in a folder zNN of its own",
        )
    centres = _field_places(scan)
    notes = _left_out(len(areas) - 1, "that are not the tile scan")
    header = _header(scan, notes, has_place=True)
    return [
        SourceTile(header, item=f"{scans[0]}M{field}", centre_um=centre)
        for field, centre in enumerate(centres)
    ]


def _field_places(scan: Any) -> list[tuple[float, float]]:  # noqa: ANN401
    """Read where the stage was for each field, (y, x) in um along the axes of the image."""
    info = scan.xml_element.find('./Data/Image/Attachment[@Name="TileScanInfo"]')
    tiles = [] if info is None else info.findall("./Tile")
    if info is None or len(tiles) != scan.sizes["M"]:
        raise FormatError(
            f"holds the tile scan {scan.name} of {scan.sizes['M']} fields and the places of"
            f" {len(tiles)}",
            remedy="export the fields as OME-TIFF, and give their places in a tile_table",
        )
    places = [(tile.get("PosY", "nan"), tile.get("PosX", "nan")) for tile in tiles]
    points = np.array(places, np.float64) * _UM_PER_M
    if not np.isfinite(points).all():
        raise FormatError(f"has a field of the tile scan {scan.name} without a place")
    if info.get("SwapXY", "0") == "1":
        points = points[:, ::-1]
    signs = [-1 if info.get(f"Flip{axis}", "0") == "1" else 1 for axis in "YX"]
    return [(float(f"{y:.9g}"), float(f"{x:.9g}")) for y, x in points * signs]


def _left_out(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} images {what} are left out",) if count else ()


def _header(image: Any, notes: tuple[str, ...], *, has_place: bool) -> ImageHeader:  # noqa: ANN401
    sizes = dict(image.sizes)
    n_channels = sizes.get("C", 1)
    channels = tuple(f"channel {k}" for k in range(n_channels)) if n_channels > 1 else ("grey",)
    others = {name: sizes.get(axis, 1) for axis, name in _OTHER_AXES.items()}
    notes = chosen_note(channels, others) + notes
    if has_place:
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
