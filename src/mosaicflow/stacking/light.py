"""How bright the slices are drawn: the depth profile, one gain per slice, and even seams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_document
from mosaicflow.slices.depth_profile import DepthProfile
from mosaicflow.slices.shadow import lift_shadows
from mosaicflow.stacking.brightness import Display, PlaneTone, even_seams, with_gains
from mosaicflow.stacking.gains import solve_gains, sure_steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.slices.depth_profile import SliceNote
    from mosaicflow.slices.shadow import Shadow
    from mosaicflow.stacking.gains import SeamLevel
    from mosaicflow.stacking.plan import Seam
    from mosaicflow.stacking.sampling import Window
    from mosaicflow.stacking.slice_plan import SlicePlan

__all__ = ["Balance", "SliceLight", "balance", "intensity_record", "read_profile", "start_light"]

# Half or twice as bright as the others (log): gains of sound slices are some percent.
_FAR_OFF = 0.7


@dataclass(frozen=True, slots=True)
class SliceLight:
    """How bright the slices are drawn.

    Parameters
    ----------
    tones : sequence of PlaneTone
        One per slice.
    display : Display
        What becomes 0 and 1 in the end.
    starts : tuple of float
        Gain of each slice that is in its tone already.
    recorded : bool
        Whether the slices' values are taken as they were before `normalize`.
    shadow : Shadow or None
        Shadows to be lifted.
    levels : tuple of ndarray
        Per slice, what its planes usually show: the depth profile times its own brightness.
    """

    tones: Sequence[PlaneTone]
    display: Display
    starts: tuple[float, ...]
    recorded: bool = False
    shadow: Shadow | None = None
    levels: tuple[NDArray[np.float64], ...] = ()

    def read(self, plan: SlicePlan, index: int, source: Window) -> NDArray[np.float32]:
        """Read a window (z, y, x) of slice number `index`, its shadows lifted."""
        data = plan.settled(source, recorded=self.recorded)
        if self.shadow is not None:
            lift_shadows(data, self.shadow, self.levels[index], thickness=plan.thickness)
        return data

    @classmethod
    def as_stored(cls, plans: Sequence[SlicePlan]) -> SliceLight:
        """Leave all values as the slices hold them."""
        tones = [PlaneTone.plain(plan.span.depth) for plan in plans]
        return cls(tones, Display(), (1.0,) * len(tones))


def read_profile(path: Path | None) -> DepthProfile:
    """Read ``depth_profile.json``; without one the slices are taken as they are."""
    if path is None:
        return DepthProfile("per-slice", "no depth profile was given")
    return DepthProfile.from_json(read_document(path), path.name)


def start_light(plans: Sequence[SlicePlan], profile: DepthProfile, plane_um: float) -> SliceLight:
    """Apply the profile to the planes of all slices; gains come later.

    Raises
    ------
    InputError
        When the profile does not know a slice, or the slice was not normalised.
    """
    if profile.source != "measured":
        return SliceLight.as_stored(plans)
    notes = {note.slice_id: note for note in profile.slices}
    tones, starts, levels = [], [], []
    for plan in plans:
        note = notes.get(plan.store.slice_id)
        if note is None or plan.store.scale is None:
            raise InputError(
                f"slice {plan.store.slice_id} is not one that depth_profile.json was made from",
                remedy="run estimate_depth_profile again with these slices",
            )
        level = profile.level_at((np.arange(plan.span.depth) + 0.5) * plane_um)
        gain = _start_gain(note)
        starts.append(gain)
        # Noise stays while light fades with depth. Less or more fine structure than the other
        # slices have at equal depth is blur or noise: either way the slice shows less.
        tones.append(PlaneTone(gain / level, level**2 * np.exp(-abs(note.detail))))
        own_um = (np.arange(plan.store.shape[0]) + 0.5) * plan.store.pitch_um[0]
        levels.append(profile.level_at(own_um) * np.exp(note.log_level))
    return SliceLight(
        tones,
        Display(profile.black, profile.white),
        tuple(starts),
        recorded=True,
        shadow=profile.shadow,
        levels=tuple(levels),
    )


def _start_gain(note: SliceNote) -> float:
    """Bring up a slice that no seam can tell of, or that is so far off that tissue passes for gel.

    All others start as recorded, so that gains are only what seams prove.
    """
    far_off = abs(note.log_level) > _FAR_OFF
    return float(np.exp(-note.log_level)) if far_off or not note.shares_tissue else 1.0


@dataclass(frozen=True, slots=True)
class Balance:
    """The brightness of the slices against each other.

    Parameters
    ----------
    light : SliceLight
        As the slices are drawn.
    gains : ndarray, shape (slices,), float64
        One factor per slice, that it started with included.
    steps : ndarray, shape (seams,), float64
        Log ratio at each seam that the gains leave, before it is evened; NaN where unknown.
    """

    light: SliceLight
    gains: NDArray[np.float64]
    steps: NDArray[np.float64]


def balance(
    light: SliceLight, seams: Sequence[Seam], matches: Sequence[SeamLevel], *, enabled: bool
) -> Balance:
    """Make the slices equally bright where they meet, if that is asked for."""
    gains = solve_gains(matches, len(light.tones)) if enabled else np.ones(len(light.tones))
    logs = np.log(gains)
    steps = np.array([m.log_ratio + logs[m.fixed] - logs[m.moving] for m in matches])
    tones = with_gains(light.tones, gains.tolist())
    if enabled:
        tones = even_seams(tones, seams, sure_steps(steps).tolist())
    return Balance(replace(light, tones=tones), gains * np.array(light.starts), steps)


def intensity_record(profile: DepthProfile) -> dict[str, Any]:
    """Describe for the volume's metadata how grey values were made from recorded ones."""
    plain = profile.to_json()
    kept = ("source", "reason", "plane_um", "level", "black", "white", "shadow")
    return {name: plain[name] for name in kept if name in plain}
