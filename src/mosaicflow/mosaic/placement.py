"""Where every tile of a slice lies, from all measured shifts and the stage together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solveh_banded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Tile = tuple[int, int]
    Vector = NDArray[np.float64]

__all__ = [
    "Link",
    "Placement",
    "fit_lattice",
    "fit_stage_model",
    "held_out_residuals",
    "solve_placement",
    "stage_model_error",
]

# Standard deviation of a good link, and bounds for that of a stage position [px].
_LINK_SIGMA_PX = 0.25
_STAGE_SIGMA_PX = (0.3, 5.0)
_OUTLIER_PX = 3.5
# Final width of the loss: three standard deviations of a good link.
_LOSS_WIDTH_PX = 3 * _LINK_SIGMA_PX
# How far turn, scale and shear of a stage depart from none, and how far a stage misses [px], as
# long as there are no links to tell.
_MODEL_SIGMA = 0.02
_TYPICAL_SPREAD_PX = 2.0


@dataclass(frozen=True, slots=True)
class Link:
    """Measured shift between two neighbouring tiles.

    Parameters
    ----------
    a, b : (int, int)
        Lattice indices (iy, ix).
    shift_px : (float, float)
        Position of `b` minus position of `a`, (y, x).
    ncc, peak_ratio : float
        How well and how clearly they match.
    peak_ncc : float
        How well they match at the nearest shift by whole pixels; NaN when not measured.
    stage_ncc : float
        How well they match where the stage says; NaN when not measured.
    weight : float
        Weight in the solution.
    used : bool
        Whether it took part in the final solution.
    """

    a: Tile
    b: Tile
    shift_px: tuple[float, float]
    ncc: float
    peak_ratio: float
    peak_ncc: float = float("nan")
    stage_ncc: float = float("nan")
    weight: float = 0.0
    used: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of every tile of a slice.

    Parameters
    ----------
    positions_px : dict
        Tile -> (y, x) of its first pixel.
    model : ndarray, shape (2, 2), float64
        Linear map from stage displacements to image displacements, both (y, x) in px.
    links : tuple of Link
        All links, with their final weights.
    residuals_px : dict
        Tile -> root mean square residual of its used links; absent without links.
    """

    positions_px: dict[Tile, tuple[float, float]]
    model: NDArray[np.float64]
    links: tuple[Link, ...]
    residuals_px: dict[Tile, float]


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
        scale = max(0.2, 1.4826 * float(np.median(residual)))
        trust = weights / (1 + (residual / (2 * scale)) ** 2)
        model = _least_squares(steps, shifts, trust, _spread(residual) / _MODEL_SIGMA)
    return model


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
    # The median length of a vector of two normal components, each of that standard deviation.
    square = (float(np.median(residual)) / 1.1774) ** 2 if freedom else 0.0
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


def solve_placement(
    links: Sequence[Link],
    stage_px: Mapping[Tile, tuple[float, float]],
    *,
    model: NDArray[np.float64] | None = None,
) -> Placement:
    """Place all tiles so that measured shifts and the stage agree as well as possible.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts between neighbours.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px; every tile to be placed.
    model : ndarray, shape (2, 2), optional
        Stage model; None fits it to the links.

    Returns
    -------
    Placement

    Notes
    -----
    Weighted least squares over all tiles with a pull of every tile towards the fitted stage model,
    whose strength follows from how far links depart from it. Links have a Geman-McClure loss whose
    width shrinks from step to step (graduated non-convexity, Yang et al. 2020,
    doi:10.1109/LRA.2020.2965893); then outlying links are dropped and the system is solved once
    more. The idea of a global solution is that of Preibisch et al. 2009,
    doi:10.1093/bioinformatics/btp184.
    """
    tiles = sorted(stage_px)
    if model is None:
        model = fit_stage_model(links, stage_px)
    prior = np.array([stage_px[tile] for tile in tiles], float) @ model.T
    if not links:
        return _placement(tiles, prior, model, (), {})
    index = {tile: number for number, tile in enumerate(tiles)}
    ends = np.array([(index[link.a], index[link.b]) for link in links])
    steps, shifts, base = _link_arrays(links, stage_px)
    stage_sigma = _stage_sigma(shifts - steps @ model.T)
    positions, weights, residual = _iterate(ends, shifts, base, prior, stage_sigma)
    scale = _scale(residual)
    used = residual <= max(_OUTLIER_PX, 3 * scale)
    positions = _solve(ends[used], shifts[used], weights[used], prior, stage_sigma)
    final = tuple(
        replace(link, weight=float(weight) if keep else 0.0, used=bool(keep))
        for link, weight, keep in zip(links, weights, used, strict=True)
    )
    residual = _residuals(positions, ends, shifts)
    return _placement(tiles, positions, model, final, _tile_residuals(final, residual))


def _iterate(
    ends: NDArray[np.int64], shifts: Vector, base: Vector, prior: Vector, stage_sigma: float
) -> tuple[Vector, Vector, Vector]:
    """Solve with a loss that forgives large residuals ever less, from the stage's positions on.

    Starting from an unweighted solution instead, one wrong link in four is enough to smear its
    error over its neighbours and to look as good as they do.
    """
    positions = prior
    weights = base
    residual = _residuals(positions, ends, shifts)
    width = max(_LOSS_WIDTH_PX, 3 * float(np.median(residual)))
    for _ in range(15):
        weights = base / (1 + (residual / width) ** 2) ** 2
        positions = _solve(ends, shifts, weights, prior, stage_sigma)
        residual = _residuals(positions, ends, shifts)
        width = max(_LOSS_WIDTH_PX, width / 1.4)
    return positions, weights, residual


def _residuals(positions: Vector, ends: NDArray[np.int64], shifts: Vector) -> Vector:
    moved = positions[ends[:, 1]] - positions[ends[:, 0]]
    return np.asarray(np.linalg.norm(moved - shifts, axis=1))


def _scale(residual: Vector) -> float:
    return max(0.1, 1.4826 * float(np.median(residual)))


def _stage_sigma(departure: Vector) -> float:
    """Spread of one stage position, from the departures of differences of two."""
    # Of few links the median is small by luck at times: two thirds of them are asked as well.
    half, most = np.percentile(np.abs(departure), (50, 65))
    spread = max(1.4826 * float(half), 1.07 * float(most)) / np.sqrt(2)
    return float(np.clip(spread, *_STAGE_SIGMA_PX))


def _solve(
    ends: NDArray[np.int64], shifts: Vector, weights: Vector, prior: Vector, stage_sigma: float
) -> Vector:
    """Solve the normal equations of one re-weighting; both axes share the matrix."""
    a, b = ends.T
    links = weights / _LINK_SIGMA_PX**2
    pull = 1.0 / stage_sigma**2
    # Tiles are numbered along the rows, so no link reaches further than a row of tiles.
    band = np.zeros((int(np.abs(b - a).max(initial=0)) + 1, len(prior)))
    band[0] = pull
    right = pull * prior
    for end, sign in ((a, -1.0), (b, 1.0)):
        np.add.at(band[0], end, links)
        np.add.at(right, end, sign * links[:, None] * shifts)
    np.add.at(band, (np.abs(b - a), np.minimum(a, b)), -links)
    return np.asarray(solveh_banded(band, right, lower=True, check_finite=False))


def _tile_residuals(links: Sequence[Link], residual: Vector) -> dict[Tile, float]:
    squares: dict[Tile, list[float]] = {}
    for link, value in zip(links, residual.tolist(), strict=True):
        if link.used:
            for tile in (link.a, link.b):
                squares.setdefault(tile, []).append(value**2)
    return {tile: float(np.sqrt(np.mean(found))) for tile, found in squares.items()}


def _placement(
    tiles: Sequence[Tile],
    positions: Vector,
    model: NDArray[np.float64],
    links: tuple[Link, ...],
    residuals: dict[Tile, float],
) -> Placement:
    rows = positions.tolist()
    return Placement(
        {tile: (row[0], row[1]) for tile, row in zip(tiles, rows, strict=True)},
        model,
        links,
        residuals,
    )


def held_out_residuals(
    links: Sequence[Link], stage_px: Mapping[Tile, tuple[float, float]], *, folds: int = 8
) -> tuple[float, float, float]:
    """Ask links that were left out which positions explain them best.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.
    folds : int
        Each link is left out once, one part of the links at a time.

    Returns
    -------
    (float, float, float)
        Median residual [px] of left-out links for the stage as it is, for the fitted stage
        model, and for the positions solved from the other links. Only links count whose tiles
        the others still connect: NaN where there is no such loop.
    """
    found: list[list[float]] = [[], [], []]
    for fold in range(min(folds, len(links))):
        rest = [link for number, link in enumerate(links) if number % folds != fold]
        part = _connected_parts(rest)
        tested = [
            link
            for link in links[fold::folds]
            if part.get(link.a, link.a) == part.get(link.b, link.b)
        ]
        if not tested:
            continue
        solved = solve_placement(rest, stage_px)
        for link in tested:
            step = np.subtract(stage_px[link.b], stage_px[link.a])
            moved = np.subtract(solved.positions_px[link.b], solved.positions_px[link.a])
            for column, value in zip(found, (step, solved.model @ step, moved), strict=True):
                column.append(float(np.linalg.norm(value - np.array(link.shift_px))))
    stage, model, positions = (float(np.median(f)) if f else float("nan") for f in found)
    return stage, model, positions


def _connected_parts(links: Sequence[Link]) -> dict[Tile, Tile]:
    """Name for every linked tile one tile that stands for all that are linked with it."""
    parent: dict[Tile, Tile] = {}

    def root(tile: Tile) -> Tile:
        while parent.setdefault(tile, tile) != tile:
            tile = parent[tile]
        return tile

    for link in links:
        parent[root(link.a)] = root(link.b)
    return {tile: root(tile) for tile in list(parent)}


def fit_lattice(
    positions_px: Mapping[Tile, tuple[float, float]], tile_yx: tuple[int, int]
) -> NDArray[np.float64]:
    """Summarise positions by one matrix.

    Parameters
    ----------
    positions_px : mapping
        Tile (iy, ix) -> (y, x) of its first pixel.
    tile_yx : (int, int)
        Lateral shape of a tile, the step along a direction in which there is but one tile.

    Returns
    -------
    ndarray, shape (2, 2), float64
        A of (row, col) = A (iy, ix), the lattice model of Lefebvre et al. 2017.
    """
    tiles = np.array(list(positions_px), float)
    positions = np.array(list(positions_px.values()), float)
    centred = tiles - tiles.mean(axis=0)
    ridge = np.diag(np.where(np.ptp(tiles, axis=0) == 0, 1.0, 0.0))
    right = centred.T @ (positions - positions.mean(axis=0)) + ridge @ np.diag(tile_yx)
    return np.asarray(np.linalg.solve(centred.T @ centred + ridge, right).T)
