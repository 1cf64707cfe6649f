"""Pictures of a run, small enough for one page, each with the length of its scale bar."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from mosaicflow.report.records import RunFiles

__all__ = ["Picture", "encoded", "pitch_of", "run_pictures"]

# Longest sides in px. A thumbnail of tissue is about 12 kB at this size, so fifty slices stay
# below 1 MB; twice as long they would be 4 MB.
_LARGE, _SMALL = 1100, 260
# Of JPEG; at 60 speckle turns into blocks, at 95 files double.
_QUALITY = 82
# A scale bar is at most this part of the picture's width.
_BAR = 0.25


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, ready for a page.

    Parameters
    ----------
    name : str
        Of the file it was made from.
    source : str
        ``data:`` address.
    width, height : int
        Size in px.
    slice_id : int or None
        Slice it shows.
    bar_share : float or None
        Length of the scale bar over the picture's width; None where the pitch is not known.
    bar_text : str
        What it is worth.
    """

    name: str
    source: str
    width: int
    height: int
    slice_id: int | None = None
    bar_share: float | None = None
    bar_text: str = ""


def run_pictures(
    files: RunFiles, volume: str
) -> tuple[Picture | None, Picture | None, tuple[Picture, ...]]:
    """Read the previews of a run.

    Parameters
    ----------
    files : RunFiles
        Of a run.
    volume : str
        Name of the volume's store.

    Returns
    -------
    volume, layout : Picture or None
        The volume's central planes; where the tiles lie.
    slices : tuple of Picture
        The finished slices, by id.
    """
    from mosaicflow import names
    from mosaicflow.names import parse_slice_id

    finished = files.of(names.NORMALIZED_PICTURE)
    layout = files.of(names.LAYOUT)
    planes = files.named(re.escape(volume.removesuffix(".ome.zarr")) + r"\.png")
    slices = sorted(finished, key=lambda path: parse_slice_id(path.name))
    return (
        _picture(planes[0], _LARGE) if planes else None,
        _picture(layout[0], _LARGE) if layout else None,
        tuple(_picture(path, _SMALL, parse_slice_id(path.name)) for path in slices),
    )


def _picture(path: Path, longest: int, slice_id: int | None = None) -> Picture:
    from PIL import Image

    with Image.open(path) as image:
        pitch = pitch_of(image)
        grey = image.convert("RGB" if image.mode not in ("L", "1") else "L")
        scale = max(1.0, max(grey.size) / longest)
        grey.thumbnail((longest, longest))
    return _as_picture(grey, path.name, None if pitch is None else pitch * scale, slice_id)


def encoded(image: NDArray[np.uint8], name: str, um_per_px: float) -> Picture:
    """Make a picture of values.

    Parameters
    ----------
    image : ndarray, shape (y, x, 3), uint8
        Red, green, blue.
    name : str
        Says what it shows.
    um_per_px : float
        Its pitch.

    Returns
    -------
    Picture
    """
    from PIL import Image

    return _as_picture(Image.fromarray(image), name, um_per_px)


def _as_picture(
    image: Image.Image, name: str, um_per_px: float | None, slice_id: int | None = None
) -> Picture:
    written = io.BytesIO()
    image.save(written, format="JPEG", quality=_QUALITY)
    text = base64.b64encode(written.getvalue()).decode("ascii")
    share, bar = _bar(None if um_per_px is None else um_per_px * image.width)
    source = f"data:image/jpeg;base64,{text}"
    return Picture(name, source, image.width, image.height, slice_id, share, bar)


def pitch_of(image: Image.Image) -> float | None:
    """Read the pitch that a preview carries [um]; None where it carries none."""
    text = image.info.get("um_per_px")
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _bar(width_um: float | None) -> tuple[float | None, str]:
    """Choose the longest bar of 1, 2 or 5 times a power of ten that is short enough."""
    if width_um is None:
        return None, ""
    most = _BAR * width_um
    power = 10.0 ** math.floor(math.log10(most))
    length = max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    return length / width_um, text
