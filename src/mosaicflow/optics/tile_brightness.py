"""What the brightness of single tiles leaves open of the field that all of them share.

A tilted field makes every tile differ from its neighbour by the same amount, as does brightness
that falls evenly from tile to tile. Where tiles differ at random, the differences along a row of
tiles cancel but for its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.spread import robust_spread, spread_about

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

__all__ = ["BrightnessDifference", "brightness_scores"]

# Overlaps, and tiles, beyond those that the gains of tiles explain by themselves: with fewer their
# own spread is not told. Doubled, 16 tiles do not tell it.
_FEWEST_FREE = 8
# Standard errors up to which an even fall of the tiles' brightness is the tissue's own. Doubled, a
# lamp that bleaches by 30 % over 25 tiles is not seen; halved, every second specimen bleaches.
_TISSUE = 2.0
# Over all tiles a lamp's brightness falls by at most this many standard deviations of what it
# varies by at random: 6 in the simulated case. Halved, it is told half; doubled, a specimen that
# is brighter on one side doubles the error of a lamp that hardly varies.
_LARGEST_FALL = 10.0


@dataclass(frozen=True, slots=True)
class BrightnessDifference:
    """What one overlap says of the brightness of its two tiles.

    Parameters
    ----------
    tiles : (hashable, hashable)
        Names of the two tiles.
    place : hashable
        What the overlap shares tissue with.
    levels : (float, float)
        Log of the mean brightness of either tile.
    step : (float, float)
        Position of the second less that of the first, (y, x) in tiles.
    difference : float
        Mean log ratio, first over second, that the field leaves over.
    variance : float
        Of the noise in it.
    pull : ndarray, shape (terms,), float64
        How far a difference of 1 moves the right-hand side of the field's equations.
    """

    tiles: tuple[Hashable, Hashable]
    place: Hashable
    levels: tuple[float, float]
    step: tuple[float, float]
    difference: float
    variance: float
    pull: F64


def brightness_scores(overlaps: Sequence[BrightnessDifference]) -> F64:
    """Tell by how much the brightness of tiles moves the equations of the field.

    Parameters
    ----------
    overlaps : sequence of BrightnessDifference
        All overlaps.

    Returns
    -------
    ndarray, shape (terms, terms), float64
        Expected outer product of the shift of the right-hand side.
    """
    pull = np.array([one.pull for one in overlaps])
    graph = _Graph.of(overlaps)
    of_tiles, of_pairs = _variances(overlaps, graph)
    by_tile = pull.T @ graph.ends
    scores = of_tiles * by_tile @ by_tile.T + of_pairs * pull.T @ pull
    steps = np.array([one.step for one in overlaps])
    for step, fall2 in zip(steps.T, _falls(overlaps, graph, of_tiles), strict=True):
        by_fall = pull.T @ step
        scores += fall2 * np.outer(by_fall, by_fall)
    return np.asarray(scores, np.float64)


@dataclass(frozen=True, slots=True)
class _Graph:
    """Which overlap joins which tiles: 1 at its first, -1 at its second, (overlaps, tiles)."""

    ends: F64
    inverse: F64
    names: list[Hashable]

    @classmethod
    def of(cls, overlaps: Sequence[BrightnessDifference]) -> _Graph:
        names = list(dict.fromkeys(name for one in overlaps for name in one.tiles))
        index = {name: number for number, name in enumerate(names)}
        ends = np.zeros((len(overlaps), len(names)))
        for row, one in zip(ends, overlaps, strict=True):
            row[index[one.tiles[0]]] += 1
            row[index[one.tiles[1]]] -= 1
        return cls(ends, np.asarray(np.linalg.pinv(ends), np.float64), names)

    @property
    def centred(self) -> F64:
        """Matrix that takes the mean of its own group of joined tiles off each value."""
        return np.asarray(self.inverse @ self.ends, np.float64)


def _variances(overlaps: Sequence[BrightnessDifference], graph: _Graph) -> tuple[float, float]:
    """Split how much overlaps differ into what tiles do and what single overlaps do."""
    found = np.array([one.difference for one in overlaps])
    least = float(np.mean([one.variance for one in overlaps]))
    rest = found - graph.ends @ (graph.inverse @ found)
    n_free = len(found) - round(float(np.trace(graph.centred)))
    of_pairs = least
    if n_free >= _FEWEST_FREE:
        of_pairs = max(least, robust_spread(rest) ** 2 * len(found) / n_free)
    return max((spread_about(found, 0.0) ** 2 - of_pairs) / 2, 0.0), of_pairs


def _falls(overlaps: Sequence[BrightnessDifference], graph: _Graph, of_tiles: float) -> list[float]:
    """Square by which brightness falls evenly along y and x, per tile, beyond what tissue does.

    Tissue and lamp cannot be told apart; tissue is taken to be a smooth specimen with a middle of
    its own, and to vary from tile to tile.
    """
    centred = graph.centred
    n_free = round(float(np.trace(centred))) - 5
    if n_free < _FEWEST_FREE:
        return [0.0, 0.0]
    level = dict(pair for one in overlaps for pair in zip(one.tiles, one.levels, strict=True))
    y, x = (-graph.inverse @ np.array([one.step for one in overlaps])).T
    design = centred @ np.column_stack([y, x, y**2, x**2, y * x])
    values = centred @ np.array([level[name] for name in graph.names])
    inverse = np.linalg.pinv(design)
    falls = (inverse @ values)[:2]
    rest = values - design @ (inverse @ values)
    # Tiles of one place in several slices show one tissue.
    repeated = len(overlaps) / len({one.place for one in overlaps})
    errors2 = (inverse**2).sum(axis=1)[:2] * float(rest @ rest) / n_free * repeated
    extent = np.maximum([np.ptp(y), np.ptp(x)], 1.0)
    largest2 = _LARGEST_FALL**2 * of_tiles / extent**2
    beyond = np.maximum(falls**2 - _TISSUE**2 * errors2, 0.0)
    return [float(one) for one in np.minimum(beyond, largest2)]
