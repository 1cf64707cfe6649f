"""Slices to be placed, and their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.rigid import Rigid2D

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GraphSlice", "Pose", "stage_poses"]

YX = tuple[float, float]


@dataclass(frozen=True, slots=True)
class GraphSlice:
    """A slice to be placed.

    Parameters
    ----------
    slice_id : int
        Its number.
    center_yx : tuple of float
        Its centre in its own frame [px].
    stage_yx : tuple of float
        Where the stage puts that centre on the canvas [px].
    segment : int
        Slices of one segment are joined by reliable stage steps.
    """

    slice_id: int
    center_yx: YX
    stage_yx: YX
    segment: int


@dataclass(frozen=True, slots=True)
class Pose:
    """Placement of a slice: where its centre lies and how it is turned (forward)."""

    angle_deg: float
    center_yx: YX
    at_yx: YX

    @property
    def transform(self) -> Rigid2D:
        """Map from slice to canvas."""
        y, x = (b - a for a, b in zip(self.center_yx, self.at_yx, strict=True))
        return Rigid2D(self.angle_deg, self.center_yx, (y, x))


def stage_poses(slices: Sequence[GraphSlice]) -> dict[int, Pose]:
    """Place every slice where the stage says, upright."""
    return {one.slice_id: Pose(0.0, one.center_yx, one.stage_yx) for one in slices}
