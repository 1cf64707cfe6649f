"""How each island of a slice lies on another slice: one turn for all, a shift for each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.coarse import correlate_masked
from mosaicflow.alignment.island_point import IslandPoint
from mosaicflow.alignment.levels import overlap
from mosaicflow.alignment.refine import CORRELATED_PX, Motion, refine, warp
from mosaicflow.rigid import rotation
from mosaicflow.slices.images import used_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.levels import Level
    from mosaicflow.alignment.pair_fit import SlicePair

__all__ = ["IslandsFit", "fit_islands"]

# How far an island is looked for [px of the images compared]: jitter of stages is some px. Doubled,
# four times the work.
_REACH_PX = 8
# An island is measured where this many independent spots show tissue, and fine structure agrees as
# well as this; different tissue stays below it. Doubled, noisy ones stay where the stage put them.
_FEWEST_SPOTS, _ALIKE = 16, 0.3
# What interpolation and rests of distortion leave [px].
_LEAST_SIGMA_PX = 0.02


@dataclass(frozen=True, slots=True)
class IslandsFit:
    """One turn for all islands of a slice, and the place of each.

    Parameters
    ----------
    motion : Motion
        Their common turn, at the mean of their places, or that of the one with most of the tiles.
    points : tuple of IslandPoint
        At least two.
    loose_px : float
        Standard error per axis of the mean of so many loose places; 0 where one island is the
        slice.
    sigma_deg : float
        Standard error of the turn.
    """

    motion: Motion
    points: tuple[IslandPoint, ...]
    loose_px: float
    sigma_deg: float


def fit_islands(
    level: Level, motion: Motion, pair: SlicePair, *, rotate: bool = True
) -> IslandsFit | None:
    """Lay each island of one of two slices on the other.

    Parameters
    ----------
    level : Level
        Images on the finest step of the pyramid.
    motion : Motion
        What fits both as a whole [px of the full images].
    pair : SlicePair
        Says which of them has islands; the moving one is asked first.
    rotate : bool
        Whether the angle may change.

    Returns
    -------
    IslandsFit or None
        None where there are no islands, or fewer than two can be measured.
    """
    is_fixed = pair.moving_islands is None
    islands = pair.fixed_islands if is_fixed else pair.moving_islands
    if islands is None:
        return None
    factor, scaled = level.factor, motion.scaled(level.factor)
    shape = level.shape
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    if not is_fixed:
        y, x = np.moveaxis(scaled.on(shape).apply(np.stack([y, x], axis=-1)), -1, 0)
    labels = islands.scaled((1 / factor, 1 / factor)).of(y, x)
    weight = overlap(level, scaled)
    parts = {k: weight * (labels == k) for k in range(islands.count)}
    turned = {k: one for k, part in parts.items() if (one := _turned(level, scaled, part, rotate))}
    if len(turned) < 2:
        return None
    angle, sigma_deg = _common_turn(
        [(one.motion.angle_deg, one.sigma_deg) for one in turned.values()]
    )
    share = islands.shares(list(turned))
    points, places = [], []
    for k, one in turned.items():
        middle = _middle(parts[k])
        start = _through(angle, middle, _at(one.motion, shape, middle), shape)
        found = refine(level.fixed, level.moving, parts[k], start, rotate=False)
        there = _at(found.motion, shape, middle)
        sigma = math.hypot(found.sigma_px, _LEAST_SIGMA_PX)
        points.append(IslandPoint(is_fixed, k, middle, there, sigma).scaled((factor, factor)))
        places.append(found.motion.at_yx)
    at = share @ np.array(places)
    whole = Motion(angle, (float(at[0]), float(at[1]))).scaled(1 / factor)
    spread = float(np.sqrt(np.var(places, axis=0, ddof=1).mean())) * factor
    # Of several loose islands the mean is known no better than they agree; of one, as it is itself.
    loose = spread * float(np.linalg.norm(share)) if share.max() < 1 else 0.0
    return IslandsFit(whole, tuple(points), loose, sigma_deg)


@dataclass(frozen=True, slots=True)
class _Turned:
    motion: Motion
    sigma_deg: float


def _turned(
    level: Level, motion: Motion, part: NDArray[np.float32], rotate: bool
) -> _Turned | None:
    """Find one island, with a turn of its own; None where it cannot be told."""
    if part.sum() < _FEWEST_SPOTS * CORRELATED_PX:
        return None
    step = _step(level, motion, part)
    if step is None:
        return None
    turn = rotation(math.radians(motion.angle_deg))
    start = Motion(motion.angle_deg, tuple(np.add(motion.at_yx, turn @ step)))
    found = refine(level.fixed, level.moving, part, start, rotate=rotate)
    if found.correlation < _ALIKE or math.dist(found.motion.at_yx, start.at_yx) > _REACH_PX:
        return None
    return _Turned(found.motion, max(found.sigma_deg, 1e-4))


def _step(level: Level, motion: Motion, part: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Find by whole pixels how far an island lies off; None where that is beyond reach."""
    shape = level.shape
    there = warp(level.valid[1].astype(np.float32), motion, shape) > 0.99
    moved = np.where(there, warp(level.moving, motion, shape), np.float32(0))
    (top, bottom), (left, right) = (used_span(part, axis) for axis in (0, 1))
    used = part[top:bottom, left:right] > 0
    wide = slice(top, bottom + 2 * _REACH_PX), slice(left, right + 2 * _REACH_PX)
    surface = correlate_masked(
        np.where(used, level.fixed[top:bottom, left:right], np.float32(0)),
        np.pad(moved, _REACH_PX)[wide],
        used,
        np.pad(there, _REACH_PX)[wide],
        _REACH_PX,
    )
    peak = np.unravel_index(int(np.argmax(surface)), surface.shape)
    if not all(0 < k < 2 * _REACH_PX for k in peak):
        return None
    return np.array(peak, np.float64) - _REACH_PX


def _common_turn(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Average turns by their errors; the error holds what they disagree by."""
    angles, sigmas = np.array(found).T
    weights = sigmas**-2
    angle = float(weights @ angles / weights.sum())
    excess = float(weights @ (angles - angle) ** 2) / (len(angles) - 1)
    return angle, math.sqrt(max(excess, 1.0) / float(weights.sum()))


def _middle(part: NDArray[np.float32]) -> tuple[float, float]:
    y, x = np.argwhere(part > 0).mean(axis=0)
    return float(y), float(x)


def _at(motion: Motion, shape: tuple[int, int], point: tuple[float, float]) -> tuple[float, float]:
    """Say where a point of the fixed image lies in the moving one."""
    y, x = motion.on(shape).apply(point)
    return float(y), float(x)


def _through(
    angle_deg: float, point: tuple[float, float], there: tuple[float, float], shape: tuple[int, int]
) -> Motion:
    """Give the motion of an angle that takes a point to a place."""
    y, x = np.array(there) - Motion(angle_deg, (0.0, 0.0)).on(shape).apply(point)
    return Motion(angle_deg, (float(y), float(x)))
