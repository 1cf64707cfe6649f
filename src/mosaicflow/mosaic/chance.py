"""How well tiles match that have nothing to do with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr, stdtrit

from mosaicflow.mosaic.link import LinkOption
from mosaicflow.mosaic.pair_shift import find_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Tile
    from mosaicflow.mosaic.pair_shift import Evidence

    Image = NDArray[np.float32]

__all__ = ["SURE", "Chance", "Stranger", "options_of", "passing_by_chance", "sure_from", "turned"]

# Excess over chance from which a match stands alone, where all pairs may be unrelated.
SURE = 4.0
# It never falls below this, which 22 pairs reach of which none looks unrelated. Else the share of
# false links would grow with the slice, to one in eight of what is unrelated among 900 pairs.
_LEAST_SURE = 3.0
# Peaks of a pair that are kept, by judgement. Doubled, twice the time of fitting them.
_MOST_CANDIDATES = 6
# A candidate without rival is as good as this many times better than the next.
_MOST_RATIO = 10.0

# Mean and spread of the highest evidence of unrelated tiles of speckle, for where there are too few
# strangers to learn from.
_TYPICAL_MEAN, _TYPICAL_SPREAD = 0.13, 0.04
# Pairs of strangers that tell how alike chance makes tiles, by judgement. Doubled, small lattices
# have no such scale.
_FEWEST_STRANGERS = 6
# Least standard deviation of a chance correlation: that of 10 000 independent pixels. Doubled,
# evidence halves where there is most of it.
_LEAST_SPREAD = 0.01
# Share of unrelated pairs that may look sure, as that is itself learnt from few.
_CHANCE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Chance:
    """Highest evidence that strangers reach within several distances of the expected shift.

    Parameters
    ----------
    reaches_px : tuple of float
        Distances, ascending.
    means, spreads : tuple of float
        Mean and standard deviation, over the strangers, of the highest evidence within each.
    """

    reaches_px: tuple[float, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    @classmethod
    def learnt(cls, reaches_px: Sequence[float], heights: Sequence[Sequence[float]]) -> Chance:
        """Learn from strangers: one row of heights per pair, one column per distance."""
        table = np.array(heights, dtype=np.float64).reshape(-1, len(reaches_px))
        means, spreads = [], []
        for column in table.T:
            seen = column[np.isfinite(column)]
            if len(seen) < _FEWEST_STRANGERS:
                means.append(_TYPICAL_MEAN)
                spreads.append(_TYPICAL_SPREAD)
            else:
                means.append(float(seen.mean()))
                # The spread of few is itself uncertain, by its share over the root of 2 n.
                spread = float(seen.std()) * (1 + 1 / np.sqrt(2 * len(seen)))
                spreads.append(max(spread, _LEAST_SPREAD))
        return cls(tuple(map(float, reaches_px)), tuple(means), tuple(spreads))

    def excess(self, height: float, reach_px: float) -> float:
        """By how many standard deviations evidence exceeds what chance gives within a distance."""
        at = np.log(max(reach_px, 1.0))
        reaches = np.log(self.reaches_px)
        mean = float(np.interp(at, reaches, self.means))
        return (height - mean) / float(np.interp(at, reaches, self.spreads))


@dataclass(frozen=True, slots=True)
class Stranger:
    """Two tiles that show nothing in common: a tile and, where a neighbour belongs, another one.

    Parameters
    ----------
    a, b : (int, int)
        The tile, and the neighbour in whose place the other one is put.
    other : (int, int)
        The other one.
    turn : int
        How it is turned, as `turned` counts.
    """

    a: Tile
    b: Tile
    other: Tile
    turn: int


def turned(levels: Mapping[int, Image], turn: int) -> dict[int, Image]:
    """Turn a tile by half a turn (0), or mirror it (1, 2)."""
    flips = ((-1, -1), (-1, 1), (1, -1))[turn]
    return {level: image[:, :: flips[0], :: flips[1]] for level, image in levels.items()}


def options_of(found: Evidence | None, chance: Chance, reach_px: float) -> list[LinkOption]:
    """List the candidates of a search, the best first, judged by what chance gives within it.

    Parameters
    ----------
    found : Evidence or None
        The search.
    chance : Chance
        What strangers reach.
    reach_px : float
        How far the search reached.

    Returns
    -------
    list of LinkOption
    """
    if found is None:
        return []
    seen = find_candidates(found, _MOST_CANDIDATES)
    options = []
    for candidate in seen:
        rival = max((c.height for c in seen if c is not candidate), default=0.0)
        options.append(
            LinkOption(
                candidate.shift_px,
                chance.excess(candidate.height, reach_px),
                candidate.height,
                candidate.ncc,
                min(candidate.height / max(rival, 1e-6), _MOST_RATIO),
            )
        )
    return options


def sure_from(best: Sequence[float], n_strangers: int) -> float:
    """Say from which excess on a match stands alone, by how many pairs may be unrelated.

    Where hardly a pair looks like strangers, hardly one can be mistaken: tissue whose strangers
    are alike, such as round cores, has true matches that chance alone could give now and then.

    Parameters
    ----------
    best : sequence of float
        Excess of the best candidate of each pair.
    n_strangers : int
        Pairs that chance was learnt from.

    Returns
    -------
    float
        `SURE` at most; less, to three quarters of it, as far as no more false links are to be
        expected than if all pairs were unrelated and judged by that.

    Notes
    -----
    Half of all unrelated pairs lie below the mean of strangers (J. D. Storey, "A direct approach
    to false discovery rates", J. R. Stat. Soc. B 64 (2002), doi:10.1111/1467-9868.00346); one more
    is added, as seeing none does not mean that there is none. What strangers tell of their spread
    gives Student's distribution.
    """
    unrelated = 2 * (sum(excess < 0 for excess in best) + 1)
    freedom = max(n_strangers - 1, 1)
    false_share = stdtr(freedom, -SURE) * max(len(best) / unrelated, 1.0)
    return max(float(-stdtrit(freedom, false_share)), _LEAST_SURE)


def passing_by_chance(n_pairs: int) -> float:
    """Most links that unrelated tiles are likely to give: the mean and 3.5 standard deviations."""
    mean = _CHANCE_SHARE * n_pairs
    return mean + 3.5 * float(np.sqrt(mean))
