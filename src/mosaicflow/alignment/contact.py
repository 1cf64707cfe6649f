"""How slices lie on each other that show no common tissue: the nearest planes of both compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.alignment.coarse import correlate_masked
from mosaicflow.alignment.levels import Pyramid, tissue_correlation
from mosaicflow.alignment.pair_fit import NOT_HELD_OUT, SHARED, PairFit
from mosaicflow.alignment.refine import Motion
from mosaicflow.alignment.register import register_images
from mosaicflow.averages import bin_mean, whole_blocks
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.rigid import Rigid2D
from mosaicflow.slices.images import smooth_valid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.pair_fit import RegistrationSettings, SlicePair

__all__ = ["bridge", "geometric_median", "plane_groups"]

# Groups of planes compared of either slice, planes in each, and from one to the next: one pair of
# planes follows whatever oblique structure it holds.
_GROUPS, _GROUP_PLANES, _GROUP_STEP = 3, 3, 2
# Different tissue has its outline in common and little else: structure finer than this is smoothed
# away [px], the images are binned, and brightness counts by its square root, which lets bright
# parts inside say less. Errors per axis at 24 gaps of 230 um: 0.8 px; with binning by 4 1.2, with
# brightness as it is 1.4, and 3.7 with the fine structure that shared tissue is registered by.
_SMOOTH_PX, _BIN = 4.0, 2
# Outlines move sideways with depth. How far, each of the two slices says of itself, its top against
# its bottom; this many px per plane are assumed besides, with the weight of as many numbers.
_PX_PER_PLANE, _CLAIM = 0.05, 4.0
# Nearer planes of a slice have too little between them to tell.
_LEAST_APART = 4.0
# Whether fine structure is shared is looked for on images this coarse: different tissue never comes
# to rest, at full size for 16 times as long.
_LOOK_BIN = 4
# A change of outline looks like a turn: rotations over 190 um were 1.6 deg off, the stage's 0.5.
UNKNOWN_DEG = 5.0
# The median comes no nearer to a point than this [px], so that one point alone cannot hold it.
_SOFT_PX = 0.2


def plane_groups(n_planes: int, *, first: int = 0, from_below: bool = False) -> NDArray[np.float64]:
    """Give the weights of overlapping groups of planes.

    Parameters
    ----------
    n_planes : int
        Planes of the slice that hold data.
    first : int
        First plane used, from above.
    from_below : bool
        Count from the last plane upwards.

    Returns
    -------
    ndarray, shape (groups, n_planes), float64
        Rows that sum to 1; fewer where the slice is thin.
    """
    size = min(_GROUP_PLANES, n_planes)
    last = n_planes - size
    steps = _GROUP_STEP * np.arange(_GROUPS)
    starts = np.unique(np.clip(last - steps if from_below else first + steps, 0, last))
    weights = np.zeros((len(starts), n_planes))
    for row, start in zip(weights, starts, strict=True):
        row[start : start + size] = 1 / size
    return weights


def bridge(
    pairs: Sequence[SlicePair],
    own: Sequence[tuple[SlicePair, float]],
    distance_planes: float,
    settings: RegistrationSettings,
    *,
    reach_px: float,
    scale: int = 1,
) -> PairFit:
    """Find the shift between slices on either side of unseen tissue.

    Parameters
    ----------
    pairs : sequence of SlicePair
        Each group of planes of one slice with each of the other, the nearest first.
    own : sequence of (SlicePair, float)
        Bottom and top of each of the slices, which truly lie on each other, and the planes between.
    distance_planes : float
        Planes of tissue between those compared.
    settings : RegistrationSettings
        Limits.
    reach_px : float
        Largest departure from the stage's position [px of the images].
    scale : int
        Pixels of the slice per pixel of the images.

    Returns
    -------
    PairFit
        Where the nearest planes still share their fine structure, such as thin sections imaged one
        plane deep, what that tells. Else a translation: the geometric median of all shifts, its
        standard error their spread and how far outlines move over the distance; the rotation then
        is the stage's, and said to be unknown.
    """
    drift = _drift_px(own, distance_planes, reach_px, scale)
    within = replace(settings, max_translation_px=reach_px)
    near = register_images(pairs[0], replace(within, finest_bin=_LOOK_BIN))
    if not near.failure and near.held_out.refined >= SHARED and _shares_inside(pairs[0], near):
        near = register_images(pairs[0], within)
        return replace(near, sigma_px=math.hypot(near.sigma_px, drift))
    found = [one for one in (_outline_shift(pair, reach_px, scale) for pair in pairs) if one]
    stage = pairs[0].stage_motion
    center = ((pairs[0].fixed.shape[0] - 1) / 2, (pairs[0].fixed.shape[1] - 1) / 2)
    if 2 * len(found) <= len(pairs):
        return PairFit.left_to_stage(center, Refusal.of(Doubt.NOWHERE, reach_px * scale))
    shifts = np.array([one.shift_yx for one in found])
    middle = geometric_median(shifts)
    spread = float(np.median(np.hypot(*(shifts - middle).T)))
    y, x = (float(v) for v in middle)
    after, before = (
        float(np.median([getattr(one, name) for one in found])) for name in ("score", "by_stage")
    )
    return PairFit(
        Rigid2D(stage.angle_deg, center, (y, x)),
        after,
        before,
        min(max(after, 0.0), 1.0),
        NOT_HELD_OUT,
        sigma_px=math.hypot(drift, spread),
        sigma_deg=UNKNOWN_DEG,
    )


def _shares_inside(pair: SlicePair, near: PairFit) -> bool:
    """Say whether tissue is alike inside, too: outlines alone fit turned by degrees."""
    stage = pair.stage_motion
    at = (
        stage.at_yx[0] + near.transform.translation_yx[0],
        stage.at_yx[1] + near.transform.translation_yx[1],
    )
    motion = Motion(near.transform.angle_deg, at)
    return tissue_correlation(Pyramid(pair), motion, _LOOK_BIN) >= SHARED


def _drift_px(
    own: Sequence[tuple[SlicePair, float]], distance_planes: float, reach_px: float, scale: int
) -> float:
    """Say how far an outline moves per axis over a distance, by what both slices show of it."""
    assumed = _PX_PER_PLANE * distance_planes / scale
    total, count = _CLAIM * assumed**2, _CLAIM
    for pair, apart in own:
        if apart < _LEAST_APART:
            continue
        found = _outline_shift(pair, reach_px, scale)
        # What ran out of reach moved that far at least.
        shift = (reach_px, 0.0) if found is None else found.shift_yx
        total += math.hypot(*shift) ** 2 * max(distance_planes / apart, 1.0)
        count += 2
    return math.sqrt(total / count)


@dataclass(frozen=True, slots=True)
class _OutlineFit:
    """Pull translation that lays outlines on each other, and the likeness there and unmoved."""

    shift_yx: tuple[float, float]
    score: float
    by_stage: float


def _outline_shift(pair: SlicePair, reach_px: float, scale: int) -> _OutlineFit | None:
    """Compare coarse shapes at every shift within reach; None where they match best at its end."""
    sigma = max(_SMOOTH_PX / scale, 1.0) / _BIN
    images, masks = [], []
    for image, valid in ((pair.fixed, pair.fixed_valid), (pair.moving, pair.moving_valid)):
        mask = whole_blocks(valid, _BIN)
        root = np.sqrt(np.maximum(bin_mean(image, _BIN), 0))
        images.append(smooth_valid(root, mask.astype(np.float32), sigma))
        masks.append(mask)
    margin = math.ceil(reach_px / _BIN) + 1
    if min(masks[0].shape) < 4 or not (masks[0].any() and masks[1].any()):
        return None
    offset = (np.array(pair.offset_yx) + 0.5) / _BIN - 0.5
    shape = tuple(n + 2 * margin for n in masks[0].shape)
    there, seen = (
        ndimage.affine_transform(part, np.eye(2), -offset - margin, shape, order=1)
        for part in (images[1], masks[1].astype(np.float32))
    )
    inside = seen > 0.99
    middle = float(images[0][masks[0]].mean())  # keeps the sums of squares of a float32 exact
    surface = correlate_masked(
        np.where(masks[0], images[0] - middle, np.float32(0)),
        np.where(inside, there - middle, np.float32(0)).astype(np.float32),
        masks[0],
        inside,
        margin,
    )
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    if not (0 < row < 2 * margin and 0 < column < 2 * margin):
        return None
    around = surface[row - 1 : row + 2, column - 1 : column + 2].astype(np.float64)
    y, x = row - margin + _vertex(around[:, 1]), column - margin + _vertex(around[1])
    if math.hypot(y, x) * _BIN > reach_px:
        return None
    score, by_stage = float(surface[row, column]), float(surface[margin, margin])
    return _OutlineFit((float(y) * _BIN, float(x) * _BIN), score, by_stage)


def _vertex(three: NDArray[np.float64]) -> float:
    """Give the place of the peak of a parabola through three points around the middle one."""
    curvature = 2 * three[1] - three[0] - three[2]
    return float(0.5 * (three[2] - three[0]) / curvature) if curvature > 0 else 0.0


def geometric_median(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point with the least sum of distances to the given ones, shape (n, 2)."""
    middle: NDArray[np.float64] = np.median(points, axis=0)
    for _ in range(50):
        weight = 1 / np.maximum(np.hypot(*(points - middle).T), _SOFT_PX)
        middle = weight @ points / weight.sum()
    return middle
