"""What every reader of image tiles says about an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNPROVEN_AXES", "ImageHeader", "chosen_note"]

# Said of files whose positions are the motor's while the camera may be turned against it.
UNPROVEN_AXES = (
    "the places are the stage's own; whether its axes run along the image is not in the file:"
    " compare the overlaps with 'mosaicflow check-orientation'"
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size, spacing and channels of one image tile.

    Parameters
    ----------
    n_z, n_y, n_x : int
        Planes, rows, columns.
    pitch_um : tuple of float or None
        Pixel spacing (z, y, x); None where the file does not say.
    channels : tuple of str
        Names of the channels; one for a grey image.
    notes : tuple of str
        What the file says that is not so, or what was decided about it.
    """

    n_z: int
    n_y: int
    n_x: int
    pitch_um: tuple[float | None, float | None, float | None]
    channels: tuple[str, ...] = ("grey",)
    notes: tuple[str, ...] = ()


def chosen_note(channels: tuple[str, ...], others: Mapping[str, int]) -> tuple[str, ...]:
    """Say which channels an image has, and that of other axes the first is read.

    Parameters
    ----------
    channels : tuple of str
        Names of the channels.
    others : mapping of str to int
        Extents of the other axes, by what people call them.
    """
    notes = []
    if len(channels) > 1:
        notes.append(f"has the channels {', '.join(channels)}")
    more = [f"{n} {name}" for name, n in others.items() if n > 1]
    if more:
        notes.append(f"has {' and '.join(more)}; the first is read")
    return tuple(notes)
