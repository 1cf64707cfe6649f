"""Channels of the same tiles: which one a store holds, and angles as pairs of pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Channel", "channel_of", "joined_angles"]

_FORM = re.compile(r"(\d+)(cos|sin)?")
# In place of exactly 0, which everywhere means that there is no data: far below the 1 of a sure
# angle, so no angle is turned by more than a ten-millionth of a degree.
_NEARLY_NONE = np.float32(1e-9)


@dataclass(frozen=True, slots=True)
class Channel:
    """What a store shows of the tiles' channels.

    Parameters
    ----------
    number : int
        Channel of the raw tiles.
    part : str
        Of a channel of angles the ``cos`` or ``sin`` of the doubled angle; otherwise empty.

    Notes
    -----
    Angles of period 180 degrees cannot be averaged: of 1 and 179 the mean is 90. Cosine and sine of
    the doubled angle can, and go through the stages like any picture; at the end they are one angle
    again.
    """

    number: int = 0
    part: str = ""

    @classmethod
    def parse(cls, text: str) -> Channel:
        """Read ``2``, ``2cos`` or ``2sin``; an empty text is channel 0."""
        match = _FORM.fullmatch(text or "0")
        if match is None:
            raise ParameterError(f"channel is {text!r}, expected a number such as 2, 2cos or 2sin")
        return cls(int(match[1]), match[2] or "")

    @property
    def change(self) -> Callable[[NDArray[np.float32]], None] | None:
        """Function that makes such values of what is recorded, in place; None for brightness."""
        return self._turn if self.part else None

    def _turn(self, degrees: NDArray[np.float32]) -> None:
        function = np.cos if self.part == "cos" else np.sin
        known = np.isfinite(degrees)
        degrees[~known] = 0
        degrees *= np.float32(np.pi / 90)
        function(degrees, out=degrees)
        degrees[degrees == 0] = _NEARLY_NONE
        degrees[~known] = 0


def channel_of(attrs: Mapping[str, Any], path: Path) -> Channel:
    """Read from the ``mosaicflow`` block of a store what it shows.

    Raises
    ------
    ParameterError
        When the block names no channel that a run makes.
    """
    try:
        return Channel.parse(str(attrs.get("channel") or ""))
    except ParameterError as error:
        raise ParameterError(f"{path.name}: {error.args[0]}") from None


def joined_angles(cosine: NDArray[np.float32], sine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make one angle of the means of cosine and sine of the doubled angle.

    Parameters
    ----------
    cosine, sine : ndarray, float32
        Of one shape.

    Returns
    -------
    ndarray, float32
        Degrees above 0 and up to 180; 0 where both are 0: no data.
    """
    found = np.degrees(np.arctan2(sine, cosine)) / 2 % 180
    found = np.where(found <= 0, np.float32(180), found)
    return np.where((cosine == 0) & (sine == 0), np.float32(0), found).astype(np.float32)
