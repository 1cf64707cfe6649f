"""How the steps of a stage appear in the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.spread import RAYLEIGH_MEDIAN, spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link

    Tile = tuple[int, int]
    Vector = NDArray[np.float64]

__all__ = ["StagePrior", "departures", "fit_stage_model", "stage_model_error"]

# How far turn, scale and shear of a stage depart from none, and how far a stage misses [px], as
# long as there are no links to tell.
_MODEL_SIGMA = 0.02
# What a stage of this kind misses by (px), worth one link: doubled, few links say so later.
_TYPICAL_SPREAD_PX = 2.0
# From so many links on a step far from the reported one is believed: with fewer, two wrong ones may
# be most of a direction.
_MANY_LINKS = 6


@dataclass(frozen=True, slots=True)
class StagePrior:
    """What is known of the stage before a slice is looked at, such as from other slices.

    Parameters
    ----------
    model : ndarray, shape (2, 2), float64
        Linear map from stage displacements to image displacements.
    step_sigma_px : float
        Standard deviation per axis of a step about it.
    n_links : float
        How many links of this slice that knowledge is worth.
    fixed_px : mapping
        Tile -> (y, x, standard deviation) in px where somebody has said where it lies, relative
        to where the stage puts it by the model.
    """

    model: NDArray[np.float64]
    step_sigma_px: float
    n_links: float = 0.0
    fixed_px: Mapping[Tile, tuple[float, float, float]] = field(default_factory=dict)


def fit_stage_model(
    links: Sequence[Link], stage_px: Mapping[Tile, tuple[float, float]]
) -> NDArray[np.float64]:
    """Fit how a displacement of the stage appears in the image: rotation, scale and shear.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts; a part of them may be wrong.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.

    Returns
    -------
    ndarray, shape (2, 2), float64
        Image displacement = model @ stage displacement. The identity along a direction in which
        no link is available.

    Notes
    -----
    Starts from the median shift per direction and re-weights with a Cauchy loss. Few links, or
    links that disagree, leave the model near the identity: the expected turn, scale and shear of
    some percent are a normal prior of it, as in ridge regression. Otherwise two wrong links could
    throw all tiles without links far off.
    """
    steps, shifts, weights = _link_arrays(links, stage_px)
    model = np.eye(2)
    if not len(steps):
        return model
    # One robust vote per lattice direction survives up to half of the links being wrong.
    down = np.array([link.b[0] != link.a[0] for link in links])
    groups = [group for group in (down, ~down) if group.any()]
    model = _least_squares(
        np.array([np.median(steps[group], axis=0) for group in groups]),
        np.array([np.median(shifts[group], axis=0) for group in groups]),
        np.ones(len(groups)),
    )
    for _ in range(20):
        residual = np.linalg.norm(shifts - steps @ model.T, axis=1)
        scale = max(0.2, spread_about(residual, 0.0))
        trust = weights / (1 + (residual / (2 * scale)) ** 2)
        model = _least_squares(steps, shifts, trust)
    pull = _spread(np.linalg.norm(shifts - steps @ model.T, axis=1)) / _MODEL_SIGMA
    if len(links) >= _MANY_LINKS:
        # A wrong pitch or overlap is rare and large: many links that agree on it are believed.
        pull /= np.sqrt(1 + (np.abs(model - np.eye(2)).max() / (3 * _MODEL_SIGMA)) ** 2)
    return _least_squares(steps, shifts, trust, pull)


def departures(
    links: Sequence[Link], stage_px: Mapping[Tile, tuple[float, float]], model: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Say how far links lie from a stage model, shape (n, 2) [px]."""
    off = [
        np.subtract(k.shift_px, model @ np.subtract(stage_px[k.b], stage_px[k.a])) for k in links
    ]
    return np.reshape(off, (-1, 2))


def stage_model_error(
    links: Sequence[Link], stage_px: Mapping[Tile, tuple[float, float]], model: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate how far the columns of a fitted stage model may be off.

    Parameters
    ----------
    links : sequence of Link
        Links that the model was fitted to.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.
    model : ndarray, shape (2, 2), float64
        The model.

    Returns
    -------
    ndarray, shape (2,), float64
        Standard error of each column; the spread of the prior without links along that axis.
        Somewhat too large, as links that share a tile are taken for independent.
    """
    steps, shifts, weights = _link_arrays(links, stage_px)
    spread = _spread(np.linalg.norm(shifts - steps @ model.T, axis=1))
    known = (weights[:, None] * steps**2).sum(axis=0)
    return np.asarray(1 / np.sqrt(known / spread**2 + 1 / _MODEL_SIGMA**2))


def _spread(residual: Vector) -> float:
    """Estimate per axis how links scatter about the model; two fit any and tell nothing."""
    freedom = max(len(residual) - 2, 0)
    square = (float(np.median(residual)) / RAYLEIGH_MEDIAN) ** 2 if freedom else 0.0
    return float(np.sqrt((freedom * square + _TYPICAL_SPREAD_PX**2) / (freedom + 1)))


def _least_squares(
    steps: Vector, shifts: Vector, weights: Vector, pull_px: float = 0.0
) -> NDArray[np.float64]:
    """Solve shifts = steps @ model.T, pulled to the identity as by a step of that length."""
    weighted = steps * weights[:, None]
    normal = weighted.T @ steps
    right = weighted.T @ shifts
    if np.linalg.cond(normal) > 1e4:  # a single row or column of tiles: turn and scale only
        return _similarity(steps, shifts, weights, pull_px)
    pull = pull_px**2 * np.eye(2)
    return np.asarray(np.linalg.solve(normal + pull, right + pull).T)


def _similarity(
    steps: Vector, shifts: Vector, weights: Vector, pull_px: float
) -> NDArray[np.float64]:
    s = steps[:, 0] + 1j * steps[:, 1]
    d = shifts[:, 0] + 1j * shifts[:, 1]
    right = (weights * np.conj(s) * d).sum() + pull_px**2
    factor = right / ((weights * np.abs(s) ** 2).sum() + pull_px**2)
    return np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])


def _link_arrays(
    links: Sequence[Link], stage_px: Mapping[Tile, tuple[float, float]]
) -> tuple[Vector, Vector, Vector]:
    steps = np.array([np.subtract(stage_px[k.b], stage_px[k.a]) for k in links], float)
    shifts = np.array([k.shift_px for k in links], float)
    weights = np.array([max(k.ncc, 0.05) ** 2 for k in links], float)
    return steps.reshape(-1, 2), shifts.reshape(-1, 2), weights
