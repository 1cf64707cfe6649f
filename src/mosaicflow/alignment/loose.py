"""Slices whose tiles lie loose: parts of the image that are off, each its own way.

Where every second tile of a slice is missing no overlap ties the rest, and each lies as its stage
had it, some px off. One motion of the whole is then the mean of a few tiles, and no surer than it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.coarse import correlate_masked
from mosaicflow.alignment.refine import CORRELATED_PX
from mosaicflow.slices.images import used_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LooseTiles", "find_loose_tiles"]

# Parts along each axis that are compared alone: a few per tile of a small mosaic, so that most lie
# in one tile. The spread of nine larger cells, hardly more than tiles, says how many are loose.
_PARTS, _CELLS = 6, 3
# How far a part is looked for [px]: jitter of stages is some px, and parts of 50 px hold no more.
_REACH_PX = 8
# Share of a part that must hold tissue, and parts and cells without which nothing is said.
_LEAST_SHARE, _FEWEST_PARTS, _FEWEST_CELLS = 0.4, 6, 3
# Tiles are called loose beyond this many standard errors of a part, and this far [px]: tiles that
# overlaps tie lie within 0.1 px.
_PROVEN, _LEAST_PX = 3.0, 0.4


@dataclass(frozen=True, slots=True)
class LooseTiles:
    """How well one motion can be known of a slice whose parts lie each its own way.

    Parameters
    ----------
    spread_px : float
        Standard deviation of the parts' shifts per axis.
    sigma_px, sigma_deg : float
        Standard error of the mean shift per axis, and of the rotation.
    """

    spread_px: float
    sigma_px: float
    sigma_deg: float


@dataclass(frozen=True, slots=True)
class _PartShift:
    """Where the middle of a part lies and how far it is off, with the standard error; its cell."""

    middle_yx: tuple[float, float]
    shift_yx: tuple[float, float]
    sigma_px: float
    cell: tuple[int, int]


def find_loose_tiles(
    fixed: NDArray[np.float32],
    moved: NDArray[np.float32],
    weight: NDArray[np.float32],
    there: NDArray[np.bool_],
) -> LooseTiles | None:
    """Compare an image part by part with another that was laid on it.

    Parameters
    ----------
    fixed, moved : ndarray, shape (y, x), float32
        Band-passed images, one laid on the other by one motion.
    weight : ndarray, shape (y, x), float32
        Not 0 where both show tissue.
    there : ndarray, shape (y, x), bool
        Where `moved` holds data.

    Returns
    -------
    LooseTiles or None
        None where the parts agree within their errors, or cannot tell.
    """
    wide = np.pad(np.where(there, moved, np.float32(0)), _REACH_PX), np.pad(there, _REACH_PX)
    found = (_shift(fixed, wide, weight, at) for at in _grid(weight))
    parts = [one for one in found if one is not None]
    if len(parts) < _FEWEST_PARTS:
        return None
    cells = _cells(parts)
    if len(cells) < _FEWEST_CELLS:
        return None
    # Of parts and not of cells: a cell that holds two tiles would show their mean.
    spread = math.sqrt(float(np.var([one.shift_yx for one in parts], axis=0, ddof=1).mean()))
    error = float(np.median([one.sigma_px for one in parts]))
    if spread < max(_PROVEN * error, _LEAST_PX):
        return None
    places = np.array([np.mean([one.middle_yx for one in cell], axis=0) for cell in cells])
    arm = math.sqrt(float(np.square(places - places.mean(axis=0)).sum()))
    sigma_deg = math.degrees(spread / max(arm, 1.0))
    return LooseTiles(spread, spread / math.sqrt(len(cells)), sigma_deg)


def _cells(parts: Sequence[_PartShift]) -> list[list[_PartShift]]:
    """Group parts into cells the size of tiles; slivers of a neighbour's tile make none."""
    groups: dict[tuple[int, int], list[_PartShift]] = {}
    for one in parts:
        groups.setdefault(one.cell, []).append(one)
    most = max(len(group) for group in groups.values())
    return [group for group in groups.values() if 2 * len(group) >= most]


def _grid(weight: NDArray[np.float32]) -> list[tuple[int, int, slice, slice]]:
    """Cut the area used into parts: row and column of each, and its pixels."""
    edges = [
        np.linspace(*used_span(weight, axis), _PARTS + 1).round().astype(int).tolist()
        for axis in (0, 1)
    ]
    return [
        (row, column, slice(*edges[0][row : row + 2]), slice(*edges[1][column : column + 2]))
        for row, column in itertools.product(range(_PARTS), repeat=2)
    ]


def _shift(
    fixed: NDArray[np.float32],
    wide: tuple[NDArray[np.float32], NDArray[np.bool_]],
    weight: NDArray[np.float32],
    at: tuple[int, int, slice, slice],
) -> _PartShift | None:
    """Find where one part matches best; None where that is nowhere within reach."""
    row, column, y, x = at
    used = weight[y, x] > 0
    if used.sum() < max(_LEAST_SHARE * used.size, CORRELATED_PX):
        return None
    around = slice(y.start, y.stop + 2 * _REACH_PX), slice(x.start, x.stop + 2 * _REACH_PX)
    part = np.where(used, fixed[y, x], np.float32(0))
    surface = correlate_masked(part, wide[0][around], used, wide[1][around], _REACH_PX)
    peak = np.unravel_index(int(np.argmax(surface)), surface.shape)
    if not all(0 < k < 2 * _REACH_PX for k in peak):
        return None
    near = surface[peak[0] - 1 : peak[0] + 2, peak[1] - 1 : peak[1] + 2].astype(np.float64)
    best = float(near[1, 1])
    bends = [float(2 * three[1] - three[0] - three[2]) for three in (near[:, 1], near[1])]
    if best <= 0 or min(bends) <= 0:
        return None
    tilts = [float(three[2] - three[0]) for three in (near[:, 1], near[1])]
    down, right = (
        float(k) - _REACH_PX + 0.5 * tilt / bend
        for k, tilt, bend in zip(peak, tilts, bends, strict=True)
    )
    # As sure as the peak is narrow and high, for as many pixels as are not tied together.
    count = float(used.sum()) / CORRELATED_PX
    sigma = math.sqrt(max(1 - best**2, 0.0) / (best * count * min(bends)))
    middle = (y.start + y.stop) / 2, (x.start + x.stop) / 2
    cell = row * _CELLS // _PARTS, column * _CELLS // _PARTS
    return _PartShift(middle, (down, right), sigma, cell)
