"""Read OME-Zarr tiles: one image per position, in stores of their own or in a plate."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.image_header import ImageHeader, chosen_note
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError, StoreError
from mosaicflow.io.zarr.errors import AssumedUnitWarning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr import OmeZarrInfo

__all__ = ["list_tiles", "read_planes"]


def list_tiles(path: Path) -> list[SourceTile]:
    """Describe the images of a store; see `TileSource`."""
    from mosaicflow.io.zarr import locate
    from mosaicflow.io.zarr.root import fields_of_plate, find_root

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            items = fields_of_plate(find_root(locate(str(path)))) or [""]
            tiles = [_tile(path, item) for item in items]
    except StoreError as error:
        raise FormatError(str(error)) from error
    assumed = {one for one in said if issubclass(one.category, AssumedUnitWarning)}
    notes = [str(one.message).partition(": ")[2] for one in said if one not in assumed]
    if not assumed:
        return [replace(tile, header=_noted(tile.header, notes)) for tile in tiles]
    notes.append("gives no known unit of length: its pixel size is not used")
    bare = [replace(tile.header, pitch_um=(None, None, None)) for tile in tiles]
    return [
        replace(tile, header=_noted(header, notes), centre_um=None)
        for tile, header in zip(tiles, bare, strict=True)
    ]


def _noted(header: ImageHeader, notes: Sequence[str]) -> ImageHeader:
    return replace(header, notes=header.notes + tuple(dict.fromkeys(notes)))


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read the finest level of a channel of an image; see `TileSource`."""
    from mosaicflow.io.zarr import open_level

    info = _info(path, item)
    axes = [axis.name for axis in info.axes]
    try:
        level = open_level(
            str(path / item),
            0,
            channel=channel if "c" in axes else None,
            time=0 if "t" in axes else None,
        )
        voxels = np.asarray(level[...])
    except StoreError as error:
        raise FormatError(str(error)) from error
    return voxels if voxels.ndim == 3 else voxels[None]


def _info(path: Path, item: str) -> OmeZarrInfo:
    from mosaicflow.io.zarr import read_omezarr_info

    try:
        info = read_omezarr_info(str(path / item), allow_bare=False)
    except StoreError as error:
        raise FormatError(str(error)) from error
    names = [axis.name for axis in info.axes]
    if not {"y", "x"} <= set(names) <= set("tczyx"):
        raise FormatError(f"has the axes {', '.join(names)}, expected y and x, and z, c and t")
    return info


def _tile(path: Path, item: str) -> SourceTile:
    info = _info(path, item)
    names, level = [axis.name for axis in info.axes], info.levels[0]
    sizes = dict(zip(names, level.shape, strict=True))
    pitch = dict(zip(names, level.scale_um, strict=True))
    channels: tuple[str, ...] = ("grey",)
    if sizes.get("c", 1) > 1:
        omero = info.attributes.get("omero")
        found = omero.get("channels", ()) if isinstance(omero, dict) else ()
        labels = [str(one.get("label") or "") for one in found if isinstance(one, dict)]
        labels += [""] * (sizes["c"] - len(labels))
        channels = tuple(text or f"channel {k}" for k, text in enumerate(labels[: sizes["c"]]))
    header = ImageHeader(
        sizes.get("z", 1), sizes["y"], sizes["x"], (pitch.get("z"), pitch["y"], pitch["x"]),
        channels, chosen_note(channels, {"time points": sizes.get("t", 1)}),
    )  # fmt: skip
    centre = None
    if level.translation_um is not None:
        first = dict(zip(names, level.translation_um, strict=True))
        y, x = (first[axis] + (sizes[axis] - 1) / 2 * pitch[axis] for axis in "yx")
        centre = (y, x)
    return SourceTile(header, item=item, centre_um=centre)
