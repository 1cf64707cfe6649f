"""Pictures of a run, small enough for one page, each with the length of its scale bar."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.report.records import RunFiles

__all__ = ["Picture", "run_pictures"]

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


def run_pictures(files: RunFiles) -> tuple[Picture | None, Picture | None, tuple[Picture, ...]]:
    """Read the previews of a run.

    Parameters
    ----------
    files : RunFiles
        Of a run.

    Returns
    -------
    volume, layout : Picture or None
        The volume's central planes; where the tiles lie.
    slices : tuple of Picture
        The finished slices, by id.
    """
    from mosaicflow.io.tables import parse_slice_id

    finished = files.named(r"slice_z\d+_normalize\.png")
    layout = files.named(r"layout\.png")
    others = files.named(r"(?!slice_z\d+_)(?!layout\.png).*\.png")
    slices = sorted(finished, key=lambda path: parse_slice_id(path.name))
    return (
        _picture(others[0], _LARGE) if others else None,
        _picture(layout[0], _LARGE) if layout else None,
        tuple(_picture(path, _SMALL, parse_slice_id(path.name)) for path in slices),
    )


def _picture(path: Path, longest: int, slice_id: int | None = None) -> Picture:
    from PIL import Image

    with Image.open(path) as image:
        pitch = _pitch_um(image.info.get("um_per_px"))
        grey = image.convert("RGB" if image.mode not in ("L", "1") else "L")
        scale = max(1.0, max(grey.size) / longest)
        grey.thumbnail((longest, longest))
    written = io.BytesIO()
    grey.save(written, format="JPEG", quality=_QUALITY)
    text = base64.b64encode(written.getvalue()).decode("ascii")
    share, bar = _bar(None if pitch is None else pitch * scale * grey.width)
    source = f"data:image/jpeg;base64,{text}"
    return Picture(path.name, source, grey.width, grey.height, slice_id, share, bar)


def _pitch_um(text: object) -> float | None:
    """Read the pitch that a preview carries."""
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
