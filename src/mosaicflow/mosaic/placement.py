"""Where every tile of a slice lies, from all measured shifts and the stage together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.islands import connected_parts, islands_of
from mosaicflow.mosaic.lattice import neighbours
from mosaicflow.mosaic.link_error import LinkError
from mosaicflow.mosaic.loops import loops_of
from mosaicflow.mosaic.normal_equations import Pull, solve_steps, spread_of_tiles
from mosaicflow.mosaic.stage_model import fit_stage_model
from mosaicflow.spread import robust_spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link

    Tile = tuple[int, int]
    Position = tuple[float, float]
    Vector = NDArray[np.float64]

__all__ = ["Placement", "StagePrior", "held_out_residuals", "solve_placement"]

# A place with a larger standard error is not called measured [px]: links that a bent field moves
# all alike add up over a wide slice.
_MEASURED_PX = 1.0
# Bounds of the standard deviation of a step of the stage [px]: links are no better, which alone
# could tell, and a tile further off than the upper one is as good as unknown.
_STEP_SIGMA_PX = (0.02, 500.0)
# Standard deviation of a step while too few links tell [px].
_TYPICAL_STEP_PX = 2.0
# Final width of the loss, and residual from which a link is dropped, in its standard deviations.
_LOSS_WIDTH, _OUTLIER = 3.0, 5.0
# No link is dropped for less than this [px].
_LEAST_OUTLIER_PX = 0.5
# A link that no loop confirms may differ from the stage by so many of its steps' errors; beyond,
# it must exceed chance by so many standard deviations, and by more where there are not so many
# links that one could compare what it leaves over.
_BRIDGE_STEPS, _BRIDGE_EVIDENCE, _LONE_EVIDENCE, _MANY_LINKS = 4.0, 5.0, 8.0, 6
# Spreads of places about the stage model that held-out links choose from, in steps' ones; without
# bound, errors of the stage add up from tile to tile.
_PLACE_SPREADS = (0.25, 0.5, 1.0, 2.0, 5.0, float("inf"))
_FOLDS = 8
# Share of its trust that the stage keeps where links are to tell alone, so that islands stay put.
_HARDLY = 1e-6
# Added to a loss of 0 to 1, so that a step without one is there at all.
_NO_LOSS = 1e-9
# Evidence of a link that is worth as much as a step of the stage.
_EVEN_EVIDENCE = 4.0


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
    system = _System.of(links, stage_px, model, prior)
    if not links:
        return system.placement(system.place, (), np.zeros(0), float("inf"))
    positions, weights = system.relaxed()
    residual = system.residuals(positions)
    used = residual <= np.maximum(_OUTLIER * system.sigma, _LEAST_OUTLIER_PX)
    used &= ~_doubtful_bridges(links, used, system.departures / system.step_sigma)
    weights = np.where(used, weights, 0.0)
    spread = system.place_spread(positions, weights)
    for _ in range(3):  # what the stage got wrong must not bend what links tell
        positions = system.solve(weights, found=positions, place_sigma=spread)
    return system.placement(positions, tuple(links), weights, spread)


@dataclass(frozen=True, slots=True)
class _System:
    """The equations of one slice, arrays in the order of its tiles and links."""

    tiles: list[Tile]
    place: Vector  # where the stage model puts the tiles
    model: NDArray[np.float64]
    ends: NDArray[np.int64]
    shifts: Vector
    sigma: Vector  # of the links
    worth: Vector  # of the links, in steps of the stage
    steps: NDArray[np.int64]  # pairs of neighbours, of which the stage tells
    step_sigma: float
    fixed: dict[int, tuple[float, float, float]]

    @classmethod
    def of(
        cls,
        links: Sequence[Link],
        stage_px: Mapping[Tile, Position],
        model: NDArray[np.float64] | None,
        prior: StagePrior | None,
    ) -> _System:
        tiles = sorted(stage_px)
        index = {tile: number for number, tile in enumerate(tiles)}
        if model is None:
            model = prior.model if prior is not None else fit_stage_model(links, stage_px)
        place = np.array([stage_px[tile] for tile in tiles], float) @ model.T
        ends = np.array([(index[k.a], index[k.b]) for k in links], np.int64).reshape(-1, 2)
        shifts = np.array([k.shift_px for k in links], float).reshape(-1, 2)
        steps = np.array([(index[a], index[b]) for a, b in neighbours(tiles)], np.int64).reshape(
            -1, 2
        )
        departure = shifts - (place[ends[:, 1]] - place[ends[:, 0]])
        known = {index[t]: at for t, at in (prior.fixed_px if prior else {}).items() if t in index}
        return cls(
            tiles,
            place,
            model,
            ends,
            shifts,
            LinkError.of(links).sigma_px(links),
            np.array(
                [np.clip(np.nan_to_num(k.evidence) / _EVEN_EVIDENCE, 1.0, 3.0) for k in links]
            ),
            steps,
            _step_sigma(departure, prior),
            known,
        )

    @property
    def departures(self) -> Vector:
        """How far links lie from where the stage model has them [px]."""
        return self.residuals(self.place)

    def residuals(self, positions: Vector) -> Vector:
        return _lengths(positions, self.ends, self.shifts)

    def solve(
        self,
        weights: Vector,
        *,
        found: Vector | None = None,
        place_sigma: float = float("inf"),
        stage: float = 1.0,
    ) -> Vector:
        """Solve for given trust in the links; `found` tells which steps of the stage are off.

        `stage` is a factor on how much the steps of the stage count at all.
        """
        moves = self.place[self.steps[:, 1]] - self.place[self.steps[:, 0]]
        trust = np.full(len(self.steps), stage / self.step_sigma**2)
        places = np.full(len(self.tiles), 1 / place_sigma**2)
        if found is not None:
            off = _lengths(found, self.steps, moves) / (3 * self.step_sigma)
            trust /= (1 + off**2) ** 2
            if np.isfinite(place_sigma):
                away = found - self.place
                away -= np.median(away, axis=0)
                places /= (1 + (away**2).sum(axis=1) / (3 * place_sigma) ** 2) ** 2
        solved = solve_steps(
            np.concatenate([self.ends, self.steps]),
            np.concatenate([self.shifts, moves]),
            np.concatenate([weights / self.sigma**2, trust]),
            Pull(self.place, places, self.fixed),
        )
        # Steps leave the place of the whole open: its middle is where the stage says.
        return solved if self.fixed else solved + (self.place - solved).mean(axis=0)

    def relaxed(self) -> tuple[Vector, Vector]:
        """Solve with a loss that forgives large residuals ever less.

        From the links on, tiles that jumped keep their links, which agree; from the stage's places
        on, wrong links do not smear their error over their neighbours. Of the two the one counts
        that more links, and steps of the stage, agree with.
        """
        scaled = self.residuals(self.place) / self.sigma
        by_links = self.solve(np.ones(len(self.ends)), stage=_HARDLY)
        starts = (
            (by_links, float((self.residuals(by_links) / self.sigma).max())),
            (None, 3 * float(np.median(scaled))),
            (None, float(scaled.max())),
        )
        found = [self._relaxed_from(start, max(_LOSS_WIDTH, width)) for start, width in starts]
        return min(found, key=lambda one: self._loss(one[0]))

    def _relaxed_from(self, start: Vector | None, width: float) -> tuple[Vector, Vector]:
        """Narrow the loss step by step; from a start by links, jumps of the stage are forgiven."""
        positions = self.place if start is None else start
        while True:
            scaled = self.residuals(positions) / self.sigma
            weights = 1 / (1 + (scaled / width) ** 2) ** 2
            positions = self.solve(weights, found=None if start is None else positions)
            if width <= _LOSS_WIDTH:
                return positions, weights
            width = max(_LOSS_WIDTH, width / 1.4)

    def _loss(self, positions: Vector) -> float:
        """Count what disagrees; links by their evidence, as the stage may jump.

        A jump of the stage moves all tiles that come after it: every step across the border of
        the two groups then disagrees, and counts once. So steps count along the tree that
        disagrees least, for as much as all steps together.
        """
        moves = self.place[self.steps[:, 1]] - self.place[self.steps[:, 0]]
        links = _forgiving(self.residuals(positions) / self.sigma)
        stage = _forgiving(_lengths(positions, self.steps, moves) / self.step_sigma)
        n = len(self.tiles)
        tree = _least_tree(self.steps, stage, n)
        return float((self.worth * links).sum()) + tree * len(stage) / max(n - 1, 1)

    def place_spread(self, positions: Vector, weights: Vector) -> float:
        """Choose how far the stage's places themselves are to be believed, by left-out links."""
        if weights.astype(bool).sum() < _FOLDS:
            return float("inf")
        losses = []
        for spread in _PLACE_SPREADS:
            loss = 0.0
            for fold in range(_FOLDS):
                part = weights.copy()
                part[fold::_FOLDS] = 0
                at = self.solve(part, found=positions, place_sigma=spread * self.step_sigma)
                left = (self.residuals(at) / self.sigma)[fold::_FOLDS][weights[fold::_FOLDS] > 0]
                loss += float(np.log1p(left**2).sum())
            losses.append(loss)
        # Errors that add up are the weaker assumption: what is hardly better is not chosen.
        best = int(np.argmin(losses))
        clear = losses[best] < losses[-1] - 2.0
        return _PLACE_SPREADS[best] * self.step_sigma if clear else float("inf")

    def placement(
        self, positions: Vector, links: tuple[Link, ...], weights: Vector, place_sigma: float
    ) -> Placement:
        used = weights > 0
        final = tuple(
            replace(link, weight=float(w), used=bool(w > 0), sigma_px=float(s))
            for link, w, s in zip(links, weights, self.sigma, strict=True)
        )
        parts = islands_of(self.tiles, [k for k in final if k.used])
        index = {tile: number for number, tile in enumerate(self.tiles)}
        information = np.concatenate(
            [weights / self.sigma**2, np.full(len(self.steps), 1 / self.step_sigma**2)]
        )
        sigma = spread_of_tiles(
            np.concatenate([self.ends, self.steps]),
            information,
            np.full(len(self.tiles), 1 / place_sigma**2),
            [index[tile] for tile in parts[0]],
        )
        sigma = np.hypot(sigma, _common_error(self.tiles, final, parts[0]))
        residual = self.residuals(positions)
        return Placement(
            {t: (float(y), float(x)) for t, (y, x) in zip(self.tiles, positions, strict=True)},
            self.model,
            final,
            _tile_residuals(final, residual[: len(final)] * used),
            parts,
            dict(zip(self.tiles, sigma.tolist(), strict=True)),
            self.step_sigma,
        )


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


def _forgiving(off: Vector) -> Vector:
    """Loss of residuals, in standard errors: none where they vanish, 1 where they are large."""
    return np.asarray(off**2 / (off**2 + _LOSS_WIDTH**2))


def _least_tree(ends: NDArray[np.int64], loss: Vector, n: int) -> float:
    """Add up the loss along the tree, or trees, that join all tiles at the least."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    # No loss at all would mean that there is no step.
    graph = coo_array((loss + _NO_LOSS, (ends[:, 0], ends[:, 1])), shape=(n, n))
    return float(minimum_spanning_tree(graph).sum())


def _lengths(positions: Vector, ends: NDArray[np.int64], shifts: Vector) -> Vector:
    moved = positions[ends[:, 1]] - positions[ends[:, 0]]
    return np.asarray(np.linalg.norm(moved - shifts, axis=1))


def _step_sigma(departure: Vector, prior: StagePrior | None) -> float:
    """Estimate the error of a step of the stage per axis, from links and what was known."""
    known, worth = (
        (_TYPICAL_STEP_PX, 1.0) if prior is None else (prior.step_sigma_px, max(prior.n_links, 1.0))
    )
    spread = robust_spread(departure)
    n = len(departure)
    pooled = np.sqrt((n * spread**2 + worth * known**2) / (n + worth))
    return float(np.clip(pooled, *_STEP_SIGMA_PX))


def _tile_residuals(links: Sequence[Link], residual: Vector) -> dict[Tile, float]:
    squares: dict[Tile, list[float]] = {}
    for link, value in zip(links, residual.tolist(), strict=True):
        if link.used:
            for tile in (link.a, link.b):
                squares.setdefault(tile, []).append(value**2)
    return {tile: float(np.sqrt(np.mean(found))) for tile, found in squares.items()}


def held_out_residuals(
    links: Sequence[Link], stage_px: Mapping[Tile, Position], *, folds: int = _FOLDS
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
        part = connected_parts(rest)
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
