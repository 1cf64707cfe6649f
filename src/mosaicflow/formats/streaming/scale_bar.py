"""Lengths for a scale bar, and how they are written."""

from __future__ import annotations

import math

from mosaicflow.io.lengths import micrometers_per_unit

__all__ = ["bar_of", "length_text"]

# A bar is at most this part of the width of a picture; half of it is hard to read against.
_LARGEST_PART = 0.3
# How lengths are written; each is a thousand of the one before.
_UNITS_UM = {1e-6: "pm", 1e-3: "nm", 1.0: "\u00b5m", 1e3: "mm", 1e6: "m"}


def bar_of(world_per_pixel: float, width_px: int, unit: str | None) -> tuple[float, str]:
    """Return the width of a scale bar in pixels, and its text.

    Parameters
    ----------
    world_per_pixel : float
        Length that a pixel shows, in `unit`.
    width_px : int
        Width of the picture.
    unit : str or None
        Unit as stored; unknown ones are written as they are.

    Returns
    -------
    (float, str)
        A length of 1, 2 or 5 times a power of ten.
    """
    largest = _LARGEST_PART * width_px * world_per_pixel
    decade = 10.0 ** math.floor(math.log10(largest))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= largest)
    return length / world_per_pixel, length_text(length, unit)


def length_text(length: float, unit: str | None) -> str:
    """Return a length with a unit that suits it."""
    if not unit:
        return f"{length:.4g} (no unit)"
    known = list(_UNITS_UM)
    if (unit_um := micrometers_per_unit(unit)) not in known:
        return f"{length:.4g} {unit}"
    at = known.index(unit_um)
    while abs(length) >= 1e3 and at < len(known) - 1:
        length, at = length / 1e3, at + 1
    while 0 < abs(length) < 1 and at > 0:
        length, at = length * 1e3, at - 1
    return f"{length:.4g} {_UNITS_UM[known[at]]}"
