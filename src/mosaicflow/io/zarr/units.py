"""Lengths: micrometres on disk, millimetres in Python."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mosaicflow.io.lengths import micrometers_per_unit
from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning

__all__ = [
    "Resolution",
    "check_plausible",
    "clean_um",
    "micrometers_per_unit",
    "resolution_to_um",
    "um_to_mm",
]

Resolution = float | Sequence[float]

# Pitches [um] of light microscopes and OCT: outside, somebody took mm for um (warned of only).
_LATERAL_UM = (0.05, 1000.0)
_AXIAL_UM = (0.05, 500.0)


def clean_um(value_um: float) -> float:
    """Return a length without the dust of a unit conversion (1.4999999999999998 is 1.5)."""
    return round(value_um, 9)


def resolution_to_um(resolution: Resolution, ndim: int) -> tuple[float, ...]:
    """Return the pitch in micrometres per axis from one float or one float per axis, in mm."""
    if isinstance(resolution, Sequence | np.ndarray):
        values = [float(value) for value in resolution]
    else:
        values = [float(resolution)] * ndim
    if len(values) != ndim:
        raise ArgumentError(
            f"resolution {tuple(values)} has {len(values)} values, but the array has {ndim} axes"
        )
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ArgumentError(f"resolution {value} mm per pixel is not a positive number")
    return tuple(clean_um(value * 1000) for value in values)


def um_to_mm(values_um: Sequence[float]) -> tuple[float, ...]:
    """Return plain floats in millimetres."""
    return tuple(float(round(value / 1000, 15)) for value in values_um)


def check_plausible(pitch_um: Sequence[float], where: str, block: Mapping[str, Any]) -> None:
    """Warn when a pitch looks as if it had been given in another unit.

    A store with a history was written by a stage: its units are those of an acquisition that was
    inspected, and electron images of 4 nm are what they say.
    """
    if block.get("history"):
        return
    *axial, y_um, x_um = pitch_um
    limits = [(v, *_LATERAL_UM) for v in (y_um, x_um)] + [(v, *_AXIAL_UM) for v in axial]
    if all(low <= value <= high for value, low, high in limits):
        return
    as_um = ", ".join(f"{value:g}" for value in pitch_um)
    as_mm = ", ".join(f"{value * 1000:g}" for value in pitch_um)
    warnings.warn(
        f"{where}: units look wrong: a pitch of ({as_um}) um; if the numbers were meant in mm,"
        f" it is ({as_mm}) um",
        OmeZarrWarning,
        stacklevel=3,
    )
