"""Where the stage had a slice's mosaic, and how it moved between tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["StageAxis", "StageModel"]


@dataclass(frozen=True, slots=True)
class StageAxis:
    """How the stage moved along one lattice axis.

    Parameters
    ----------
    sign : {1, -1, 0}
        Direction of the stage coordinate along the array axis; 0 when it could not be told.
    step_mm : float or None
        Distance of neighbouring tiles.
    overlap : float or None
        ``1 - step / field of view``.
    """

    sign: int
    step_mm: float | None
    overlap: float | None


@dataclass(frozen=True, slots=True)
class StageModel:
    """Where a slice's mosaic lies in stage coordinates.

    Parameters
    ----------
    y, x : StageAxis
        The two lateral axes.
    origin_mm : tuple of float
        Stage coordinate (y, x) of the mosaic corner at array index (0, 0): the lower limit on an
        axis whose sign is +1 (or unknown), the upper limit where it is -1.
    min_mm, max_mm : tuple of float
        Limits (y, x) of all fields of view.
    """

    y: StageAxis
    x: StageAxis
    origin_mm: tuple[float, float]
    min_mm: tuple[float, float]
    max_mm: tuple[float, float]

    @property
    def signs(self) -> tuple[int, int]:
        """Direction (y, x), with +1 where unknown."""
        return (self.y.sign or 1, self.x.sign or 1)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> StageModel:
        """Read the JSON form."""
        pairs = {
            key: (float(value[key][0]), float(value[key][1]))
            for key in ("origin_mm", "min_mm", "max_mm")
        }
        return cls(StageAxis(**value["y"]), StageAxis(**value["x"]), **pairs)
