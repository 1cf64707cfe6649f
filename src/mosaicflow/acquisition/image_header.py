"""What every reader of image tiles says about an image."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ImageHeader"]


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
