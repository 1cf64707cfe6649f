"""How far slices lie from where they were cut, against their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow.simulation.plan import rotation
from mosaicflow.simulation.volume_error import without_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.simulation.results import SliceMap

__all__ = ["PairError", "SliceErrors", "measure_slices", "middle_um"]

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairError:
    """Error of a slice's place relative to the one before it in the stack.

    Parameters
    ----------
    fixed_id, moving_id : int
        The neighbours.
    shift_yx_px : tuple of float
        Distance (y, x), in px of the canvas, between the places where the two show the middle of
        the tissue that both hold.
    rotation_deg : float
        Difference of their rotations.
    depth_um : float
        Error of the distance between their faces.
    is_gap : bool
        Whether the tissue between them was imaged by no slice.
    """

    fixed_id: int
    moving_id: int
    shift_yx_px: tuple[float, float]
    rotation_deg: float
    depth_um: float
    is_gap: bool

    @property
    def shift_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(*self.shift_yx_px))


@dataclass(frozen=True, slots=True)
class SliceErrors:
    """Disagreement of neighbouring slices about where the specimen is.

    Slices without an image of their own tissue are left out: those can only lie where the stage
    says. Where some neighbours share tissue, those across a gap are told apart.

    Parameters
    ----------
    n_pairs : int
        Neighbours on one side of a gap.
    shift_median_px, shift_worst_px : float
        Of their shifts.
    rotation_median_deg, rotation_worst_deg : float
        Of their rotations.
    depth_step_worst_um : float
        Largest error of the distance of their faces.
    depth_spread_um : float
        Largest less smallest error of a face's depth, over all slices.
    drift_worst_px : float
        Largest distance of a slice from the mean of all.
    z_worst_planes : float
        Largest error of a face's plane, less one offset for all.
    worst_pair : str
        Ids of the neighbours with the largest shift.
    n_gaps : int
        Neighbours across a gap; 0 where nothing else is to be had, and they count as above.
    gap_shift_rms_px : float or None
        Root mean square of their shifts per axis.
    pairs : tuple of PairError
        All neighbours.
    """

    n_pairs: int
    shift_median_px: float
    shift_worst_px: float
    rotation_median_deg: float
    rotation_worst_deg: float
    depth_step_worst_um: float
    depth_spread_um: float
    drift_worst_px: float
    z_worst_planes: float
    worst_pair: str
    n_gaps: int
    gap_shift_rms_px: float | None
    pairs: tuple[PairError, ...]


def measure_slices(
    maps: Sequence[SliceMap], known: Mapping[str, Any], plane_um: float
) -> SliceErrors | None:
    """Compare neighbours; None where there are none.

    Parameters
    ----------
    maps : sequence of SliceMap
        Where each slice was drawn, sorted by id.
    known : mapping
        The truth.
    plane_um : float
        Distance of the canvas's planes.
    """
    blind = without_image(known)
    maps = [one for one in maps if one.slice_id not in blind]
    if len(maps) < 2:
        return None
    truths = {piece["slice_id"]: piece for piece in known["slices"]}
    pairs = [_pair(one, two, known, truths, plane_um) for one, two in pairwise(maps)]
    gaps = [one for one in pairs if one.is_gap]
    joined = [one for one in pairs if not one.is_gap] or pairs
    gaps = gaps if len(gaps) < len(pairs) else []
    middles = [middle_um(truths[one.slice_id]) for one in maps]
    common = np.mean(middles, axis=0)[None, :]
    spots = np.array([one(common)[0] for one in maps])
    depth = np.array([m.z_plane - truths[m.slice_id]["face_um"] / plane_um for m in maps])
    shifts = [one.shift_px for one in joined]
    turns = [abs(one.rotation_deg) for one in joined]
    worst = joined[int(np.argmax(shifts))]
    across = np.array([one.shift_yx_px for one in gaps])
    return SliceErrors(
        n_pairs=len(joined),
        shift_median_px=float(np.median(shifts)),
        shift_worst_px=max(shifts),
        rotation_median_deg=float(np.median(turns)),
        rotation_worst_deg=max(turns),
        depth_step_worst_um=max(abs(one.depth_um) for one in joined),
        depth_spread_um=float(np.ptp(depth)) * plane_um,
        drift_worst_px=float(np.hypot(*(spots - spots.mean(axis=0)).T).max()),
        z_worst_planes=float(np.abs(depth - np.median(depth)).max()),
        worst_pair=f"{worst.fixed_id}-{worst.moving_id}",
        n_gaps=len(gaps),
        gap_shift_rms_px=float(np.sqrt((across**2).mean())) if gaps else None,
        pairs=tuple(pairs),
    )


def _pair(
    one: SliceMap,
    two: SliceMap,
    known: Mapping[str, Any],
    truths: Mapping[int, Mapping[str, Any]],
    plane_um: float,
) -> PairError:
    upper, lower = truths[one.slice_id], truths[two.slice_id]
    place = (middle_um(upper) + middle_um(lower))[None, :] / 2
    y, x = (two(place) - one(place))[0]
    lattice = known["settings"]["lattice"]
    imaged_um = lattice["tile_shape"][0] * lattice["pitch_um"][0] - lattice["water_um"]
    apart_um = lower["face_um"] - upper["face_um"]
    return PairError(
        fixed_id=one.slice_id,
        moving_id=two.slice_id,
        shift_yx_px=(float(y), float(x)),
        rotation_deg=two.angle_deg - one.angle_deg,
        depth_um=(two.z_plane - one.z_plane) * plane_um - apart_um,
        is_gap=bool(apart_um >= imaged_um),
    )


def middle_um(piece: Mapping[str, Any]) -> F64:
    """Middle of a slice's tiles in the specimen."""
    centre = 1000 * np.mean([tile["centre_mm"] for tile in piece["tiles"]], axis=0)
    return np.asarray(rotation(-piece["angle_deg"]) @ (centre - np.array(piece["shift_um"])))
