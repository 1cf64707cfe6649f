"""One pair of slices on its way through registration: reading, matching, measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.alignment.depth import DepthMatch, DriftFit, fit_drift, match_planes
from mosaicflow.alignment.refine import Motion, warp
from mosaicflow.alignment.register import (
    PairFit,
    RegistrationSettings,
    SlicePair,
    register_images,
)
from mosaicflow.alignment.shifts import parse_steps, place_slices
from mosaicflow.alignment.transform import Rigid2D, to_tfm
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_csv
from mosaicflow.stages._slices import Projection, SliceStore, at_pitch, project

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["DepthLimits", "MeasuredPair", "measure_pair"]

_LONGEST_PX = 2048  # registration images are binned to this, which bounds memory
_COARSE_PX = 128  # planes kept for the depth search
_CONTACT_BIN = 4  # of slices that share no tissue, whose structures agree only coarsely


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
    """

    interval_um: float
    allowed_um: float
    first_index: int


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """Everything measured about one pair.

    Parameters
    ----------
    fixed, moving : SliceStore
        The slices.
    offset_yx : tuple of float
        Where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px].
    transform : Rigid2D
        Pull motion of the moving slice as the stage placed it, in px of the fixed slice.
    match : DepthMatch
        Planes compared.
    fit : PairFit
        Lateral result, in px of the binned images.
    drift : DriftFit
        Depth of the moving slice against the expected one.
    binning : int
        Binning of the registered images.
    """

    fixed: SliceStore
    moving: SliceStore
    offset_yx: tuple[float, float]
    transform: Rigid2D
    match: DepthMatch
    fit: PairFit
    drift: DriftFit
    binning: int

    def to_tfm(self) -> str:
        """Return the transform as ITK text."""
        return to_tfm(self.transform)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the transform file."""
        fit, pitch = self.fit, self.fixed.pitch_um
        numbers = {
            "correlation": fit.correlation,
            "correlation_before": fit.correlation_before,
            "confidence": fit.confidence,
            "held_out_stage": fit.held_out.stage,
            "held_out_refined": fit.held_out.refined,
            "sigma_px": fit.sigma_px * self.binning,
            "sigma_deg": fit.sigma_deg,
            "n_planes": self.match.n_planes,
            "distance_planes": self.match.distance_planes,
            "z_drift_planes": self.drift.drift_planes,
            "z_sigma_planes": self.drift.sigma_planes,
            "z_correlation": self.drift.correlation,
            "z_correlation_expected": self.drift.expected_correlation,
        }
        return {
            "type": "rigid2d",
            "convention": "pull",
            **self.transform.to_json(),
            "resolution_um": round((pitch[1] + pitch[2]) / 2, 6),
            "fixed_id": self.fixed.slice_id,
            "moving_id": self.moving.slice_id,
            "fixed_z": self.match.fixed_z,
            "moving_z": self.match.moving_z,
            "pitch_um": [round(value, 6) for value in pitch],
            "stage_offset_yx": [round(value, 6) for value in self.offset_yx],
            "status": "error" if fit.failure else "ok",
            "reason": fit.failure,
            **{name: round(value, 6) for name, value in numbers.items()},
            "rejected": self._rejected(),
        }

    def _rejected(self) -> dict[str, Any] | None:
        """Describe a motion that was found and turned down."""
        fit = self.fit.rejected
        if fit is None:
            return None
        return {
            **_full_size(fit, self.binning).to_json(),
            "correlation": round(fit.correlation, 6),
            "confidence": round(fit.confidence, 6),
            "sigma_px": round(fit.sigma_px * self.binning, 6),
            "sigma_deg": round(fit.sigma_deg, 6),
        }


@dataclass(frozen=True, slots=True)
class _Job:
    fixed: SliceStore
    moving: SliceStore
    offset_yx: tuple[float, float]
    settings: RegistrationSettings
    depth: DepthLimits
    threads: int

    @property
    def longest(self) -> int:
        return max(*self.fixed.shape[1:], *self.moving.shape[1:])

    @property
    def image_bin(self) -> int:
        return _power_of_two(self.longest / _LONGEST_PX)

    @property
    def plane_bin(self) -> int:
        return max(self.image_bin, _power_of_two(self.longest / _COARSE_PX))

    def match(self, lag_planes: float) -> DepthMatch:
        return match_planes(
            self.fixed.shape[0],
            self.moving.shape[0],
            lag_planes=lag_planes,
            first_index=self.depth.first_index,
        )

    def read(self, one: SliceStore, weight: NDArray[np.float64], plane_bin: int = 0) -> Projection:
        """Project a slice onto pixels of the fixed one's pitch."""
        found = project(
            one.level,
            weight[None],
            image_bin=self.image_bin,
            plane_bin=plane_bin,
            threads=self.threads,
        )
        y, x = (a / b for a, b in zip(one.pitch_um[1:], self.fixed.pitch_um[1:], strict=True))
        return at_pitch(found, (y, x))

    def register(self, upper: Projection, lower: Projection, match: DepthMatch) -> PairFit:
        y, x = (value / self.image_bin for value in self.offset_yx)
        pair = SlicePair(upper.images[0], lower.images[0], upper.valid, lower.valid, (y, x))
        finest = _CONTACT_BIN if match.distance_planes else 1
        return register_images(pair, replace(self.settings, finest_bin=finest))


def measure_pair(
    fixed: SliceStore,
    moving: SliceStore,
    shifts: Path | None,
    settings: RegistrationSettings,
    depth: DepthLimits,
    *,
    threads: int = 1,
) -> MeasuredPair:
    """Register two slices at physically matching planes.

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
    job = _Job(fixed, moving, _stage_offset(fixed, moving, shifts), settings, depth, threads)
    lag = (moving.slice_id - fixed.slice_id) * depth.interval_um / fixed.pitch_um[0]
    match = job.match(lag)
    upper = job.read(fixed, match.fixed, job.plane_bin)
    lower = job.read(moving, match.moving, job.plane_bin)
    fit = job.register(upper, lower, match)
    drift = _measure_drift(job, upper.planes, lower.planes, _full_size(fit, job.image_bin), lag)
    if abs(drift.drift_planes) >= 0.75:
        again = job.match(lag + drift.drift_planes)
        second = job.register(job.read(fixed, again.fixed), job.read(moving, again.moving), again)
        if second.correlation > fit.correlation:
            fit, match = second, again
    transform = _full_size(fit, job.image_bin)
    return MeasuredPair(fixed, moving, job.offset_yx, transform, match, fit, drift, job.image_bin)


def _power_of_two(ratio: float) -> int:
    return int(2 ** max(0, math.ceil(math.log2(ratio))))


def _full_size(fit: PairFit, factor: int) -> Rigid2D:
    """Express the motion of binned images in px of the slices."""
    found = fit.transform
    y, x = ((value + 0.5) * factor - 0.5 for value in found.center_yx)
    down, right = (value * factor for value in found.translation_yx)
    return Rigid2D(found.angle_deg, (y, x), (down, right))


def _measure_drift(
    job: _Job,
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
    transform: Rigid2D,
    lag_planes: float,
) -> DriftFit:
    """Slide the aligned slices along depth; an unclear optimum counts as none."""
    coarse = job.plane_bin
    center = (np.array(upper.shape[1:]) - 1) / 2
    at = transform.apply((center + 0.5) * coarse - 0.5) - np.array(job.offset_yx)
    y, x = (at + 0.5) / coarse - 0.5
    motion = Motion(transform.angle_deg, (float(y), float(x)))
    shape = (upper.shape[1], upper.shape[2])
    moved = np.stack([warp(plane, motion, shape) for plane in lower])
    inside = (upper != 0).any(axis=0) & (moved != 0).any(axis=0)
    if inside.sum() < 64:
        return DriftFit(0.0, math.nan, math.nan, math.inf)
    found = fit_drift(
        upper[:, inside],
        moved[:, inside],
        lag_planes=lag_planes,
        first_index=job.depth.first_index,
        max_drift_planes=int(job.depth.allowed_um // job.fixed.pitch_um[0]),
    )
    gain = found.correlation - found.expected_correlation
    if gain < 0.01 or abs(found.drift_planes) < 3 * found.sigma_planes:
        return DriftFit(0.0, found.correlation, found.expected_correlation, found.sigma_planes)
    return found


def _stage_offset(
    fixed: SliceStore, moving: SliceStore, shifts: Path | None
) -> tuple[float, float]:
    """Say where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px]."""
    step = (0.0, 0.0)
    if shifts is not None:
        rows = read_csv(shifts, ["fixed_id", "moving_id", "x_shift_mm", "y_shift_mm"])
        ids = (fixed.slice_id, moving.slice_id)
        placed = place_slices(parse_steps(rows, shifts.name), ids, ids[0], sign_yx=fixed.stage_sign)
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
