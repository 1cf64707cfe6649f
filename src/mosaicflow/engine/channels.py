"""Which channels of the tiles are carried along, and which parts of an angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.engine.parameters import Parameters

__all__ = ["channel_parts", "is_angle"]

_ANGLES = ("cos", "sin")


def channel_parts(n_channels: Mapping[str, int], parameters: Parameters) -> dict[str, list[str]]:
    """Name what is made beside the channel that is measured.

    Parameters
    ----------
    n_channels : mapping
        Label of a slice, such as z07 -> how many channels its tiles have.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    dict
        Such as ``2``, or of angles ``2cos`` and ``2sin`` -> the slices that have this channel.
    """
    kinds = parameters.engine("channel_kind")
    found: dict[str, list[str]] = {}
    for z, count in n_channels.items():
        for number in range(count):
            kind = kinds[0] if len(kinds) == 1 else dict(enumerate(kinds)).get(number)
            if number != parameters.engine("positions_channel"):
                for part in _ANGLES if kind == "angle" else ("",):
                    found.setdefault(f"{number}{part}", []).append(z)
    return found


def is_angle(part: str) -> bool:
    """Whether a part holds the cosine or sine of an angle, which is no brightness."""
    return part.endswith(_ANGLES)
