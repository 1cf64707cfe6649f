"""One estimate of a tile's shading from what tiles have in common and from their overlaps.

Overlaps tell the log field near the borders to a fraction of a percent, whatever the tissue, but
hardly anything of the middle, and nothing of patterns that repeat with the step between tiles.
The mean of many tiles tells all of the field, with an error that the spread of the tiles shows.
Neither is chosen: each counts by what it knows, and the posterior tells what is left unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.optics.tile_brightness import BrightnessDifference, brightness_scores
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.tile_basis import FieldBasis
    from mosaicflow.optics.illumination import OverlapEvidence
    from mosaicflow.optics.population import Population

    F64 = NDArray[np.float64]
    Image = NDArray[np.float32]

__all__ = ["FieldEstimate", "estimate_field"]

# Overlap places of a pair that are needed for it to take part.
_FEWEST_PLACES = 16
# As in `optics.curvature`: residual, in standard errors, from which an equation counts less.
_HUBER = 1.345
# Log field of one order that is taken for none at all, squared: 0.01 %.
_NOTHING = 1e-8
# Sweeps over field and gains, and steps of the relevance in the later ones; by judgement. Doubled,
# twice the time.
_SWEEPS, _RELEVANCE_STEPS = 6, 150
# Change of a scale's square, as a share, at which it has settled. Ten times as large, a field moves
# by a hundredth of its error; ten times less, half as many steps more.
_SETTLED = 1e-3
# Where the search for the scales starts: a tilt of 10 %, each order half of the one before. What
# nothing tells then stays smooth: from 10 % in all orders a weak vignette ends 2.5 % off, not 0.2.
_FIRST_SCALE, _DECAY = 0.1, 0.5
# Added to the freedom of an order, so that of scales that explain alike the smaller one is chosen
# (Jeffreys). With 2 a smooth lens seen by 32 tiles ends 1.2 % off, with 4 it is 0.25; simulated
# acquisitions, smooth and rough, do not tell the two apart.
_THRIFT = 4.0
# Sweeps before scales are learnt, so that they are learnt from a field that is nearly right.
_WARM_UP = 2
# Parts of a tile per axis that err alike in all pairs: as fine as an eighth of a tile.
_BLOCKS = 8
# Parts of a tile per axis at which the pairs' rests are averaged: about the spacing of their
# places, so that a speck of dust fills some. Doubled, most parts hold no place of most pairs.
_SPOTS = 32
# True over posterior error, where the field is used: 0.6 to 3.3 on simulated acquisitions. Scores
# do not see what errs alike everywhere; doubled, weak shading would be refused.
_CALIBRATION = 1.5
# The same of a field that is refused: it consists of what hardly anything tells. Halved, a spot
# in the middle of all tiles would be twice what is promised at the most.
_CALIBRATION_UNSEEN = 2.5


@dataclass(frozen=True, slots=True)
class FieldEstimate:
    """The log of a shading, and how well it is known.

    Parameters
    ----------
    log_field : ndarray, shape (y, x), float64
        Most likely log field, mean 0.
    error_of_found : float
        Expected root mean square error over the tile of what was found.
    finer : float
        Root mean square of what is finer than that: it stays, whether this field is used or not.
    size_of_true : float
        Expected root mean square of the true one: the error of no correction.
    n_tiles, n_overlaps : int
        Independent tiles and overlaps that took part.
    """

    log_field: F64
    error_of_found: float
    finer: float
    size_of_true: float
    n_tiles: int
    n_overlaps: int

    @property
    def error(self) -> float:
        """Expected root mean square error of both together."""
        return float(np.hypot(self.error_of_found, self.finer))

    @property
    def size(self) -> float:
        """Root mean square of the log field."""
        return float(np.sqrt(np.mean(self.log_field**2)))


def estimate_field(
    population: Population, overlaps: Sequence[OverlapEvidence], basis: FieldBasis
) -> FieldEstimate:
    """Weigh population and overlaps against each other, term by term.

    Parameters
    ----------
    population : Population
        What tiles have in common.
    overlaps : sequence of OverlapEvidence
        One per pair of tiles.
    basis : FieldBasis
        Which terms.

    Returns
    -------
    FieldEstimate
    """
    pairs = [
        _TilePair.of(part, basis) for part in overlaps if part.log_ratio.size >= _FEWEST_PLACES
    ]
    with np.errstate(divide="ignore"):
        information = np.where(np.isfinite(population.variance), 1 / population.variance, 0.0)
    found = np.where(information > 0, population.mean, 0.0)
    totals = basis.totals
    # Patterns with the period of the step are invisible in overlaps, and high orders are noise in
    # few tiles: an order is as large as the evidence makes likely (relevance determination).
    first = (_FIRST_SCALE * _DECAY ** (totals - 1.0)) ** 2
    scale2 = first
    covariance = np.diag(scale2)
    for sweep in range(_SWEEPS if pairs else 1):
        # The vignette itself needs no thrift.
        more = _THRIFT * ((np.arange(1, basis.order + 1) > 2) & (sweep >= _SWEEPS // 2))
        overlap = _pair_equations(pairs, found)
        doubt = _doubt(population, overlap, scale2, totals)
        known = overlap.normal + np.diag(information / doubt)
        target = overlap.right + information / doubt * population.mean
        # Afresh each time: a scale that an early sweep made nothing would stay nothing.
        scale2 = first.copy()
        for _ in range(_RELEVANCE_STEPS if sweep >= _WARM_UP else 1):
            covariance = np.linalg.inv(known + np.diag(1 / scale2))
            found = covariance @ target
            size = found**2 + np.diag(covariance)
            per_order = np.bincount(totals, size)[1:] / (np.bincount(totals)[1:] + more)
            # A lower order is no smaller than a higher one: overlaps often tell only a mixture of
            # them, and a sparse choice would be sure of itself without reason.
            falling = np.maximum.accumulate(np.maximum(_NOTHING, per_order)[::-1])[::-1]
            last, scale2 = scale2, falling[totals - 1]
            if np.abs(scale2 / last - 1).max() < _SETTLED:
                break
    field = (found @ basis.images()).reshape(basis.shape_yx)
    inside, brightness = (overlap.worth**2 * one for one in _spread_of_scores(pairs, found))
    inside += np.diag(information / doubt + 1 / scale2)
    variance, of_brightness = (
        float(np.trace(covariance @ one @ covariance)) for one in (inside, brightness)
    )
    finer = _CALIBRATION * _left_alike(pairs, found)
    of_found = float(np.sqrt(_CALIBRATION**2 * variance + of_brightness))
    unseen = _CALIBRATION_UNSEEN**2 * (variance + of_brightness)
    of_true = np.sqrt((found**2).sum() + unseen + finer**2)
    return FieldEstimate(
        log_field=field - field.mean(),
        error_of_found=of_found,
        finer=finer,
        size_of_true=float(of_true),
        n_tiles=population.n_groups if information.any() else 0,
        n_overlaps=len(pairs),
    )


@dataclass(frozen=True, slots=True)
class _TilePair:
    """Design and log ratio of one overlap, what it shares tissue with, and where its places lie."""

    matrix: F64
    ratio: F64
    evidence: OverlapEvidence
    step: tuple[float, float]
    block: NDArray[np.int64]
    spot: NDArray[np.int64]

    @property
    def place(self) -> Hashable:
        """What the overlap shares tissue with: itself at the least."""
        return id(self) if self.evidence.place is None else self.evidence.place

    @classmethod
    def of(cls, part: OverlapEvidence, basis: FieldBasis) -> _TilePair:
        step_y, step_x = (
            float(np.mean(a - b)) / length
            for a, b, length in zip(part.first, part.second, basis.shape_yx, strict=True)
        )
        beside = int(abs(step_x) > abs(step_y))

        def parts(n: int) -> NDArray[np.int64]:
            row, column = (
                np.clip(axis * n / length, 0, n - 1).astype(np.int64)
                for axis, length in zip(part.first, basis.shape_yx, strict=True)
            )
            return np.asarray((beside * n + row) * n + column)

        matrix = basis.at(*part.first) - basis.at(*part.second)
        step = (step_y, step_x)
        return cls(matrix, part.log_ratio, part, step, parts(_BLOCKS), parts(_SPOTS))


@dataclass(frozen=True, slots=True)
class _Equations:
    """Normal equations of the overlaps, and what whole overlaps are worth in them."""

    normal: F64
    right: F64
    worth: float


@dataclass(frozen=True, slots=True)
class _Weights:
    """How much the places of each overlap count, and its brightness, for given residuals."""

    rests: list[F64]
    places: list[F64]
    between: float

    @classmethod
    def of(cls, pairs: Sequence[_TilePair], found: F64) -> _Weights:
        rests = [pair.ratio - found @ pair.matrix for pair in pairs]
        inner = [rest - np.median(rest) for rest in rests]
        noise = max(spread_about(np.concatenate(inner), 0.0), 1e-6)
        trust = _trust_of_spots(pairs, rests)
        places = [
            trust[pair.spot] / np.maximum(1, np.abs(one) / (_HUBER * noise)) / noise**2
            for pair, one in zip(pairs, inner, strict=True)
        ]
        return cls(rests, places, _between_pairs(rests, noise))

    def kept(self, weights: F64) -> float:
        """Weight of an overlap's own brightness, which is a random effect."""
        return float(self.between / (1 + self.between * weights.sum()))


def _pair_equations(pairs: Sequence[_TilePair], found: F64) -> _Equations:
    """Put all overlaps together, scaled by what whole pairs turn out to be worth.

    Places of one pair err together: its tiles differ in brightness by a constant, which is a
    random effect, and tissue that moved or blurred spoils all of it, which shows in the scores.
    """
    n_terms = len(found)
    normal, right = np.zeros((n_terms, n_terms)), np.zeros(n_terms)
    if not pairs:
        return _Equations(normal, right, 1.0)
    all_weights = _Weights.of(pairs, found)
    scores: dict[Hashable, F64] = {}
    for pair, rest, weights in zip(pairs, all_weights.rests, all_weights.places, strict=True):
        kept = all_weights.kept(weights)
        weighted = pair.matrix * weights
        mean = weighted.sum(axis=1)
        normal += weighted @ pair.matrix.T - kept * np.outer(mean, mean)
        right += weighted @ pair.ratio - kept * mean * (weights @ pair.ratio)
        score = weighted @ rest - kept * (weights @ rest) * mean
        scores[pair.place] = scores.get(pair.place, 0) + score
    values, vectors = np.linalg.eigh(normal)
    good = values > 1e-4 * values.max()
    spoilt = ((np.array(list(scores.values())) @ vectors[:, good]) ** 2).sum(axis=0)
    worth = 1 / max(float(np.mean(spoilt / values[good])), 1.0)
    return _Equations(worth * normal, worth * right, worth)


def _spread_of_scores(pairs: Sequence[_TilePair], found: F64) -> tuple[F64, F64]:
    """Sum of squares of the overlaps' scores: inside them, and by the brightness of tiles.

    Inside, that is what errs alike in a whole pair, and at one part of the tile in all pairs:
    where the true field is finer than the basis, or depths do not match.
    """
    n_terms = len(found)
    if not pairs:
        return np.zeros((n_terms, n_terms)), np.zeros((n_terms, n_terms))
    all_weights = _Weights.of(pairs, found)
    scores: dict[Hashable, F64] = {}
    common = np.zeros((n_terms, 2 * _BLOCKS**2))
    brightness = []
    for number, (pair, rest, weights) in enumerate(
        zip(pairs, all_weights.rests, all_weights.places, strict=True)
    ):
        kept = all_weights.kept(weights)
        weighted = pair.matrix * weights
        mean = weighted.sum(axis=1)
        difference = float(weights @ rest / weights.sum())
        inner = rest - difference
        scores[pair.place] = scores.get(pair.place, 0) + weighted @ inner
        inside = (pair.matrix - kept * mean[:, None]) * weights
        common += (inside * inner) @ (pair.block[:, None] == np.arange(common.shape[1]))
        brightness.append(
            BrightnessDifference(
                pair.evidence.tiles or ((number, 0), (number, 1)),
                pair.place,
                pair.evidence.levels,
                pair.step,
                difference,
                float(1 / weights.sum()),
                mean * (1 - kept * weights.sum()),
            )
        )
    of_pairs = np.array(list(scores.values()))
    return of_pairs.T @ of_pairs + common @ common.T, brightness_scores(brightness)


def _trust_of_spots(pairs: Sequence[_TilePair], rests: Sequence[F64]) -> F64:
    """Say how much the parts of a tile count: a speck of dust spoils the same ones in all pairs."""
    total, count = _spot_sums(pairs, rests)
    seen = count > 0
    if not seen.any():
        return np.ones(len(count))
    # In standard errors, so that a part that few pairs show is not doubted for their noise.
    size = total / np.sqrt(np.maximum(count, 1))
    scale = max(spread_about(size[seen], float(np.median(size[seen]))), 1e-9)
    return np.asarray(1 / np.maximum(1, np.abs(size) / (_HUBER * scale)))


def _spot_sums(pairs: Sequence[_TilePair], rests: Sequence[F64]) -> tuple[F64, F64]:
    """Add up what pairs leave over, less their own mean, and count it, at each part of a tile."""
    spots = np.concatenate([pair.spot for pair in pairs])
    inner = np.concatenate([rest - np.median(rest) for rest in rests])
    n = 2 * _SPOTS**2
    total = np.bincount(spots, weights=inner, minlength=n).astype(np.float64)
    return total, np.bincount(spots, minlength=n).astype(np.float64)


def _left_alike(pairs: Sequence[_TilePair], found: F64) -> float:
    """Estimate how far the true field departs from the found one finer than the terms can tell.

    What two halves of the overlaps leave over alike, at the same part of the tile, is no noise
    of theirs: root mean square, as a log field; 0 where there are too few.
    """
    labels = [pair.place for pair in pairs]
    half = {label: number % 2 for number, label in enumerate(dict.fromkeys(labels))}
    sums = []
    for side in (0, 1):
        mine = [p for p, label in zip(pairs, labels, strict=True) if half[label] == side]
        if not mine:
            return 0.0
        sums.append(_spot_sums(mine, [p.ratio - found @ p.matrix for p in mine]))
    (first, n_first), (second, n_second) = sums
    both = (n_first > 0) & (n_second > 0)
    if both.sum() < _FEWEST_PLACES:
        return 0.0
    alike = float(np.mean(first[both] * second[both] / (n_first[both] * n_second[both])))
    # Both ends of an overlap depart, each by itself.
    return float(np.sqrt(max(alike, 0.0) / 2))


def _between_pairs(rests: Sequence[F64], noise: float) -> float:
    """Variance of the tiles' difference in brightness, beyond what noise makes of their means."""
    means = np.array([np.median(rest) for rest in rests])
    chance = np.mean([noise**2 / len(rest) for rest in rests])
    return max(float(spread_about(means, float(np.median(means))) ** 2 - chance), 1e-10)


def _doubt(
    population: Population,
    overlap: _Equations,
    scale2: NDArray[np.floating],
    totals: NDArray[np.int64],
) -> F64:
    """By how much population and overlaps differ more than both expect, as a variance ratio.

    The outline of the specimen can darken the same sides of most tiles: then tiles are not the
    independent draws that their spread speaks of. Told per order, from the terms that overlaps
    know better than the population does.
    """
    normal, right = overlap.normal, overlap.right
    doubt = np.ones(len(totals))
    if not np.isfinite(population.variance).all() or not normal.any():
        return doubt
    covariance = np.linalg.inv(normal + np.diag(1 / scale2))
    variance = np.diag(covariance)
    ratio = (covariance @ right - population.mean) ** 2 / (population.variance + variance)
    told = variance < population.variance
    for total in np.unique(totals):
        at = told & (totals == total)
        if at.any():
            doubt[totals == total] = max(1.0, float(ratio[at].mean()))
    return doubt
