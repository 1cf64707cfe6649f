"""One pair of slices on its way through registration: reading, matching, measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.contact import bridge, plane_groups
from mosaicflow.alignment.depth import (
    NOT_MEASURED,
    DepthMatch,
    DriftFit,
    deepest_needed,
    match_planes,
    measure_drift,
)
from mosaicflow.alignment.measured_pair import MeasuredPair, full_size
from mosaicflow.alignment.pair_fit import PairFit, RegistrationSettings, SlicePair
from mosaicflow.alignment.refine import Motion, warp
from mosaicflow.alignment.register import register_images
from mosaicflow.averages import bin_mean, whole_blocks
from mosaicflow.errors import InputError
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.slices.masks import shows_tissue
from mosaicflow.slices.stored import Projection, SliceStore, at_pitch, averaged, project
from mosaicflow.steps.table import place_slices, read_steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.slices.islands import Islands
    from mosaicflow.steps.table import StepTable

__all__ = ["DepthLimits", "measure_pair"]

_LONGEST_PX = 2048  # registration images are binned to this, which bounds memory
_LOOKED_AT = 12  # planes that are averaged to see whether there is tissue
_PLANES_BYTES = 2e8  # planes of one slice kept in memory; more are read again where needed
_DEPTH_PX = 512  # planes compared along depth: coarser ones lose what changes from plane to plane
# A depth off by more changes which planes show the same tissue enough to compare them again.
_OTHER_PLANES = 0.5


@dataclass(frozen=True, slots=True)
class DepthLimits:
    """What is known about depth before the images are seen.

    Parameters
    ----------
    interval_um : float
        Thickness of a section.
    allowed_um : float
        How far a slice may lie from its expected depth.
    first_index : int
        First good plane of the moving slice.
    contact_um : float
        How far from where the stage puts it a slice is searched that shares no tissue: four
        standard errors of a step between slices that lie 30 um (standard deviation) off each.
        Further off likeness is chance; at twice this, one in nine shifts of a gap was.
    """

    interval_um: float
    allowed_um: float = 0.0
    first_index: int = 0
    contact_um: float = 170.0


@dataclass(frozen=True, slots=True)
class _Job:
    fixed: SliceStore
    moving: SliceStore
    offset_yx: tuple[float, float]
    settings: RegistrationSettings
    depth: DepthLimits
    threads: int

    @property
    def image_bin(self) -> int:
        longest = max(*self.fixed.shape[1:], *self.moving.shape[1:])
        return _power_of_two(longest / _LONGEST_PX)

    @property
    def plane_bin(self) -> int:
        """The least binning at which the planes of either slice fit into memory."""
        largest = max(4 * math.prod(one.shape) for one in (self.fixed, self.moving))
        return max(self.image_bin, _power_of_two(math.sqrt(largest / _PLANES_BYTES)))

    def match(self, lag_planes: float) -> DepthMatch:
        """Choose the planes that both slices show."""
        n_moving = int(self.moving.filled_planes().min())
        filled = self.fixed.filled_planes()
        first = self.depth.first_index
        # A plane more serves the columns that are deep enough and loses the others.
        counts = np.unique(filled)
        gain = [(filled >= n).mean() * max(n - lag_planes - first, 0) for n in counts]
        n_fixed = int(counts[np.argmax(gain)]) if max(gain) > 0 else int(counts[0])
        return match_planes(n_fixed, n_moving, lag_planes=lag_planes, first_index=first)

    def planes(self, one: SliceStore) -> NDArray[np.float32]:
        """Read all planes of a slice, binned, on pixels of the fixed one's pitch."""
        return self._read(one, np.zeros((0, one.shape[0])), self.plane_bin).planes

    def image(
        self, one: SliceStore, planes: NDArray[np.float32], weights: NDArray[np.float64]
    ) -> Projection:
        """Average planes by rows of weights; read again what is not in memory as fine."""
        rows = np.zeros((len(weights), one.shape[0]))
        rows[:, : weights.shape[1]] = weights
        if self.plane_bin == self.image_bin and planes.size:
            return averaged(planes, rows)
        return self._read(one, rows, 0)

    def _read(self, one: SliceStore, rows: NDArray[np.float64], plane_bin: int) -> Projection:
        found = project(
            one, rows, image_bin=self.image_bin, plane_bin=plane_bin, threads=self.threads
        )
        y, x = (a / b for a, b in zip(one.pitch_um[1:], self.fixed.pitch_um[1:], strict=True))
        return at_pitch(found, (y, x))

    def register(
        self, planes: tuple[NDArray[np.float32], NDArray[np.float32]], match: DepthMatch
    ) -> PairFit:
        upper = self.image(self.fixed, planes[0], match.fixed[None])
        lower = self.image(self.moving, planes[1], match.moving[None])
        return register_images(self.pair(upper, lower), self.settings)

    def pair(
        self, upper: Projection, lower: Projection, rows: tuple[int, int] = (0, 0)
    ) -> SlicePair:
        """Put one image of either slice side by side, as the stage places them."""
        y, x = (value / self.image_bin for value in self.offset_yx)
        images = upper.images[rows[0]], lower.images[rows[1]]
        return SlicePair(*images, upper.valid, lower.valid, (y, x), *self._islands())

    def _islands(self) -> list[Islands | None]:
        """Give the islands of either slice in pixels of the images."""
        found = []
        for one in (self.fixed, self.moving):
            y, x = (
                own / fixed / self.image_bin
                for own, fixed in zip(one.pitch_um[1:], self.fixed.pitch_um[1:], strict=True)
            )
            found.append(None if one.islands is None else one.islands.scaled((y, x)))
        return found


def measure_pair(
    fixed: SliceStore,
    moving: SliceStore,
    shifts: Path | None,
    settings: RegistrationSettings,
    depth: DepthLimits,
    *,
    at_once: bool = False,
    threads: int = 1,
) -> MeasuredPair:
    """Register two slices at physically matching planes.

    Slices that share no tissue, and between which another lies, are told apart from that and put
    off: they are compared only where the others do not join them.

    Parameters
    ----------
    fixed, moving : SliceStore
        The upper and the lower slice, of nearly one pitch.
    shifts : Path or None
        Stage steps that give the expected position.
    settings : RegistrationSettings
        Lateral limits.
    depth : DepthLimits
        Expected depth and its limits.
    at_once : bool
        Whether no pair is put off.
    threads : int
        Blocks read at the same time.

    Returns
    -------
    MeasuredPair

    Raises
    ------
    InputError
        When the slices come in the wrong order.
    """
    if fixed.slice_id >= moving.slice_id:
        raise InputError(
            f"fixed slice {fixed.slice_id} does not come before moving slice {moving.slice_id}",
            remedy="swap --fixed and --moving",
        )
    steps = None if shifts is None else read_steps(shifts)
    job = _Job(fixed, moving, _stage_offset(fixed, moving, steps), settings, depth, threads)
    lag = (moving.slice_id - fixed.slice_id) * depth.interval_um / fixed.pitch_um[0]
    match = job.match(lag)
    drift = NOT_MEASURED
    if match.distance_planes and not at_once and _have_others_between(fixed, moving, steps):
        fit = _left_to_stage(job, Refusal.of(Doubt.DETOUR))
    elif match.distance_planes:
        fit = _bridge(job, match)
    else:
        fit, match, drift = _compare(job, match, lag)
    transform = full_size(fit, job.image_bin)
    return MeasuredPair(fixed, moving, job.offset_yx, transform, match, fit, drift, job.image_bin)


def _have_others_between(fixed: SliceStore, moving: SliceStore, steps: StepTable | None) -> bool:
    """Say whether slices were imaged between two, which may join them."""
    ids = {i for step in (steps.steps if steps else ()) for i in (step.fixed_id, step.moving_id)}
    return any(fixed.slice_id < i < moving.slice_id for i in ids)


def _has_tissue(job: _Job, one: SliceStore, planes: NDArray[np.float32]) -> bool:
    """Say whether a slice shows anything but gel; what looks alike in gel is the instrument's."""
    n_planes = int(one.filled_planes().min())
    # A dozen planes spread over the depth hold what all of them show.
    rows = np.zeros((1, one.shape[0]))
    rows[0, np.unique(np.linspace(0, n_planes - 1, _LOOKED_AT).astype(int))] = 1
    rows /= rows.sum()
    found = job.image(one, planes, rows)
    image, gel, scale = found.images[0], None, one.scale
    if scale is not None:
        gel = float(rows[0] @ scale.background)
        image = image * np.float32(rows[0] @ scale.span) + np.float32(gel)
        gel = gel if scale.has_gel else None
    coarse = _power_of_two(max(image.shape) / _DEPTH_PX)
    return shows_tissue(bin_mean(image, coarse), whole_blocks(found.valid, coarse), gel)


def _without_tissue(
    job: _Job, planes: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> PairFit | None:
    """Leave a pair to the stage of which one slice or both show gel only; None of others."""
    seen = zip((job.fixed, job.moving), planes, strict=True)
    bare = [one.slice_id for one, its in seen if not _has_tissue(job, one, its)]
    if not bare:
        return None
    names = " and ".join(str(i) for i in bare)
    return _left_to_stage(job, Refusal.of(Doubt.NO_TISSUE, f"slice{'s' * (len(bare) > 1)} {names}"))


def _left_to_stage(job: _Job, why: Refusal) -> PairFit:
    y, x = ((n // job.image_bin - 1) / 2 for n in job.fixed.shape[1:])
    return PairFit.left_to_stage((y, x), why)


def _compare(job: _Job, match: DepthMatch, lag: float) -> tuple[PairFit, DepthMatch, DriftFit]:
    """Register the tissue that both slices show, and measure how deep it lies."""
    planes = job.planes(job.fixed), job.planes(job.moving)
    if bare := _without_tissue(job, planes):
        return bare, match, NOT_MEASURED
    fit = job.register(planes, match)
    drift = _measure_drift(job, planes, fit, lag)
    if math.isfinite(drift.sigma_planes) and abs(drift.drift_planes) >= _OTHER_PLANES:
        again = job.match(lag + drift.drift_planes)
        if again.distance_planes:
            return fit, match, drift
        second = job.register(planes, again)
        if second.correlation > fit.correlation:
            return second, again, _measure_drift(job, planes, second, lag)
    return fit, match, drift


def _bridge(job: _Job, match: DepthMatch) -> PairFit:
    """Compare the nearest planes of slices that share no tissue."""
    none = np.zeros((0, 0, 0), np.float32)
    if bare := _without_tissue(job, (none, none)):
        return bare
    sides = []
    for one in (job.fixed, job.moving):
        n_planes = int(np.median(one.filled_planes()))
        tops = plane_groups(n_planes, first=job.depth.first_index)
        bottoms = plane_groups(n_planes, from_below=True)
        found = job.image(one, none, np.concatenate([bottoms, tops]))
        apart = float((bottoms[-1] - tops[0]) @ np.arange(n_planes))
        sides.append(_Ends(found, len(bottoms), len(tops), apart))
    upper, lower = sides
    pairs = [
        job.pair(upper.images, lower.images, (a, lower.n_bottoms + b))
        for a in reversed(range(upper.n_bottoms))
        for b in range(lower.n_tops)
    ]
    reach_px = min(job.depth.contact_um / job.fixed.pitch_um[1], job.settings.max_translation_px)
    return bridge(
        pairs,
        [one.own for one in sides],
        match.distance_planes,
        job.settings,
        reach_px=reach_px / job.image_bin,
        scale=job.image_bin,
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """Groups of planes at the bottom and at the top of a slice, and the planes between them."""

    images: Projection
    n_bottoms: int
    n_tops: int
    apart: float

    @property
    def own(self) -> tuple[SlicePair, float]:
        """The lowest group with the uppermost one, which truly lie on each other."""
        bottom, top = self.images.images[self.n_bottoms - 1], self.images.images[self.n_bottoms]
        valid = self.images.valid
        return SlicePair(bottom, top, valid, valid, (0.0, 0.0)), self.apart


def _power_of_two(ratio: float) -> int:
    return int(2 ** max(0, math.ceil(math.log2(ratio))))


def _measure_drift(
    job: _Job,
    planes: tuple[NDArray[np.float32], NDArray[np.float32]],
    fit: PairFit,
    lag_planes: float,
) -> DriftFit:
    """Slide the slices along depth, aligned as found or else as the stage has them."""
    longest = max(job.plane_bin * max(one.shape[1:]) for one in planes)
    coarse = max(job.plane_bin, _power_of_two(longest / _DEPTH_PX))
    first, farthest = job.depth.first_index, int(job.depth.allowed_um // job.fixed.pitch_um[0])
    needed = deepest_needed(len(planes[0]), lag_planes, first, farthest)
    parts = planes[0], planes[1][:needed]
    upper, lower = (bin_mean(one, coarse // job.plane_bin) for one in parts)
    transform = full_size(fit, job.image_bin)
    center = (np.array(upper.shape[1:]) - 1) / 2
    at = transform.apply((center + 0.5) * coarse - 0.5) - np.array(job.offset_yx)
    y, x = (at + 0.5) / coarse - 0.5
    motion = Motion(transform.angle_deg, (float(y), float(x)))
    shape = (upper.shape[1], upper.shape[2])
    return measure_drift(
        upper,
        np.stack([warp(plane, motion, shape) for plane in lower]),
        lag_planes=lag_planes,
        first_index=first,
        max_drift_planes=farthest,
    )


def _stage_offset(
    fixed: SliceStore, moving: SliceStore, steps: StepTable | None
) -> tuple[float, float]:
    """Say where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px]."""
    step = (0.0, 0.0)
    if steps is not None:
        ids = (fixed.slice_id, moving.slice_id)
        placed = place_slices(steps, ids, ids[0], sign_yx=fixed.stage_sign)
        step = placed.position_mm[ids[1]]
    elif fixed.stage_corner_mm is not None and moving.stage_corner_mm is not None:
        signs, corners = fixed.stage_sign, (fixed.stage_corner_mm, moving.stage_corner_mm)
        y, x = (sign * (b - a) for sign, a, b in zip(signs, *corners, strict=True))
        step = (y, x)
    y, x = (
        1000 * (move + b - a) / pitch
        for move, a, b, pitch in zip(
            step, fixed.origin_mm, moving.origin_mm, fixed.pitch_um[1:], strict=True
        )
    )
    return y, x
