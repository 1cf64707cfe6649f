"""Places of slices that somebody knows better: priors and fixed poses of the one solve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.ledger.overrides import GIVEN_PX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.alignment.poses import GraphSlice
    from mosaicflow.ledger.overrides import Override

__all__ = ["GivenPose", "Home", "Tie", "home_of", "slice_poses", "ties_of"]

YX = tuple[float, float]

# A pose that somebody fixed: far below what a pixel shows, and still a number to invert [px].
_LOCKED_PX = 1e-3


@dataclass(frozen=True, slots=True)
class GivenPose:
    """Where a slice belongs minus where the stage alone puts it.

    Parameters
    ----------
    slice_id : int
        The slice.
    shift_px : tuple of float or None
        (y, x) of its centre [canvas px]; None says nothing.
    angle_deg : float or None
        Its turn about its centre; None says nothing.
    sigma_px : float
        Standard deviation of what is said, at a typical point of the slice.
    lock : bool
        Whether the pose is fixed; what is None then is 0.
    note : str
        Why, in the words of whoever said it.
    """

    slice_id: int
    shift_px: YX | None
    angle_deg: float | None
    sigma_px: float
    lock: bool = False
    note: str = ""

    @property
    def error_px(self) -> float:
        """How far the solve may depart from it."""
        return _LOCKED_PX if self.lock else self.sigma_px


@dataclass(frozen=True, slots=True)
class Home:
    """The slice that holds the whole in its place, and its pose there."""

    slice_id: int
    at_yx: YX
    angle_deg: float
    error_px: float


@dataclass(frozen=True, slots=True)
class Tie:
    """What was given of a slice, against the home slice, which is where it belongs.

    Parameters
    ----------
    slice_id : int
        The slice.
    step_yx : tuple of float or None
        From the home slice's centre to its own.
    turn_deg : float or None
        Its angle minus the home slice's.
    sigma_px, sigma_deg : float
        Standard deviations.
    """

    slice_id: int
    step_yx: YX | None
    turn_deg: float | None
    sigma_px: float
    sigma_deg: float


def home_of(
    slices: Sequence[GraphSlice], given: Mapping[int, GivenPose], reference_id: int
) -> Home:
    """Choose what the poses are counted from.

    Links do not say where the whole lies. That is fixed by the reference, upright where the stage
    has it, unless somebody gave another place for it; if that is less sure than a fixed pose of
    another slice, the other one holds the whole.

    Parameters
    ----------
    slices : sequence of GraphSlice
        All slices.
    given : mapping
        Poses by slice id.
    reference_id : int
        The slice that stays where the stage has it.

    Returns
    -------
    Home
    """
    said = given.get(reference_id)
    if said is not None and not said.lock:
        said = next((one for one in given.values() if one.lock), said)
    chosen = reference_id if said is None else said.slice_id
    y, x = next(one.stage_yx for one in slices if one.slice_id == chosen)
    if said is None:
        return Home(chosen, (y, x), 0.0, 0.0)
    down, right = said.shift_px or (0.0, 0.0)
    return Home(chosen, (y + down, x + right), said.angle_deg or 0.0, said.error_px)


def ties_of(slices: Sequence[GraphSlice], given: Mapping[int, GivenPose], home: Home) -> list[Tie]:
    """Express given poses against the home slice.

    Parameters
    ----------
    slices : sequence of GraphSlice
        All slices; poses of others are left out.
    given : mapping
        Poses by slice id.
    home : Home
        What they are counted from.

    Returns
    -------
    list of Tie
    """
    ties = []
    for one in slices:
        said = given.get(one.slice_id)
        if said is None or one.slice_id == home.slice_id:
            continue
        shift = (0.0, 0.0) if said.shift_px is None and said.lock else said.shift_px
        angle = 0.0 if said.angle_deg is None and said.lock else said.angle_deg
        step = None
        if shift is not None:
            y, x = (a + b - c for a, b, c in zip(one.stage_yx, shift, home.at_yx, strict=True))
            step = (y, x)
        sigma = math.hypot(said.error_px, home.error_px)
        # At the typical distance from the centre a turn by sigma_deg moves a point by sigma_px.
        reach = max(math.hypot(*one.center_yx) / math.sqrt(3), 1.0)
        turn = None if angle is None else angle - home.angle_deg
        ties.append(Tie(one.slice_id, step, turn, sigma, math.degrees(sigma / reach)))
    return ties


def slice_poses(rows: Sequence[Override]) -> dict[int, GivenPose]:
    """Give what rows say of slices, by slice id.

    Raises
    ------
    InputError
        When two rows are about one slice.
    """
    poses: dict[int, GivenPose] = {}
    for row in rows:
        if row.kind != "slice" or row.exclude:
            continue
        if row.slice_id in poses:
            raise InputError(
                f"overrides: two rows are about slice {row.slice_id}",
                remedy="keep the one that is right",
            )
        poses[row.slice_id] = GivenPose(
            row.slice_id, row.shift_px, row.angle_deg, row.sigma_px or GIVEN_PX, row.lock, row.note
        )
    return poses
