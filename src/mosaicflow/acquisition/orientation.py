"""How the scan axes of a tile map to the axes of the mosaic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILE_ORDER", "OCT_DEFAULT", "Orientation"]

_AXIS = re.compile(r"([+-]?)(fast|slow)")


@dataclass(frozen=True, slots=True)
class Orientation:
    """Which scan axis each lateral mosaic axis follows, and in which direction.

    Parameters
    ----------
    y_is_fast : bool
        Mosaic Y runs along consecutive A-lines (fast axis); X then runs along B-scans.
    reverse_y, reverse_x : bool
        The mosaic axis runs against the scan axis.
    """

    y_is_fast: bool
    reverse_y: bool
    reverse_x: bool

    @classmethod
    def parse(cls, text: str) -> Orientation:
        """Read ``"-fast,-slow"``: the scan axes, with sign, that mosaic Y and X follow."""
        matches = [_AXIS.fullmatch(part.strip()) for part in text.split(",")]
        pairs = [match.groups() for match in matches if match is not None]
        if len(matches) != 2 or {axis for _, axis in pairs} != {"fast", "slow"}:
            raise ParameterError(
                f"orientation is {text!r}, expected two signed axes for Y and X",
                remedy="write for example '-fast,-slow' or '+slow,+fast'",
            )
        (sign_y, axis_y), (sign_x, _) = pairs
        return cls(axis_y == "fast", sign_y == "-", sign_x == "-")

    def __str__(self) -> str:
        axes = ("fast", "slow") if self.y_is_fast else ("slow", "fast")
        signs = ("-" if reverse else "+" for reverse in (self.reverse_y, self.reverse_x))
        return ",".join(sign + axis for sign, axis in zip(signs, axes, strict=True))

    def describe(self) -> dict[str, Any]:
        """Give the ``orientation`` entry of a grid's metadata."""
        axes = ("fast", "slow") if self.y_is_fast else ("slow", "fast")
        return {
            "preprocess": self == OCT_DEFAULT,
            "axis_y": axes[0] + ("-reversed" if self.reverse_y else ""),
            "axis_x": axes[1] + ("-reversed" if self.reverse_x else ""),
        }

    def yx(self, fast: float, slow: float) -> tuple[float, float]:
        """Order a (fast, slow) pair of sizes or pitches as (y, x)."""
        return (fast, slow) if self.y_is_fast else (slow, fast)

    def view(self, raw_baz: NDArray[np.generic]) -> NDArray[np.generic]:
        """View raw data in mosaic order without copying.

        Parameters
        ----------
        raw_baz : ndarray, shape (n_bscans, n_alines, n_z)
            Depth varies fastest.

        Returns
        -------
        ndarray, shape (n_z, n_y, n_x)
        """
        tile = raw_baz.transpose(2, 1, 0) if self.y_is_fast else raw_baz.transpose(2, 0, 1)
        step_y = -1 if self.reverse_y else 1
        step_x = -1 if self.reverse_x else 1
        return tile[:, ::step_y, ::step_x]


OCT_DEFAULT = Orientation(y_is_fast=True, reverse_y=True, reverse_x=True)
FILE_ORDER = Orientation(y_is_fast=False, reverse_y=False, reverse_x=False)
