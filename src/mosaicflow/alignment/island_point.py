"""Where one island of a slice lies on another slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mosaicflow.rigid import finite, positive

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IslandPoint"]


@dataclass(frozen=True, slots=True)
class IslandPoint:
    """One island: a point of the fixed slice, and what shows it in the moving one.

    Parameters
    ----------
    is_fixed : bool
        Whether the island is one of the fixed slice.
    number : int
        Which.
    fixed_yx, moving_yx : tuple of float
        Place of the same tissue in either slice [px].
    sigma_px : float
        Standard error per axis.
    """

    is_fixed: bool
    number: int
    fixed_yx: tuple[float, float]
    moving_yx: tuple[float, float]
    sigma_px: float

    def scaled(self, scale_yx: tuple[float, float]) -> IslandPoint:
        """Count in pixels this many times as small, about their corners."""
        (fy, fx), (my, mx) = (
            [(v + 0.5) * s - 0.5 for v, s in zip(point, scale_yx, strict=True)]
            for point in (self.fixed_yx, self.moving_yx)
        )
        sigma = self.sigma_px * scale_yx[0]
        return replace(self, fixed_yx=(fy, fx), moving_yx=(my, mx), sigma_px=sigma)

    def to_json(self) -> dict[str, Any]:
        """Give the entry of a transform file."""
        return {
            "of": "fixed" if self.is_fixed else "moving",
            "number": self.number,
            "fixed_yx": [round(v, 4) for v in self.fixed_yx],
            "moving_yx": [round(v, 4) for v in self.moving_yx],
            "sigma_px": round(self.sigma_px, 6),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> IslandPoint:
        """Read the entry; raises ValueError, TypeError or KeyError where it is none."""
        fixed_y, fixed_x = (finite(v) for v in record["fixed_yx"])
        moving_y, moving_x = (finite(v) for v in record["moving_yx"])
        is_fixed, sigma = record["of"] == "fixed", positive(record["sigma_px"])
        return cls(is_fixed, int(record["number"]), (fixed_y, fixed_x), (moving_y, moving_x), sigma)
