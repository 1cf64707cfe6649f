"""Which levels a power-of-two pyramid has."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal

from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning
from mosaicflow.io.zarr.units import clean_um

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DownscaleAxes", "cap_levels", "doubled_scale", "halved_axes", "halved_shape"]

DownscaleAxes = Literal["yx", "zyx"]


def halved_axes(downscale_axes: str, shape: Sequence[int]) -> tuple[bool, ...]:
    """Return for each axis whether the next level halves it.

    Axes that are one pixel long stay as they are: only z can be, as the lateral axes end the
    pyramid.
    """
    if downscale_axes not in {"yx", "zyx"}:
        raise ArgumentError(f"downscale_axes {downscale_axes!r} is not known (expected yx or zyx)")
    first = len(shape) - len(downscale_axes)
    return tuple(axis >= first and n > 1 for axis, n in enumerate(shape))


def cap_levels(n_levels: int, shape: Sequence[int], where: str) -> int:
    """Return how many extra levels the shape allows; warn when it is fewer than asked for."""
    if n_levels < 0:
        raise ArgumentError(f"n_levels {n_levels} is negative")
    smallest = min(shape[-2:])
    possible = int(math.log2(smallest))
    if n_levels > possible:
        warnings.warn(
            f"{where}: {n_levels} levels asked for, {possible} written: a lateral size of"
            f" {smallest} cannot be halved more often",
            OmeZarrWarning,
            stacklevel=3,
        )
    return min(n_levels, possible)


def halved_shape(shape: Sequence[int], halved: Sequence[bool]) -> tuple[int, ...]:
    """Return the shape of the next level; a last odd row is dropped."""
    return tuple(n // 2 if half else n for n, half in zip(shape, halved, strict=True))


def doubled_scale(scale: Sequence[float], halved: Sequence[bool]) -> tuple[float, ...]:
    """Return the pitch of the next level."""
    zipped = zip(scale, halved, strict=True)
    return tuple(clean_um(2 * value) if half else value for value, half in zipped)
