"""Where every tile of a slice lies, from all measured shifts and the stage together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.islands import connected_parts, islands_of
from mosaicflow.mosaic.link_error import LinkError
from mosaicflow.mosaic.loops import loops_of
from mosaicflow.mosaic.placement_system import FOLDS, PlacementSystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link
    from mosaicflow.mosaic.stage_model import StagePrior

    Tile = tuple[int, int]
    Position = tuple[float, float]
    Vector = NDArray[np.float64]

__all__ = ["Placement", "held_out_residuals", "solve_placement"]

# A place with a larger standard error is not called measured [px]: links that a bent field moves
# all alike add up over a wide slice.
_MEASURED_PX = 1.0
# Standard errors beyond this [px] are those of the anchor alone, 1 000 px: no step of the lattice
# leads there, as between two tiles on the diagonal. A tenth or ten times as much changes nothing.
_ADRIFT_PX = 500.0
# Residual from which a link is dropped, in its standard deviations.
_OUTLIER = 5.0
# No link is dropped for less than this [px].
_LEAST_OUTLIER_PX = 0.5
# A link that no loop confirms may differ from the stage by so many of its steps' errors; beyond,
# it must exceed chance by so many standard deviations, and by more where there are not so many
# links that one could compare what it leaves over.
_BRIDGE_STEPS, _BRIDGE_EVIDENCE, _LONE_EVIDENCE, _MANY_LINKS = 4.0, 5.0, 8.0, 6


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
        All links, with their final weights and standard errors.
    residuals_px : dict
        Tile -> root mean square residual of its used links; absent without links.
    islands : tuple of tuple of (int, int)
        Tiles that used links hold together, the largest part first.
    sigma_px : dict
        Tile -> standard error per axis of its place relative to the largest part.
    step_sigma_px : float
        Standard deviation per axis of a step of the stage about the model, as links show it.
    """

    positions_px: dict[Tile, Position]
    model: NDArray[np.float64]
    links: tuple[Link, ...]
    residuals_px: dict[Tile, float]
    islands: tuple[tuple[Tile, ...], ...] = ()
    sigma_px: dict[Tile, float] = field(default_factory=dict)
    step_sigma_px: float = float("nan")

    @property
    def measured(self) -> frozenset[Tile]:
        """Tiles whose place in the largest part links tell, to a pixel."""
        main = self.islands[0] if self.islands else ()
        known = [tile for tile in main if self.sigma_px.get(tile, 0.0) <= _MEASURED_PX]
        return frozenset(known) if len(main) > 1 else frozenset()


def solve_placement(
    links: Sequence[Link],
    stage_px: Mapping[Tile, Position],
    *,
    model: NDArray[np.float64] | None = None,
    prior: StagePrior | None = None,
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
    prior : StagePrior, optional
        What is known of the stage besides; its model counts when `model` is None.

    Returns
    -------
    Placement

    Notes
    -----
    Weighted least squares over all tiles. The stage tells of steps between neighbours, robustly
    and as precisely as links show it to be, and of places as far as held-out links confirm it.
    Links have a Geman-McClure loss whose width shrinks from step to step (graduated
    non-convexity, Yang et al. 2020, doi:10.1109/LRA.2020.2965893); then outlying links are
    dropped and the system is solved once more. The idea of a global solution is that of Preibisch
    et al. 2009, doi:10.1093/bioinformatics/btp184.
    """
    system = PlacementSystem.of(links, stage_px, model=model, prior=prior)
    if not links:
        return _placement(system, (), system.place, np.zeros(0), float("inf"))
    return _placement(system, tuple(links), *_solved(system, links))


def _solved(system: PlacementSystem, links: Sequence[Link]) -> tuple[Vector, Vector, float]:
    """Give positions, the weights of the links, and how far places of the stage are believed."""
    positions, weights = system.relaxed()
    used = system.scaled(positions) <= _OUTLIER
    used |= system.residuals(positions) <= _LEAST_OUTLIER_PX
    used &= ~_doubtful_bridges(links, used, system.departures / system.step_sigma)
    weights = np.where(used, weights, 0.0)
    spread = system.place_spread(positions, weights)
    for _ in range(3):  # what the stage got wrong must not bend what links tell
        positions = system.solve(weights, found=positions, place_sigma=spread)
    return positions, weights, spread


def _placement(
    system: PlacementSystem,
    links: tuple[Link, ...],
    positions: Vector,
    weights: Vector,
    place_sigma: float,
) -> Placement:
    """Say of every tile where it lies, how sure, and with which links."""
    used = weights > 0
    final = tuple(
        replace(link, weight=float(w), used=bool(w > 0), sigma_px=float(s))
        for link, w, s in zip(links, weights, system.sigma, strict=True)
    )
    parts = islands_of(system.tiles, [k for k in final if k.used])
    index = {tile: number for number, tile in enumerate(system.tiles)}
    trust, places = system.stage_trust(positions, place_sigma)
    sigma = system.equations.spread(
        system.trust(weights, trust), places, [index[tile] for tile in parts[0]]
    )
    adrift = np.flatnonzero(sigma > _ADRIFT_PX)
    sigma[adrift] = _by_steps(np.array(system.tiles)[adrift], parts[0], system.step_sigma)
    sigma = np.hypot(sigma, _common_error(system.tiles, final, parts[0]))
    residual = system.residuals(positions)
    return Placement(
        {t: (float(y), float(x)) for t, (y, x) in zip(system.tiles, positions, strict=True)},
        system.model,
        final,
        _tile_residuals(final, residual[: len(final)] * used),
        parts,
        dict(zip(system.tiles, sigma.tolist(), strict=True)),
        system.step_sigma,
    )


def _by_steps(tiles: NDArray[np.int64], main: Sequence[Tile], step_sigma_px: float) -> Vector:
    """Let errors of the stage's steps add up from the nearest tile of a part."""
    steps = [np.abs(np.array(main) - tile).sum(axis=1).min() for tile in tiles]
    return np.asarray(step_sigma_px * np.sqrt(np.array(steps, float)))


def _common_error(tiles: Sequence[Tile], links: Sequence[Link], main: Sequence[Tile]) -> Vector:
    """Add up what all links of a direction err alike, from the middle of a part to each tile."""
    steps = np.array(tiles, float) - np.mean(main, axis=0)
    common = [
        max((k.common_px for k in links if int(k.b[0] == k.a[0]) == axis), default=0.0)
        for axis in (0, 1)
    ]
    return np.asarray(np.hypot(*(steps * common).T) / np.sqrt(2))


def _doubtful_bridges(
    links: Sequence[Link], used: NDArray[np.bool_], departure: Vector
) -> NDArray[np.bool_]:
    """Find links in no loop that contradict the stage without overwhelming evidence."""
    kept = {(link.a, link.b) for link, is_used in zip(links, used, strict=True) if is_used}
    in_loop = {pair for loop in loops_of(kept) for pair, _ in loop}
    enough = _BRIDGE_EVIDENCE if len(links) >= _MANY_LINKS else _LONE_EVIDENCE
    return np.array(
        [
            (link.a, link.b) not in in_loop and far > _BRIDGE_STEPS and not link.evidence >= enough
            for link, far in zip(links, departure.tolist(), strict=True)
        ]
    )


def _tile_residuals(links: Sequence[Link], residual: Vector) -> dict[Tile, float]:
    squares: dict[Tile, list[float]] = {}
    for link, value in zip(links, residual.tolist(), strict=True):
        if link.used:
            for tile in (link.a, link.b):
                squares.setdefault(tile, []).append(value**2)
    return {tile: float(np.sqrt(np.mean(found))) for tile, found in squares.items()}


def held_out_residuals(
    links: Sequence[Link], stage_px: Mapping[Tile, Position], *, folds: int = FOLDS
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
    error = LinkError.of(links)
    for fold in range(min(folds, len(links))):
        rest = [link for number, link in enumerate(links) if number % folds != fold]
        part = connected_parts(rest)
        tested = [
            link
            for link in links[fold::folds]
            if part.get(link.a, link.a) == part.get(link.b, link.b)
        ]
        if not tested:
            continue
        system = PlacementSystem.of(rest, stage_px, error=error)
        solved, *_ = _solved(system, rest)
        place_of = dict(zip(system.tiles, solved, strict=True))
        for link in tested:
            step = np.subtract(stage_px[link.b], stage_px[link.a])
            moved = place_of[link.b] - place_of[link.a]
            for column, value in zip(found, (step, system.model @ step, moved), strict=True):
                column.append(float(np.linalg.norm(value - np.array(link.shift_px))))
    stage, model, positions = (float(np.median(f)) if f else float("nan") for f in found)
    return stage, model, positions
