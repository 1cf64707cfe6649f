"""Measuring the shifts of all neighbouring tiles of one slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.mosaic.chance import (
    SURE,
    Chance,
    Stranger,
    options_of,
    passing_by_chance,
    sure_from,
    turned,
)
from mosaicflow.mosaic.islands import connected_parts
from mosaicflow.mosaic.lattice import neighbours
from mosaicflow.mosaic.link import Link, Linking, LinkOption
from mosaicflow.mosaic.loops import believable, choose_by_loops
from mosaicflow.mosaic.pair_shift import search
from mosaicflow.mosaic.refining import LinkRefiner
from mosaicflow.mosaic.stage_model import fit_stage_model
from mosaicflow.mosaic.whole_tiles import WholeTiles
from mosaicflow.spread import robust_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.pair_shift import Evidence

    Tile = tuple[int, int]
    Pair = tuple[Tile, Tile]
    Image = NDArray[np.float32]
    Position = tuple[float, float]

__all__ = ["TileLinker", "search_bins"]

# Share of a tile that the first search looks beyond the expected shift. Doubled, chance reaches
# higher and each search takes twice the time; tiles further off are found by the search of whole
# tiles.
_SEARCH_FRACTION = 0.15
# Longest side of a tile in the search round the stage, and in that of whole tiles [px]. Doubled,
# a pair takes four times as long and is found no more often.
_SEARCH_PX, _WHOLE_PX = 640, 192
# Pairs of unrelated tiles that chance is learnt from: their spread is then known to 15 %.
_CHANCE_PAIRS = 24
# Candidates of a pair that loops choose from, by judgement. Doubled, nothing but time.
_MOST_OPTIONS = 6
# Excess over chance from which a match helps to learn how the stage moves, and share of what makes
# it sure from which loops may confirm it.
_FIRST, _LIKELY = 3.0, 0.5
# Spreads of the stage's steps within which a step is believed, and what is added for the pixels
# of the search [px].
_LIMIT_SPREADS, _LIMIT_LEAST_PX = 4.0, 4.0
# Largest share of a tile that a step is believed to miss: beyond, neighbours hardly overlap.
_LIMIT_SHARE = 0.4
# Width of an overlap at a coarser level from which that level helps [px of it]; half of it lets
# few pixels vote.
_LEVEL_WIDTH_PX = 20


def search_bins(tile_yx: tuple[int, int]) -> tuple[int, ...]:
    """Bins of the searches: round the stage, two coarser ones that help, and that of whole tiles.

    Parameters
    ----------
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    tuple of int
        Powers of two, ascending; the first is that of the search round the stage, the last that
        of the search of whole tiles.
    """
    longest = max(tile_yx)
    near = 1
    while longest / near > _SEARCH_PX:
        near *= 2
    bins = [near, 2 * near]
    while longest / bins[-1] > _WHOLE_PX or len(bins) < 3:
        bins.append(2 * bins[-1])
    return tuple(bins)


@dataclass(frozen=True)
class TileLinker:
    """Measures links between tiles.

    Parameters
    ----------
    features : callable
        Gives a tile as `tile_levels` shows it, at the bins that `search_bins` lists.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.
    tile_yx : (int, int)
        Lateral shape of a tile.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    fit_all : callable
        The same, for the many small steps of fits.
    bound_px : float, optional
        Largest believable departure of a shift from the fitted stage model; None lets the data
        tell.
    """

    features: Callable[[Tile], Mapping[int, Image]]
    stage_px: Mapping[Tile, Position]
    tile_yx: tuple[int, int]
    map_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]]
    fit_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]]
    bound_px: float | None = None

    def links(self, rng: np.random.Generator) -> Linking:
        """Measure all neighbouring pairs and keep those that chance does not explain.

        Every pair gives several candidates in a wide search round the stage, and in one of whole
        tiles where nothing sure was seen, or what seemed sure is refused and would have joined two
        parts. Sure pairs tell the stage model and how far the stage strays from it; within that
        distance less evidence is enough. Of several candidates those are taken that agree round
        loops.

        Parameters
        ----------
        rng : numpy.random.Generator
            Chooses the pairs that chance is learnt from.

        Returns
        -------
        Linking
        """
        pairs = neighbours(self.stage_px)
        strangers = self._strangers(rng)
        near = self._chance(strangers, self._wide_px)

        def search_wide(pair: Pair) -> tuple[list[LinkOption], float]:
            found = self._search_round(pair, np.eye(2), self._wide_px)
            return options_of(found, near, self._wide_px), _middle_ncc(found)

        wide = dict(zip(pairs, self.map_all(search_wide, pairs), strict=True))
        options = {pair: found for pair, (found, _) in wide.items()}
        whole = WholeTiles(
            self.features,
            self.stage_px,
            self.tile_yx,
            self._bins[1],
            strangers,
            self.map_all,
            self._search,
            near,
        )
        unsure = [pair for pair in pairs if _best(options[pair]) < SURE]
        far = self._far(unsure, whole)
        for pair, found in far.items():
            options[pair] = [*found, *options[pair]]
        first = {pair: o for pair in pairs for o in options[pair][:1] if o.excess >= _FIRST}
        model = fit_stage_model([_as_link(p, o) for p, o in first.items()], self.stage_px)
        limit = self._limit(first, model)
        chance = self._chance(strangers, limit) if limit > self._wide_px else near
        options = self._near(options, chance, (model, limit))
        sure = sure_from([_best(found) for found in options.values()], len(strangers))
        options = {
            pair: [o for o in found if o.excess >= _LIKELY * sure]
            for pair, found in options.items()
        }

        def look_again(refused: Iterable[Pair]) -> dict[Pair, list[LinkOption]]:
            return self._far(sorted(set(refused) - set(unsure)), whole)

        kept, again = self._believed(options, sure, look_again)
        beyond = far.keys() | again.keys()
        if len(kept) <= passing_by_chance(len(pairs)) and _best(kept) < 2 * SURE:
            kept = []
        return Linking(
            tuple(replace(k, stage_ncc=wide[k.a, k.b][1]) for k in kept),
            limit,
            sum(link.evidence >= sure for link in kept),
            sum((link.a, link.b) in beyond for link in kept),
        )

    def _believed(
        self,
        options: Mapping[Pair, list[LinkOption]],
        sure: float,
        look_again: Callable[[Iterable[Pair]], dict[Pair, list[LinkOption]]],
    ) -> tuple[list[Link], dict[Pair, list[LinkOption]]]:
        """Choose and measure links; look again where those that are refused leave parts unjoined.

        Returns the links that are believed, and what the second look found.
        """
        refiner = LinkRefiner(self.features, self.tile_yx, self._bins[0], self.fit_all)
        chosen = choose_by_loops({p: o for p, o in options.items() if o})
        links = refiner.links(chosen)
        again = look_again(_between_parts(options, believable(links, sure)))
        if again:
            added = {p: [*again.get(p, []), *o] for p, o in options.items()}
            better = choose_by_loops({p: o for p, o in added.items() if o})
            changed = {p: o for p, o in better.items() if chosen.get(p) is not o}
            links = [k for k in links if (k.a, k.b) not in changed] + refiner.links(changed)
            links.sort(key=lambda k: (k.a, k.b))
        return refiner.without_lens(believable(links, sure)), again

    @cached_property
    def _bins(self) -> tuple[int, int]:
        bins = search_bins(self.tile_yx)
        return bins[0], next(b for b in bins if max(self.tile_yx) / b <= _WHOLE_PX and b > bins[0])

    @property
    def _wide_px(self) -> float:
        return _SEARCH_FRACTION * max(self.tile_yx)

    def _expected(self, model: NDArray[np.float64], a: Tile, b: Tile) -> Position:
        y, x = model @ np.subtract(self.stage_px[b], self.stage_px[a])
        return float(y), float(x)

    def _levels(self, every: Mapping[int, Image], expected_px: Position) -> dict[int, Image]:
        """Features of a tile at the levels at which an expected overlap is wide enough."""
        near = self._bins[0]
        width = min(n - abs(d) for n, d in zip(self.tile_yx, expected_px, strict=True))
        return {
            level: every[level]
            for level in (near, 2 * near, 4 * near)
            if level in every
            and (level == near or width / level >= _LEVEL_WIDTH_PX + 1.5 * level / near)
        }

    def _search_round(
        self, pair: Pair, model: NDArray[np.float64], reach_px: float
    ) -> Evidence | None:
        a, b = pair
        tiles = (self.features(a), self.features(b))
        return self._search(tiles, self._expected(model, a, b), reach_px)

    def _search(
        self,
        tiles: tuple[Mapping[int, Image], Mapping[int, Image]],
        at: Position,
        reach_px: float,
    ) -> Evidence | None:
        first, second = (self._levels(tile, at) for tile in tiles)
        return search(first, second, at, reach_px, typical_px2=self._typical_px2(at))

    def _typical_px2(self, at: Position) -> float:
        """Area of an overlap at a shift, and of the narrowest one that is looked for at least."""
        sides = (max(n - abs(d), 8.0) for n, d in zip(self.tile_yx, at, strict=True))
        return float(np.prod(list(sides)))

    def _strangers(self, rng: np.random.Generator) -> list[Stranger]:
        """Choose pairs of tiles that show nothing in common where they would overlap."""
        tiles, pairs = sorted(self.stage_px), neighbours(self.stage_px)
        # Turned by half a turn, not even the neighbour shows on this side what a tile shows; few
        # tiles are mirrored along the overlap too.
        shape = (len(pairs), len(tiles), 1 if len(tiles) > 4 else 3)
        every = int(np.prod(shape))
        chosen = rng.choice(every, min(every, _CHANCE_PAIRS), replace=False)
        numbers = np.transpose(np.unravel_index(chosen, shape)).tolist()
        return [Stranger(pairs[n][0], pairs[n][1], tiles[k], turn) for n, k, turn in numbers]

    def _chance(self, strangers: Sequence[Stranger], reach_px: float) -> Chance:
        """Learn what evidence strangers give within several distances."""
        reaches = np.unique(np.geomspace(3, max(reach_px, 4), 8).round())

        def heights(stranger: Stranger) -> list[float] | None:
            at = self._expected(np.eye(2), stranger.a, stranger.b)
            other = turned(self.features(stranger.other), stranger.turn)
            found = self._search((self.features(stranger.a), other), at, reach_px)
            if found is None:
                return None
            return [float(found.within(at, r).max(initial=-np.inf)) for r in reaches]

        seen = [one for one in self.map_all(heights, strangers) if one is not None]
        return Chance.learnt(reaches.tolist(), seen)

    def _far(self, pairs: Sequence[Pair], whole: WholeTiles) -> dict[Pair, list[LinkOption]]:
        """Search whole tiles for pairs that nothing sure was seen of near the stage."""
        return {} if self.bound_px is not None else whole.options(pairs)

    def _limit(self, sure: Mapping[Pair, LinkOption], model: NDArray[np.float64]) -> float:
        """How far a shift may lie from the stage model, from how far sure ones do [px]."""
        if not sure:
            return min(self._wide_px, self.bound_px or np.inf)
        off = np.abs([np.subtract(o.shift_px, self._expected(model, *p)) for p, o in sure.items()])
        spread = robust_spread(off)
        free = max(2 * len(sure) - 4, 1)
        limit = _LIMIT_SPREADS * spread * (1 + 4 / free) + self._bins[0]
        limit = float(np.clip(limit, _LIMIT_LEAST_PX, _LIMIT_SHARE * max(self.tile_yx)))
        return min(limit, self.bound_px or np.inf)

    def _near(
        self,
        options: Mapping[Pair, list[LinkOption]],
        chance: Chance,
        believed: tuple[NDArray[np.float64], float],
    ) -> dict[Pair, list[LinkOption]]:
        """Judge candidates by where the stage is believed to be, and look there once more."""
        model, limit = believed

        def judged(pair: Pair) -> list[LinkOption]:
            at = self._expected(model, *pair)
            kept = []
            for option in options[pair]:
                if _apart_px(at, option) <= limit:
                    excess = chance.excess(option.height, limit)
                    option = replace(option, excess=max(excess, option.excess))
                elif self.bound_px is not None:
                    continue
                kept.append(option)
            further = limit > self._wide_px
            if further or _best(kept) < SURE:
                # Texture that repeats seems sure where the first search did not reach the truth,
                # and to be without rival: what the wider search sees again counts by that one.
                if further:
                    kept = [o for o in kept if _apart_px(at, o) > limit]
                found = self._search_round(pair, model, limit)
                kept += options_of(found, chance, limit)
            return sorted(kept, key=lambda o: -o.excess)[:_MOST_OPTIONS]

        return dict(zip(options, self.map_all(judged, list(options)), strict=True))


def _between_parts(pairs: Iterable[Pair], kept: Sequence[Link]) -> list[Pair]:
    """List the pairs whose two tiles links do not hold together."""
    part = connected_parts(kept)
    return [(a, b) for a, b in pairs if part.get(a, a) != part.get(b, b)]


def _apart_px(at: Position, option: LinkOption) -> float:
    return float(np.abs(np.subtract(at, option.shift_px)).max())


def _middle_ncc(found: Evidence | None) -> float:
    """Correlation where the stage says."""
    return (
        float("nan") if found is None else float(found.ncc[tuple(n // 2 for n in found.ncc.shape)])
    )


def _best(options: Sequence[LinkOption] | Sequence[Link]) -> float:
    values = [o.excess if isinstance(o, LinkOption) else o.evidence for o in options]
    return max(values, default=-np.inf)


def _as_link(pair: Pair, option: LinkOption) -> Link:
    y, x = option.shift_px
    return Link(*pair, (float(y), float(x)), max(option.ncc, 0.05), 1.0)
