"""Read PNG, JPEG and BMP tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.image_header import ImageHeader
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError
from mosaicflow.io.remote_files import is_remote
from mosaicflow.io.tiff_pages import COARSEST_PRINT_PITCH_UM, grey_planes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["list_tiles", "read_planes"]

_UM_PER_INCH = 25400.0
# Names of the channels by Pillow's mode; what is stored otherwise is brought to one of these.
_CHANNELS = {
    "L": ("grey",), "I": ("grey",), "I;16": ("grey",), "I;16B": ("grey",), "F": ("grey",),
    "LA": ("grey", "alpha"), "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", "alpha"),
}  # fmt: skip
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "La": "LA"}
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
# Cameras and programs add notes of their own after the picture.
_TAIL_BYTES = 65536


def list_tiles(path: Path) -> tuple[SourceTile]:
    """Describe a picture; see `TileSource`."""
    with _opened(path) as image:
        _check_end(path, str(image.format))
        channels = _CHANNELS[_CONVERTED.get(image.mode, image.mode)]
        pitch_um = _pitch(image)
        size = (image.height, image.width)
    notes: tuple[str, ...] = ()
    if len(channels) > 1:
        chosen = "their mean" if channels[0] == "red" else "the first"
        notes = (f"has the channels {', '.join(channels)}; {chosen} is read",)
    return (SourceTile(ImageHeader(1, *size, pitch_um, channels, notes)),)


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read the pixels of a picture; see `TileSource`."""
    with _opened(path) as image:
        mode = _CONVERTED.get(image.mode, image.mode)
        try:
            pixels = np.asarray(image if mode == image.mode else image.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise FormatError(f"its pixels cannot be decoded ({error})") from error
    return grey_planes(np.atleast_3d(pixels)[None], _CHANNELS[mode], channel)


def _opened(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path.open("rb") if is_remote(path) else path)
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise FormatError(f"is not a usable picture ({error})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FormatError(f"is too large a picture ({error})", remedy="save it as TIFF") from error
    if _CONVERTED.get(image.mode, image.mode) not in _CHANNELS:
        raise FormatError(f"has pixels of the kind {image.mode}", remedy="save it as TIFF")
    if image.format == "PNG" and _is_deep_colour(path):
        # Pillow keeps the upper 8 bits only.
        raise FormatError("has colours of 16 bits, which are not read", remedy="save it as TIFF")
    return image


def _is_deep_colour(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(26)
    bits, kind = head[24], head[25]
    return bits == 16 and kind != 0


def _check_end(path: Path, kind: str) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    mark = {"PNG": _PNG_END, "JPEG": _JPEG_END}.get(kind, b"")
    if mark not in tail:
        raise FormatError(f"is cut short: the end of a {kind} is missing", remedy="copy it again")


def _pitch(image: Image) -> tuple[None, float | None, float | None]:
    dpi = image.info.get("dpi") or (0, 0)
    x_um, y_um = (_UM_PER_INCH / float(n) if float(n) > 0 else None for n in dpi)
    is_meant = bool(x_um and y_um and max(x_um, y_um) < COARSEST_PRINT_PITCH_UM)
    return (None, y_um, x_um) if is_meant else (None, None, None)
