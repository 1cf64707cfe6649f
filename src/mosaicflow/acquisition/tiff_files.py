"""Read the size and pixel pitch of TIFF tiles, and their pixels."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import tifffile

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TiffHeader", "read_tiff_header", "read_tiff_planes"]

_UM_PER_UNIT = {
    "a": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanometer": 1e-3,
    "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0,
    "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6,
    "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
_TAG_UNITS = {2: "inch", 3: "cm"}
# Print resolutions (72 to 300 dpi) that programs write without meaning them give 85 um and more.
_COARSEST_TAG_PITCH_UM = 60.0
# What tifffile decodes by itself: none, deflate (two numbers), packbits, lzma.
_PLAIN_COMPRESSIONS = (1, 8, 32946, 32773, 34925)
_FLOAT_PREDICTOR = 3
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a TIFF file says about its image.

    Parameters
    ----------
    n_z, n_y, n_x : int
        Planes, rows, columns.
    pitch_um : tuple of float or None
        Pixel spacing (z, y, x); None where the file does not say.
    """

    n_z: int
    n_y: int
    n_x: int
    pitch_um: tuple[float | None, float | None, float | None]


def read_tiff_header(path: Path) -> TiffHeader:
    """Read size and spacing without reading pixels.

    Parameters
    ----------
    path : Path
        A TIFF with one plane, or with one page per plane.

    Raises
    ------
    FormatError
        When the file is no TIFF or holds colours, channels or times.
    OSError
        When it cannot be read.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            sizes = {a: n for a, n in zip(series.axes, series.shape, strict=True) if n > 1}
            planes = [n for a, n in sizes.items() if a not in "YX"]
            if len(planes) > 1 or sizes.keys() & {"S", "C", "T"} or "Y" not in series.axes:
                raise FormatError(
                    f"has axes {series.axes} of size {series.shape}, expected one grey image or "
                    "one stack of planes"
                )
            _check_codec(file)
            lengths = dict(zip(series.axes, series.shape, strict=True))
            return TiffHeader(planes[0] if planes else 1, lengths["Y"], lengths["X"], _pitch(file))
    except (tifffile.TiffFileError, struct.error, IndexError, ValueError, KeyError) as error:
        raise FormatError(f"is not a usable TIFF ({error})") from error


def read_tiff_planes(path: Path) -> NDArray[Any]:
    """Read the pixels.

    Returns
    -------
    ndarray, shape (n_z, n_y, n_x), dtype of the file

    Raises
    ------
    FormatError
        When the pixels cannot be decoded.
    """
    header = read_tiff_header(path)
    try:
        image: NDArray[Any] = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError, KeyError, zlib.error) as error:
        raise FormatError(f"its pixels cannot be decoded ({error})") from error
    return image.reshape(header.n_z, header.n_y, header.n_x)


def _check_codec(file: tifffile.TiffFile) -> None:
    page = file.pages.first
    is_plain = page.compression in _PLAIN_COMPRESSIONS and page.predictor != _FLOAT_PREDICTOR
    if not is_plain and find_spec("imagecodecs") is None:
        codec = tifffile.COMPRESSION(page.compression).name
        if page.predictor == _FLOAT_PREDICTOR:
            codec += " with the floating-point predictor"
        raise FormatError(
            f"is compressed with {codec}",
            remedy="install the extra that decodes it: pip install 'mosaicflow[images]'",
        )


def _pitch(file: tifffile.TiffFile) -> tuple[float | None, float | None, float | None]:
    if file.is_ome and (pitch := _ome_pitch(file.ome_metadata or "")):
        return pitch
    y_um, x_um = _tag_pitch(file, "YResolution"), _tag_pitch(file, "XResolution")
    meta = file.imagej_metadata or {}
    scale = _UM_PER_UNIT.get(_unit(meta.get("unit")))
    spacing = meta.get("spacing")
    z_um = spacing * scale if scale and isinstance(spacing, int | float) and spacing > 0 else None
    return z_um, y_um, x_um


def _tag_pitch(file: tifffile.TiffFile, name: str) -> float | None:
    tags = file.pages.first.tags
    tag = tags.get(name)
    if tag is None or not tag.value[0] or not tag.value[1]:
        return None
    per_pixel = tag.value[1] / tag.value[0]
    unit = _unit((file.imagej_metadata or {}).get("unit"))
    if unit in _UM_PER_UNIT:
        return float(per_pixel * _UM_PER_UNIT[unit])
    tag_unit = tags.get("ResolutionUnit")
    known = _TAG_UNITS.get(int(tag_unit.value)) if tag_unit is not None else None
    pitch = per_pixel * _UM_PER_UNIT[known] if known else None
    return float(pitch) if pitch and pitch < _COARSEST_TAG_PITCH_UM else None


def _unit(text: object) -> str:
    plain = _ESCAPE.sub(lambda m: chr(int(m[1], 16)), str(text or ""))
    return plain.strip().lower()


def _ome_pitch(xml: str) -> tuple[float | None, float | None, float | None] | None:
    match = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", xml)
    if match is None:
        return None
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
    pitch = []
    for axis in "ZYX":
        value = attributes.get(f"PhysicalSize{axis}")
        scale = _UM_PER_UNIT.get(_unit(attributes.get(f"PhysicalSize{axis}Unit", "um")))
        pitch.append(float(value) * scale if value and scale else None)
    z_um, y_um, x_um = pitch
    return (z_um, y_um, x_um) if y_um and x_um else None
