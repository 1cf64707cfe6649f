"""Searching whole tiles for pairs that are not found where the stage has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.mosaic.chance import SURE, Chance, options_of, turned
from mosaicflow.mosaic.pair_shift import search

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.chance import Stranger
    from mosaicflow.mosaic.link import LinkOption, Tile
    from mosaicflow.mosaic.pair_shift import Evidence

    Pair = tuple[Tile, Tile]
    Image = NDArray[np.float32]
    Levels = Mapping[int, Image]
    Position = tuple[float, float]

__all__ = ["WholeTiles"]

# Share of a tile that an overlap found by the search of whole tiles has, about.
_WHOLE_SHARE = 0.2
# Part of a tile by which a neighbour lies ahead at least. Doubled, tiles that overlap by 60 % are
# lost where the stage is 10 % of a tile short.
_LEAST_STEP = 0.15
# Of such a step, the part ahead against that sideways: a jump of a stage may be the larger.
# Doubled, a step of a third of a tile sideways is lost; a quarter only lets chance reach higher.
_LEAST_AHEAD = 0.5
# A neighbour that lies behind, or hardly ahead, is believed from this excess on: twice what makes a
# match sure. Such overlaps are most of a tile, so true ones reach 30; unrelated tiles reached 7.
_BEHIND = 2 * SURE
# What the camera adds to every tile, dust or a pattern, matches at no shift at all, and within so
# many pixels of the search: features are smoothed by 1 px, their match by 1.4, and 3.5 times that
# is nothing. Halved, its flank counts.
_CAMERA_PX = 5
# Candidates of a pair that are looked at closely, and excess over chance from which one is worth
# it. Overlaps of tiles that meet at a corner hardly stand out among all shifts, but clearly from
# what strangers show at their best one. Doubled, nothing but time; without, such pairs are lost.
_MOST_LOOKED_AT, _WORTH = 3, 2.0
# Strangers that are looked at closely: their spread is then known to 20 %. Where tissue does not
# repeat, true matches exceed them by ten spreads and more, false ones by less than five. From fewer
# than half nothing is learnt.
_CLOSE_STRANGERS, _FEWEST_CLOSE = 12, 6
# A candidate half as good as another of its pair, both looked at closely, is none: loops that close
# by chance would choose it. Tissue that repeats gives nearly equal ones.
_LEAST_OF_BEST = 0.5


@dataclass(frozen=True, slots=True)
class _Reached:
    """What strangers reach: ahead, anywhere, and closely at their best shift ahead."""

    ahead: Chance
    anywhere: Chance
    closely: Chance
    n_closely: int  # strangers that tell the last


@dataclass(frozen=True)
class WholeTiles:
    """Finds shifts of pairs of tiles wherever they overlap.

    Parameters
    ----------
    features : callable
        Gives a tile as `tile_levels` shows it.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.
    tile_yx : (int, int)
        Lateral shape of a tile.
    bin_px : int
        Level that is searched.
    strangers : sequence of Stranger
        Pairs that chance is learnt from.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    closely : callable
        ``closely(tiles, shift_px, reach_px)`` compares two tiles near a shift, at the level of the
        search round the stage.
    near : Chance
        What strangers reach in that search.
    """

    features: Callable[[Tile], Levels]
    stage_px: Mapping[Tile, Position]
    tile_yx: tuple[int, int]
    bin_px: int
    strangers: Sequence[Stranger]
    map_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]]
    closely: Callable[[tuple[Levels, Levels], Position, float], Evidence | None]
    near: Chance

    def options(self, pairs: Sequence[Pair]) -> dict[Pair, list[LinkOption]]:
        """List sure candidates of pairs, the best first; pairs without one are left out.

        A neighbour lies ahead. If tiles match best where it lies behind, by far, the stage jumped
        back; but not if they match best where they show the same pixels of the camera.

        Parameters
        ----------
        pairs : sequence of (Tile, Tile)
            Neighbours on the lattice.

        Returns
        -------
        dict
            Pair -> its candidates.
        """
        if not pairs:
            return {}
        chance = self._reached

        def look(pair: Pair) -> list[LinkOption]:
            close = (self._sharper(pair, option, chance) for option in self._coarse(pair, chance))
            every = {option.shift_px: option for option in close if option}
            best = sorted(every.values(), key=lambda o: -o.excess)
            compared = _with_ratios(best, chance.closely)
            return [o for o in compared if o.excess >= SURE and o.ratio >= _LEAST_OF_BEST]

        found = dict(zip(pairs, self.map_all(look, pairs), strict=True))
        return {pair: options for pair, options in found.items() if options}

    def _coarse(self, pair: Pair, chance: _Reached) -> list[LinkOption]:
        """List what may match, of all shifts."""
        a, b = (self.features(tile)[self.bin_px] for tile in pair)
        found = self._search(a, b)
        if found is None:
            return []
        best = options_of(self._ahead(found, pair), chance.ahead, self._reach_px)
        seen = [option for option in best[:_MOST_LOOKED_AT] if option.excess >= _WORTH]
        known = {option.shift_px for option in seen}
        top = options_of(found, chance.anywhere, self._reach_px)[:1]
        return [o for o in top if o.shift_px not in known and self._is_behind(o)] + seen

    def _sharper(self, pair: Pair, coarse: LinkOption, chance: _Reached) -> LinkOption | None:
        """Look closely: it must be there too, or be clearer than strangers are at their best."""
        one, other = (self.features(tile) for tile in pair)
        found = self._closely(one, other, coarse.shift_px)
        fine = next(iter(options_of(found, self.near, self._close_px)), None)
        if fine is None:
            return None
        excess = min(fine.excess, coarse.excess)
        if chance.n_closely >= _FEWEST_CLOSE:
            excess = max(excess, chance.closely.excess(fine.height, self._close_px))
        return replace(fine, excess=excess)

    def _closely(self, one: Levels, other: Levels, shift_px: tuple[int, int]) -> Evidence | None:
        at = (float(shift_px[0]), float(shift_px[1]))
        return self.closely((one, other), at, self._close_px)

    @property
    def _close_px(self) -> float:
        return 1.5 * self.bin_px + 2

    @property
    def _reach_px(self) -> float:
        return float(max(self.tile_yx))

    @cached_property
    def _reached(self) -> _Reached:
        def heights(stranger: Stranger) -> tuple[float, float, float] | None:
            one = self.features(stranger.a)
            other = turned(self.features(stranger.other), stranger.turn)
            found = self._search(one[self.bin_px], other[self.bin_px])
            if found is None:
                return None
            ahead = self._ahead(found, (stranger.a, stranger.b))
            asked = stranger in self.strangers[:_CLOSE_STRANGERS]
            close = self._closely(one, other, ahead.highest_px) if asked else None
            return ahead.highest, found.highest, -np.inf if close is None else close.highest

        seen = [one for one in self.map_all(heights, self.strangers) if one is not None]
        reaches = (self._reach_px, self._reach_px, self._close_px)
        ahead, anywhere, closely = (
            Chance.learnt([reach], [[h[i]] for h in seen]) for i, reach in enumerate(reaches)
        )
        told = [close for *_, close in seen if np.isfinite(close)]
        return _Reached(ahead, anywhere, closely, len(told))

    def _search(self, first: Image, second: Image) -> Evidence | None:
        return search(
            {self.bin_px: first},
            {self.bin_px: second},
            (0.0, 0.0),
            self._reach_px,
            typical_px2=_WHOLE_SHARE * float(np.prod(self.tile_yx)),
        )

    def _is_behind(self, option: LinkOption) -> bool:
        camera = max(map(abs, option.shift_px)) <= _CAMERA_PX * self.bin_px
        return option.excess >= _BEHIND and not camera

    def _ahead(self, found: Evidence, pair: Pair) -> Evidence:
        """Leave out shifts that few neighbours have: nearly none, backward, or mostly sideways."""
        (a, b), n = pair, self.tile_yx
        along = int(b[1] != a[1])
        at = [
            low + found.step_px * np.arange(k)
            for low, k in zip(found.first_px, found.height.shape, strict=True)
        ]
        share = [np.abs(p) / length for p, length in zip(at, n, strict=True)]
        sign = np.sign(np.subtract(self.stage_px[b], self.stage_px[a])[along]) or 1.0
        ahead = (at[along] * sign > _LEAST_STEP * n[along])[:, None]
        allowed = ahead & (share[along][:, None] > _LEAST_AHEAD * share[1 - along][None, :])
        allowed = allowed if along == 0 else allowed.T
        return replace(found, height=np.where(allowed, found.height, -np.inf))


def _with_ratios(options: Sequence[LinkOption], chance: Chance) -> list[LinkOption]:
    """Compare each candidate of a pair with the others, or with what chance gives."""
    heights = [option.height for option in options]
    rivals = [max([*heights[:i], *heights[i + 1 :], chance.means[0]]) for i in range(len(heights))]
    return [replace(o, ratio=o.height / rival) for o, rival in zip(options, rivals, strict=True)]
