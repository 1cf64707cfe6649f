"""How slices lie on each other that show no common tissue: the nearest planes of both compared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.register import register_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.pair_fit import PairFit, RegistrationSettings, SlicePair

__all__ = ["bridge", "geometric_median", "plane_groups"]

# Groups of planes compared of either slice, planes in each, and from one to the next: one pair of
# planes follows whatever oblique structure it holds.
_GROUPS, _GROUP_PLANES, _GROUP_STEP = 3, 3, 2
# Different tissue agrees only coarsely.
_BIN = 4
# Oblique structures move sideways with depth: at least this many px per plane of unseen tissue,
# and this share of the median distance between the shifts of the groups. Errors per axis over the
# two together: 0.2-0.9 at 8 gaps of 190 um through a scaled brain, 1.5 (rms) at 7 through tissue
# whose parts 200 um apart have only the outline in common.
_PX_PER_PLANE, _SPREAD = 0.08, 1.1
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
        Each group of planes of one slice with each of the other.
    distance_planes : float
        Planes of tissue between those compared.
    settings : RegistrationSettings
        Limits.
    reach_px : float
        Largest departure from the stage's position.
    scale : int
        Pixels of the slice per pixel of the images.

    Returns
    -------
    PairFit
        A translation: the geometric median of all shifts, its standard error their spread and what
        the distance allows. The rotation is the stage's, and said to be unknown.
    """
    reach = min(settings.max_translation_px / scale, reach_px)
    blind = replace(settings, transform="translation", finest_bin=_BIN, max_translation_px=reach)
    fits = [register_images(pair, blind) for pair in pairs]
    found = [fit for fit in fits if not fit.failure]
    if 2 * len(found) <= len(fits):
        return replace(fits[0], failure=f"different tissue matches no better: {fits[0].failure}")
    shifts = np.array([fit.transform.translation_yx for fit in found])
    middle = geometric_median(shifts)
    away = np.hypot(*(shifts - middle).T)
    nearest = found[int(np.argmin(away))]
    y, x = (float(v) for v in middle)
    return replace(
        nearest,
        transform=replace(nearest.transform, translation_yx=(y, x)),
        sigma_px=math.hypot(
            _PX_PER_PLANE * distance_planes / scale, _SPREAD * float(np.median(away))
        ),
        sigma_deg=UNKNOWN_DEG,
    )


def geometric_median(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point with the least sum of distances to the given ones, shape (n, 2)."""
    middle: NDArray[np.float64] = np.median(points, axis=0)
    for _ in range(50):
        weight = 1 / np.maximum(np.hypot(*(points - middle).T), _SOFT_PX)
        middle = weight @ points / weight.sum()
    return middle
