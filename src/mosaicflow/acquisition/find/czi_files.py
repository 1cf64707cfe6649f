"""Read the tiles of a CZI file (ZEN): every field of view is a tile, with its place in the scan."""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from mosaicflow.acquisition.find.microscope_files import opened
from mosaicflow.acquisition.image_header import ImageHeader, chosen_note
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError, install_extra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]

_UM_PER_M = 1e6
# What czifile decodes only with imagecodecs, and before 2025 not at all (5 and 6).
_COMPRESSIONS = {0: "none", 1: "JPEG", 2: "LZW", 4: "JPEG XR", 5: "Zstandard", 6: "Zstandard"}
_ZSTD, _ZSTD_PACKED = 5, 6
# Axes of which a tile has one only: time, phase, angle, view, illumination, acquisition block.
_OTHER_AXES = {"T": "time points", "H": "phases", "R": "angles", "V": "views",
               "I": "illuminations", "B": "acquisition blocks"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plane:
    """One stored picture: its coordinates and size by axis, and the entry that reads it."""

    start: dict[str, int]
    size: dict[str, int]
    entry: Any

    @property
    def tile(self) -> tuple[int, int]:
        """Scene and field of view."""
        return self.start.get("S", 0), self.start.get("M", 0)


def list_tiles(path: Path) -> list[SourceTile]:
    """Describe the fields of view of a file; see `TileSource`."""
    with opened(path, "czifile", "CziFile") as file:
        tiles = _tiles(file)
        pitch_um, names = _described(file)
        if len(tiles) == 1:
            planes = next(iter(tiles.values()))
            centre = _stage_position(file, planes[0])
            return [SourceTile(_header(planes, pitch_um, names), centre_um=centre)]
    return [
        SourceTile(
            _header(planes, pitch_um, names),
            item=f"S{scene}M{field}",
            centre_um=_centre(planes[0], pitch_um),
        )
        for (scene, field), planes in tiles.items()
    ]


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read a channel of a field of view; see `TileSource`."""
    with opened(path, "czifile", "CziFile") as file:
        tiles = {f"S{scene}M{field}": planes for (scene, field), planes in _tiles(file).items()}
        chosen = tiles[item] if item else next(iter(tiles.values()))
        return np.stack([_pixels(file, plane) for plane in _depth_planes(chosen, channel)])


def _tiles(file: Any) -> dict[tuple[int, int], list[_Plane]]:  # noqa: ANN401  # an untyped package
    found: dict[tuple[int, int], list[_Plane]] = defaultdict(list)
    for entry in file.subblock_directory:
        plane = _plane(file, entry)
        if plane is not None:
            found[plane.tile].append(plane)
    if not found:
        raise FormatError("holds no image")
    return dict(sorted(found.items()))


def _plane(file: Any, entry: Any) -> _Plane | None:  # noqa: ANN401
    # Since 2026 the entries of all axes are asked for; before, they were an attribute.
    if hasattr(entry, "read_dimension_entries"):
        dimensions = entry.read_dimension_entries(file).values()
    else:
        dimensions = entry.dimension_entries
    start, size = {}, {}
    for one in dimensions:
        axis = str(getattr(one.dimension, "value", one.dimension)).strip("\0")
        if one.stored_size not in (0, one.size):
            return None  # a coarser copy for viewing
        start[axis], size[axis] = int(one.start), int(one.size)
    return _Plane(start, size, entry)


def _depth_planes(planes: Sequence[_Plane], channel: int = 0) -> list[_Plane]:
    """Choose the planes of a channel at the first time point (phase, and so on), by depth."""
    first = {axis: min(p.start.get(axis, 0) for p in planes) for axis in _OTHER_AXES}
    first["C"] = sorted({p.start.get("C", 0) for p in planes})[channel]
    chosen = [p for p in planes if all(p.start.get(a, 0) == n for a, n in first.items())]
    by_depth = {p.start.get("Z", 0): p for p in chosen}
    return [by_depth[z] for z in sorted(by_depth)]


def _header(
    planes: Sequence[_Plane], pitch_um: Sequence[float | None], names: Sequence[str]
) -> ImageHeader:
    depth = _depth_planes(planes)
    sizes = {(p.size["Y"], p.size["X"]) for p in depth}
    numbers = [p.start.get("Z", 0) for p in depth]
    if len(sizes) > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise FormatError(
            f"has planes {numbers[0]} to {numbers[-1]} of which some are missing or of another size"
        )
    n_channels = len({p.start.get("C", 0) for p in planes})
    channels = tuple(names[:n_channels]) if 1 < n_channels <= len(names) else ("grey",)
    if n_channels > len(channels):
        channels = tuple(f"channel {k}" for k in range(n_channels))
    others = {name: len({p.start.get(a, 0) for p in planes}) for a, name in _OTHER_AXES.items()}
    z_um, y_um, x_um = pitch_um
    n_y, n_x = sizes.pop()
    return ImageHeader(len(depth), n_y, n_x, (z_um, y_um, x_um), channels,
                       chosen_note(channels, others))  # fmt: skip


def _centre(plane: _Plane, pitch_um: Sequence[float | None]) -> tuple[float, float] | None:
    # The fields of a scan are counted in the pixels of one frame, often that of the stage.
    _, y_um, x_um = pitch_um
    if y_um is None or x_um is None:
        return None
    y, x = (plane.start[axis] + plane.size[axis] / 2 for axis in "YX")
    return y * y_um, x * x_um


def _stage_position(file: Any, plane: _Plane) -> tuple[float, float] | None:  # noqa: ANN401
    """Read where the stage was, (y, x) in um, for the only field of its file."""
    segment = _segment(file, plane)
    is_new = hasattr(plane.entry, "read_segment_data")
    text = segment.metadata() if is_new else segment.metadata(raw=True)
    try:
        tags = ElementTree.fromstring(text or "<none/>")
        y, x = (float(tags.findtext(f"Tags/Stage{axis}Position") or "nan") for axis in "YX")
    except (ElementTree.ParseError, ValueError):
        return None
    return (y, x) if math.isfinite(y) and math.isfinite(x) else None


def _described(file: Any) -> tuple[list[float | None], list[str]]:  # noqa: ANN401
    """Return the pitch (z, y, x) and the names of the channels."""
    try:
        root = ElementTree.fromstring(file.metadata())
    except ElementTree.ParseError:
        return [None, None, None], []
    lengths = {
        found.get("Id"): float(found.findtext("Value") or "nan")
        for found in root.iterfind(".//Scaling/Items/Distance")
    }
    pitch = [lengths.get(axis, 0.0) * _UM_PER_M for axis in "ZYX"]
    channels = root.iterfind(".//Information/Image/Dimensions/Channels/Channel")
    names = [one.get("Name") or one.get("Id") or "" for one in channels]
    return [float(f"{um:.12g}") if um > 0 else None for um in pitch], names


def _segment(file: Any, plane: _Plane) -> Any:  # noqa: ANN401
    if hasattr(plane.entry, "read_segment_data"):
        return plane.entry.read_segment_data(file)
    return plane.entry.data_segment()


def _pixels(file: Any, plane: _Plane) -> NDArray[Any]:  # noqa: ANN401
    segment = _segment(file, plane)
    is_new = hasattr(plane.entry, "read_segment_data")
    kind = int(plane.entry.compression)
    shape = (plane.size["Y"], plane.size["X"], -1)
    try:
        if not is_new and kind in (_ZSTD, _ZSTD_PACKED):
            pixels = _unpacked(segment.data(raw=True), kind, np.dtype(plane.entry.dtype))
        else:
            pixels = np.asarray(segment.data() if is_new else segment.data(resize=False))
        pixels = pixels.reshape(shape)
    except (KeyError, ImportError) as error:
        raise FormatError(
            f"is compressed with {_COMPRESSIONS.get(kind, kind)} ({error})",
            remedy=f"install the extra that decodes it: {install_extra('images')}",
        ) from error
    if pixels.shape[-1] > 1:
        return np.asarray(pixels[..., :3].mean(axis=-1, dtype=np.float32))
    return pixels[..., 0]


def _unpacked(raw: bytes, kind: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode what czifile before 2025 cannot: Zstandard, with a header of its own since ZEN 3."""
    from numcodecs import Zstd

    raw, packed = bytes(raw), False
    if kind == _ZSTD_PACKED:
        n_header = struct.unpack_from("B", raw)[0]
        packed = n_header > 1 and bool(raw[2] & 1)
        raw = raw[n_header:]
    plain = np.frombuffer(Zstd().decode(raw), np.uint8)
    if packed:  # all low bytes, then all high bytes
        plain = np.ascontiguousarray(plain.reshape(dtype.itemsize, -1).T).ravel()
    return plain.view(dtype)
