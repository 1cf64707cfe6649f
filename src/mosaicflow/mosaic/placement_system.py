"""The equations of one slice: links and the stage's steps, each with the trust it deserves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.lattice import neighbours
from mosaicflow.mosaic.link_error import LinkError
from mosaicflow.mosaic.normal_equations import Pull, StepEquations
from mosaicflow.mosaic.stage_model import StagePrior, fit_stage_model
from mosaicflow.spread import median_of, robust_spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link

    Tile = tuple[int, int]
    Position = tuple[float, float]
    Vector = NDArray[np.float64]

__all__ = ["FOLDS", "PlacementSystem"]

# Bounds of the standard deviation of a step of the stage [px]: links are no better, which alone
# could tell, and a tile further off than the upper one is as good as unknown.
_STEP_SIGMA_PX = (0.02, 500.0)
# Standard deviation of a step while too few links tell [px].
_TYPICAL_STEP_PX = 2.0
# Final width of the loss, in standard deviations of the links.
_LOSS_WIDTH = 3.0
# Spreads of places about the stage model that held-out links choose from, in steps' ones; without
# bound, errors of the stage add up from tile to tile.
_PLACE_SPREADS = (0.25, 0.5, 1.0, 2.0, 5.0, float("inf"))
# Parts of the links that are left out in turn: an eighth hardly weakens the rest.
FOLDS = 8
# Share of its trust that the stage keeps where links are to tell alone, so that islands stay put.
_HARDLY = 1e-6
# Added to a loss of 0 to 1, so that a step without one is there at all.
_NO_LOSS = 1e-9
# Evidence of a link that is worth as much as a step of the stage.
_EVEN_EVIDENCE = 4.0


@dataclass(frozen=True)
class PlacementSystem:
    """The equations of one slice, arrays in the order of its tiles and links."""

    tiles: list[Tile]
    place: Vector  # where the stage model puts the tiles
    model: NDArray[np.float64]
    ends: NDArray[np.int64]
    shifts: Vector
    precision: Vector  # of the links: inverse covariances, (n, 2, 2)
    worth: Vector  # of the links, in steps of the stage
    steps: NDArray[np.int64]  # pairs of neighbours, of which the stage tells
    moves: Vector  # what it tells of them
    step_sigma: float
    fixed: dict[int, tuple[float, float, float]]

    @classmethod
    def of(
        cls,
        links: Sequence[Link],
        stage_px: Mapping[Tile, Position],
        *,
        model: NDArray[np.float64] | None = None,
        prior: StagePrior | None = None,
        error: LinkError | None = None,
    ) -> PlacementSystem:
        """Set the equations up; a given `model` goes before that of `prior`, and before a fit.

        Without `error`, the links tell how far they err.
        """
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
            np.asarray(np.linalg.inv((error or LinkError.of(links)).covariance_px2(links))),
            np.clip(np.nan_to_num([k.evidence for k in links]) / _EVEN_EVIDENCE, 1.0, 3.0),
            steps,
            place[steps[:, 1]] - place[steps[:, 0]],
            _step_sigma(departure, prior),
            known,
        )

    @cached_property
    def equations(self) -> StepEquations:
        """Normal equations of the links, then of the stage's steps."""
        return StepEquations(np.concatenate([self.ends, self.steps]), len(self.tiles))

    @property
    def departures(self) -> Vector:
        """How far links lie from where the stage model has them [px]."""
        return self.residuals(self.place)

    @property
    def sigma(self) -> Vector:
        """Standard error per axis of the links [px]."""
        return np.asarray(np.sqrt(np.trace(np.linalg.inv(self.precision), axis1=1, axis2=2) / 2))

    def residuals(self, positions: Vector) -> Vector:
        """Say by how much every link misses its shift at these positions (tile, 2) [px]."""
        return _lengths(positions, self.ends, self.shifts)

    def scaled(self, positions: Vector) -> Vector:
        """Say the same in standard errors, each along the direction in which it misses."""
        left = positions[self.ends[:, 1]] - positions[self.ends[:, 0]] - self.shifts
        return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", left, self.precision, left)))

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
        trust, places = self.stage_trust(found, place_sigma)
        solved = self.equations.solve(
            np.concatenate([self.shifts, self.moves]),
            self.trust(weights, stage * trust),
            Pull(self.place, places, self.fixed),
        )
        # Steps leave the place of the whole open: its middle is where the stage says.
        return solved if self.fixed else solved + (self.place - solved).mean(axis=0)

    def trust(self, weights: Vector, steps: Vector) -> Vector:
        """Inverse covariances of weighted links, then of the stage's steps, shape (m, 2, 2)."""
        return np.concatenate(
            [weights[:, None, None] * self.precision, steps[:, None, None] * np.eye(2)]
        )

    def stage_trust(self, found: Vector | None, place_sigma: float) -> tuple[Vector, Vector]:
        """Say how much steps and places of the stage count: little where `found` has them off.

        Inverse variances [1 / px^2]; without `found` all count alike.
        """
        trust = np.full(len(self.steps), 1 / self.step_sigma**2)
        places = np.full(len(self.tiles), 1 / place_sigma**2)
        if found is not None:
            off = _lengths(found, self.steps, self.moves) / (3 * self.step_sigma)
            trust /= (1 + off**2) ** 2
            if np.isfinite(place_sigma):
                away = found - self.place
                away -= [median_of(part) for part in away.T]
                places /= (1 + (away**2).sum(axis=1) / (3 * place_sigma) ** 2) ** 2
        return trust, places

    def relaxed(self) -> tuple[Vector, Vector]:
        """Solve with a loss that forgives large residuals ever less.

        From the links on, tiles that jumped keep their links, which agree; from the stage's places
        on, wrong links do not smear their error over their neighbours. Of the two the one counts
        that more links, and steps of the stage, agree with.
        """
        scaled = self.scaled(self.place)
        by_links = self.solve(np.ones(len(self.ends)), stage=_HARDLY)
        starts = (
            (by_links, float(self.scaled(by_links).max())),
            (None, 3 * float(np.median(scaled))),
            (None, float(scaled.max())),
        )
        found = [self._relaxed_from(start, max(_LOSS_WIDTH, width)) for start, width in starts]
        return min(found, key=lambda one: self._loss(one[0]))

    def _relaxed_from(self, start: Vector | None, width: float) -> tuple[Vector, Vector]:
        """Narrow the loss step by step; from a start by links, jumps of the stage are forgiven."""
        positions = self.place if start is None else start
        while True:
            scaled = self.scaled(positions)
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
        links = _forgiving(self.scaled(positions))
        stage = _forgiving(_lengths(positions, self.steps, self.moves) / self.step_sigma)
        n = len(self.tiles)
        tree = _least_tree(self.steps, stage, n)
        return float((self.worth * links).sum()) + tree * len(stage) / max(n - 1, 1)

    def place_spread(self, positions: Vector, weights: Vector) -> float:
        """Choose how far the stage's places themselves are to be believed, by left-out links."""
        if weights.astype(bool).sum() < FOLDS:
            return float("inf")
        losses = []
        for spread in _PLACE_SPREADS:
            loss = 0.0
            for fold in range(FOLDS):
                part = weights.copy()
                part[fold::FOLDS] = 0
                at = self.solve(part, found=positions, place_sigma=spread * self.step_sigma)
                left = self.scaled(at)[fold::FOLDS][weights[fold::FOLDS] > 0]
                loss += float(np.log1p(left**2).sum())
            losses.append(loss)
        # Errors that add up are the weaker assumption: what is hardly better is not chosen.
        best = int(np.argmin(losses))
        clear = losses[best] < losses[-1] - 2.0
        return _PLACE_SPREADS[best] * self.step_sigma if clear else float("inf")


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
    # As `numpy.linalg.norm`, which takes twice as long for so few.
    return np.asarray(np.sqrt(np.square(moved - shifts).sum(axis=1)))


def _step_sigma(departure: Vector, prior: StagePrior | None) -> float:
    """Estimate the error of a step of the stage per axis, from links and what was known."""
    known, worth = (
        (_TYPICAL_STEP_PX, 1.0) if prior is None else (prior.step_sigma_px, max(prior.n_links, 1.0))
    )
    spread = robust_spread(departure)
    n = len(departure)
    pooled = np.sqrt((n * spread**2 + worth * known**2) / (n + worth))
    return float(np.clip(pooled, *_STEP_SIGMA_PX))
