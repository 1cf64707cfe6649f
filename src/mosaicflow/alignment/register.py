"""Register two slices laterally: first guess, refinement, and evidence that it helps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.coarse import search
from mosaicflow.alignment.island_fit import IslandsFit, fit_islands
from mosaicflow.alignment.levels import (
    COARSEST_PX,
    Level,
    Pyramid,
    overlap,
    tissue_correlation,
    warp_mask,
)
from mosaicflow.alignment.loose import find_loose_tiles
from mosaicflow.alignment.pair_fit import NOT_HELD_OUT, HeldOut, PairFit, confidence
from mosaicflow.alignment.refine import Motion, RefinedMotion, at_rest, refine, warp
from mosaicflow.likeness import pearson
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.rigid import Rigid2D
from mosaicflow.slices.images import (
    chequerboard,
    field_correlations,
    gradient_magnitude,
    smooth_valid,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.pair_fit import RegistrationSettings, SlicePair

__all__ = ["register_images"]

# Longest side of the image in which all shifts and angles are tried.
_COARSE_PX = 128
# Wider images are registered at half size: they hold structure enough for 0.02 px, in a third of
# the time. At 512 px neighbours of 5 x 5 tiles were 0.45 px apart, as the band below was lost.
_FINE_PX = 1024
# Coarsest structure compared [px at full resolution], from fine to coarse; the one with the least
# error is taken.
_BANDS_PX = 4, 8, 16, COARSEST_PX
# Shadows of what lies above, blur and rests of shading are coarse and differ between the slices.
# They move a fit by this times the square of the band [px]: 0.6 px with 32 and 0.02 with 4 between
# simulated slices.
_COARSE_ERROR = 0.0006
# A start that is off by 0.3 px leaves a bias of 0.05 px, as background filters see another overlap;
# nearer than this [px at full resolution] it is within `_LEAST_SIGMA_PX`. Doubled, it is not.
_SEEN_RIGHT_PX = 0.07
# Fields of the chequerboard whose spread says anything of the error of their mean.
_FEWEST_FIELDS = 6
# Independent numbers behind what parts of a fit say of its error (3 x 3 of them); the two halves of
# a chequerboard give two of the shift and one of the rotation.
_PART_FREEDOM = 8
# What interpolation, seams and rests of distortion leave [px].
_LEAST_SIGMA_PX = 0.012
# A fit that the held-out parts like less than the stage confirms the stage where it lies as near as
# its own errors allow (chi-square with 3 degrees of freedom): an exact stage fails that once in
# 1,000 pairs. Doubled, it would be said of a stage 5 standard errors off.
_CONFIRMS = 16.3
# Where fine structure inside the tissue is less alike than this, it may be different tissue, which
# stays below it, and confirms nothing. Doubled, noisy slices would confirm nothing either.
_ALIKE = 0.3


def register_images(pair: SlicePair, settings: RegistrationSettings) -> PairFit:
    """Find the rigid motion between two slices and judge it.

    Parameters
    ----------
    pair : SlicePair
        The two projections at one pitch.
    settings : RegistrationSettings
        Limits.

    Returns
    -------
    PairFit
        The stage's own motion, with the reason in `failure`, when registration fails.
    """
    factors = _pyramid(pair, settings.finest_bin)
    if min(*pair.fixed.shape, *pair.moving.shape) < 8 * factors[0]:
        return _rejected(pair, Refusal.of(Doubt.NARROW), 0.0)
    pyramid = Pyramid(_in_whole_blocks(pair, factors[0]))
    guess = _first_guess(pyramid, factors[0], settings)
    found = _descend(pyramid, factors[:-1] or factors, guess, settings, _BANDS_PX[-1])
    if found is not None:
        found = _best_band(pyramid, factors[-1], found.motion, settings)
    if found is None:
        return _rejected(pyramid.pair, Refusal.of(Doubt.FEW_PIXELS), 0.0)
    return _judge(pyramid, found, settings)


def _best_band(
    pyramid: Pyramid, factor: int, start: Motion, settings: RegistrationSettings
) -> _Descent | None:
    """Refine on the finest level with the structures that leave the least error."""
    best: _Descent | None = None
    for band in _BANDS_PX:
        if best is not None and best.sigma_px <= _COARSE_ERROR * band**2:
            break
        found = _descend(pyramid, [factor], start, settings, band)
        # Background filters must see the overlap as it really is.
        if found is not None and found.moved_px > _SEEN_RIGHT_PX:
            found = _descend(pyramid, [factor], found.motion, settings, band)
        if found is None:
            return None
        if best is None or found.sigma_px < best.sigma_px:
            best = found
    return best


def _in_whole_blocks(pair: SlicePair, factor: int) -> SlicePair:
    """Cut the fixed image so that its centre, which motions refer to, is that of all levels."""
    n_y, n_x = (n // factor * factor for n in pair.fixed.shape)
    return replace(pair, fixed=pair.fixed[:n_y, :n_x], fixed_valid=pair.fixed_valid[:n_y, :n_x])


@dataclass(frozen=True, slots=True)
class _Descent:
    """Where the refinement began and ended: on which level, by motions of the full images."""

    level: Level
    motion: Motion
    refined: RefinedMotion
    band_px: int
    start: Motion

    @property
    def moved_px(self) -> float:
        """How far the last refinement moved the worst corner [px of the full images]."""
        reach = self.level.factor * math.hypot(*self.level.shape) / 2
        turn = math.radians(abs(self.motion.angle_deg - self.start.angle_deg))
        return math.dist(self.motion.at_yx, self.start.at_yx) + turn * reach

    @property
    def sigma_px(self) -> float:
        """Standard error [px of the full images]."""
        return math.hypot(self.refined.sigma_px * self.level.factor, self.floor_px)

    @property
    def floor_px(self) -> float:
        """What parts of the image have in common, and so cannot tell [px of the full images]."""
        return math.hypot(_COARSE_ERROR * self.band_px**2, _LEAST_SIGMA_PX)


def _descend(
    pyramid: Pyramid,
    factors: Sequence[int],
    start: Motion,
    settings: RegistrationSettings,
    band_px: int,
) -> _Descent | None:
    """Refine from level to level; None when the images do not share enough pixels."""
    found = None
    motion = start
    for factor in factors:
        level = pyramid.level(factor, motion, band_px)
        scaled = motion.scaled(factor)
        weight = overlap(level, scaled)
        if weight.sum() < 64:
            return None
        refined = refine(
            level.fixed, level.moving, weight, scaled, rotate=settings.transform == "euler"
        )
        found = _Descent(level, refined.motion.scaled(1 / factor), refined, band_px, motion)
        motion = found.motion
    return found


def _pyramid(pair: SlicePair, finest_bin: int) -> list[int]:
    """Choose the binning factors, from coarse to fine."""
    longest = max(*pair.fixed.shape, *pair.moving.shape)
    coarsest = max(0, math.ceil(math.log2(longest / _COARSE_PX)))
    finest = max(1 if longest > _FINE_PX else 0, round(math.log2(finest_bin)))
    exponents = range(coarsest, min(coarsest, finest) - 1, -1)
    # The search is good to one coarse pixel, so the level after it can be left out.
    return [2**k for k in exponents if k != coarsest - 1 or k <= 1]


def _first_guess(pyramid: Pyramid, factor: int, settings: RegistrationSettings) -> Motion:
    """Try all starting points on the coarsest level and keep the one that ends best."""
    level = pyramid.level(factor, pyramid.pair.stage_motion)
    stage = pyramid.pair.stage_motion.scaled(factor)
    candidates = [stage]
    if settings.initial in ("com", "both"):
        candidates.append(_by_centre_of_mass(level, stage))
    if settings.initial in ("gradient", "both"):
        edges = gradient_magnitude(level.fixed), gradient_magnitude(level.moving)
        candidates.append(_by_search(*edges, level, stage, settings))
    if settings.initial == "both":
        candidates.append(_by_search(level.fixed, level.moving, level, stage, settings))
    limit = settings.max_translation_px / level.factor + 1
    best, best_score = stage, -math.inf
    for start in candidates:
        if math.dist(start.at_yx, stage.at_yx) > limit:
            continue
        weight = overlap(level, start)
        if weight.sum() < 16:
            continue
        found = at_rest(
            level.fixed, level.moving, weight, start, rotate=settings.transform == "euler",
            max_steps=20,
        )  # fmt: skip
        # A result is compared over one area only: a shift must not win by leaving the tissue.
        moved = warp(level.moving, found, level.shape)
        score = pearson(level.fixed, moved, weight) * math.sqrt(float(weight.mean()))
        inside = math.dist(found.at_yx, stage.at_yx) <= limit
        inside &= abs(found.angle_deg) <= settings.max_rotation_deg + 1
        if inside and score > best_score:
            best, best_score = found, score
    return best.scaled(1 / level.factor)


def _by_centre_of_mass(level: Level, stage: Motion) -> Motion:
    if not all(mask.any() for mask in level.tissue):
        return stage
    centers = [np.argwhere(mask).mean(axis=0) for mask in level.tissue]
    middle = (np.array(level.fixed.shape) - 1) / 2
    at = centers[1] + middle - centers[0]
    return Motion(0.0, (float(at[0]), float(at[1])))


def _by_search(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    level: Level,
    stage: Motion,
    settings: RegistrationSettings,
) -> Motion:
    middle = (np.array(level.fixed.shape) - 1) / 2
    offset = middle - np.array(stage.at_yx)
    found = search(
        fixed,
        moving,
        level.valid,
        offset_yx=(float(offset[0]), float(offset[1])),
        max_shift=settings.max_translation_px / level.factor,
        max_angle_deg=settings.max_rotation_deg if settings.transform == "euler" else 0.0,
    )
    at = np.array(stage.at_yx) + np.array(found.shift_yx)
    return Motion(found.angle_deg, (float(at[0]), float(at[1])))


def _hold_out(there: _Compared, stage: _Compared, rotate: bool) -> HeldOut:
    """Register each colour of a chequerboard and judge it on the other."""
    level = there.level
    fields = chequerboard(there.weight)
    colour = fields.colour
    parts = [there.weight * colour, there.weight * (1 - colour)]
    if min(float(part.sum()) for part in parts) < 32:
        return NOT_HELD_OUT
    fits = [at_rest(level.fixed, level.moving, part, there.motion, rotate=rotate) for part in parts]
    unmoved = stage.moved
    refined, by_stage, gains = [], [], []
    for fit, part in zip(fits, reversed(parts), strict=True):
        moved, both = warp(level.moving, fit, level.shape), part * stage.weight
        refined.append(pearson(level.fixed, moved, part))
        by_stage.append(pearson(level.fixed, unmoved, both))
        gains.append(
            field_correlations(level.fixed, moved, both, fields)
            - field_correlations(level.fixed, unmoved, both, fields)
        )
    split = math.dist(fits[0].at_yx, fits[1].at_yx) * level.factor
    turn = abs(fits[0].angle_deg - fits[1].angle_deg)
    means = float(np.mean(by_stage)), float(np.mean(refined))
    return HeldOut(*means, split, turn, _in_standard_errors(np.concatenate(gains)))


def _in_standard_errors(gains: NDArray[np.float64]) -> float:
    """Divide the mean of some gains by its standard error; NaN with too few of them."""
    known = gains[np.isfinite(gains)]
    if len(known) < _FEWEST_FIELDS:
        return math.nan
    error = float(known.std(ddof=1)) / math.sqrt(len(known))
    return float(known.mean()) / max(error, 1e-6)


@dataclass(frozen=True, slots=True)
class _Compared:
    """Both images where a motion [px of the level] lays them on each other, and what counts."""

    level: Level
    motion: Motion
    weight: NDArray[np.float32]

    @classmethod
    def at(cls, level: Level, motion: Motion) -> _Compared:
        """Compare them under a motion of the full images."""
        scaled = motion.scaled(level.factor)
        return cls(level, scaled, overlap(level, scaled))

    @property
    def moved(self) -> NDArray[np.float32]:
        """The moving image, band-passed, on the fixed one."""
        return warp(self.level.moving, self.motion, self.level.shape)

    def correlation(self, fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
        """Say how alike two versions of the images are."""
        return pearson(fixed, warp(moving, self.motion, self.level.shape), self.weight)


def _judge(pyramid: Pyramid, found: _Descent, settings: RegistrationSettings) -> PairFit:
    """Compare the result with the stage's position, inside and outside of what was fitted."""
    pair, level, motion = pyramid.pair, found.level, found.motion
    rotate = settings.transform == "euler"
    apart = fit_islands(level, motion, pair, rotate=rotate)
    if apart is not None:
        motion = apart.motion
    there, stage = _Compared.at(level, motion), _Compared.at(level, pair.stage_motion)
    held_out = _hold_out(there, stage, rotate)
    plain = [
        smooth_valid(image, mask.astype(np.float32), 1.0)
        for image, mask in zip(level.plain, level.valid, strict=True)
    ]
    before, after = stage.correlation(*plain), there.correlation(*plain)
    transform = _as_transform(pair, motion)
    size = math.hypot(*transform.translation_yx)
    own_px, own_deg = _own_errors(found, held_out)
    loose = _loose(there, apart)
    fit = PairFit(
        transform,
        after,
        before,
        confidence(after, size, motion.angle_deg, settings),
        held_out,
        sigma_px=math.hypot(max(own_px, loose[0]), found.floor_px),
        sigma_deg=math.hypot(max(own_deg, loose[1]) if apart is None else apart.sigma_deg, 0.003),
        islands=() if apart is None else apart.points,
    )
    failure = _why_not(fit, settings)
    if not failure:
        return fit
    if _confirms_stage(fit) and tissue_correlation(pyramid, pair.stage_motion) >= _ALIKE:
        return _at_stage(pair, fit, settings)
    return _rejected(pair, failure, before, fit)


def _confirms_stage(fit: PairFit) -> bool:
    """Say whether a fit lies where the stage does, within its own errors."""
    size = math.hypot(*fit.transform.translation_yx) / fit.sigma_px
    return size**2 + (fit.transform.angle_deg / fit.sigma_deg) ** 2 <= _CONFIRMS


def _at_stage(pair: SlicePair, fit: PairFit, settings: RegistrationSettings) -> PairFit:
    """Give the stage's place as measured: the held-out parts like it better than the fit."""
    before = fit.correlation_before
    off_px = math.hypot(*fit.transform.translation_yx) / math.sqrt(2)
    return replace(
        fit,
        transform=_as_transform(pair, pair.stage_motion),
        correlation=before,
        confidence=confidence(before, 0.0, 0.0, settings),
        held_out=replace(fit.held_out, refined=fit.held_out.stage),
        sigma_px=math.hypot(fit.sigma_px, off_px),
        sigma_deg=math.hypot(fit.sigma_deg, fit.transform.angle_deg),
    )


def _own_errors(found: _Descent, held_out: HeldOut) -> tuple[float, float]:
    """Give the errors of shift [px] and rotation [deg] that parts of the tissue tell.

    Parts of the fit and both colours of the chequerboard tell the same errors: they are averaged.
    """
    refined = found.refined.sigma_px * found.level.factor, found.refined.sigma_deg
    split = min(held_out.split_px, 1e3) / math.sqrt(8), min(held_out.split_deg, 1e2) / 2
    px, deg = (
        math.sqrt((_PART_FREEDOM * parts**2 + n * colours**2) / (_PART_FREEDOM + n))
        for parts, colours, n in zip(refined, split, (2, 1), strict=True)
    )
    return px, deg


def _loose(there: _Compared, apart: IslandsFit | None) -> tuple[float, float]:
    """Give the errors of shift [px] and rotation [deg] of a slice whose tiles lie loose."""
    if apart is not None:
        return apart.loose_px, 0.0
    level = there.level
    known = warp_mask(level.valid[1], there.motion, level.valid[0])
    found = find_loose_tiles(level.fixed, there.moved, there.weight, known)
    return (0.0, 0.0) if found is None else (found.sigma_px * level.factor, found.sigma_deg)


def _why_not(fit: PairFit, settings: RegistrationSettings) -> Refusal | None:
    """Say why a result must not be used; None when it may."""
    size, angle = math.hypot(*fit.transform.translation_yx), fit.transform.angle_deg
    if size > settings.max_translation_px or abs(angle) > settings.max_rotation_deg:
        return Refusal.of(Doubt.AT_LIMIT, size, angle)
    if fit.correlation < fit.correlation_before:
        return Refusal.of(Doubt.WORSE, fit.correlation_before, fit.correlation)
    stage, refined = fit.held_out.stage, fit.held_out.refined
    if not math.isnan(refined) and refined < stage:
        return Refusal.of(Doubt.HELD_OUT_WORSE, refined, stage)
    return None


def _as_transform(pair: SlicePair, motion: Motion) -> Rigid2D:
    """Split the stage's shift off a motion: what remains moves the slice as the stage placed it."""
    stage = pair.stage_motion
    center = ((pair.fixed.shape[0] - 1) / 2, (pair.fixed.shape[1] - 1) / 2)
    shift = (motion.at_yx[0] - stage.at_yx[0], motion.at_yx[1] - stage.at_yx[1])
    return Rigid2D(motion.angle_deg, center, shift)


def _rejected(
    pair: SlicePair, reason: Refusal, before: float, fit: PairFit | None = None
) -> PairFit:
    held_out = fit.held_out if fit else NOT_HELD_OUT
    stage = _as_transform(pair, pair.stage_motion)
    return PairFit(stage, before, before, 0.0, held_out, math.inf, math.inf, reason, fit)
