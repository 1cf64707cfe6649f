"""From shifts by whole pixels to links: fractions of a pixel, and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.mosaic.lens import lens_share
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.overlap import CutOverlap
from mosaicflow.mosaic.windows import window_scatter
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import LinkOption, Tile

    Pair = tuple[Tile, Tile]
    Image = NDArray[np.float32]
    Position = tuple[float, float]

__all__ = ["LinkRefiner"]

# Middles of overlaps are asked for a bent field from so many on, up to so many per direction; they
# must match so well, and a bend must be so large [px].
_FEWEST_MIDDLES, _MOST_MIDDLES = 12, 60
# Correlation of a middle strip below which it says nothing, and bend that is worth a thought [px];
# by judgement. Doubled, dim overlaps and slight bends stay as they are.
_MIDDLE_NCC, _LEAST_BEND_PX = 0.5, 0.05
# Standard errors by which the middles must differ from the whole for a bend to be believed.
_SURE_ERRORS = 4.0
# Overlaps that are measured in parts too: the median over them is then known to 15 %.
_MOST_SCATTERS = 24
# Share of what a bend moves links by that is left in doubt: scans bend otherwise than lenses.
_BEND_DOUBT = 0.5


@dataclass(frozen=True)
class LinkRefiner:
    """Measures overlaps of which the shift is known by some pixels.

    Parameters
    ----------
    features : callable
        Gives a tile as `tile_levels` shows it.
    tile_yx : (int, int)
        Lateral shape of a tile.
    bin_px : int
        Spacing of the search that found the shifts [px].
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    """

    features: Callable[[Tile], Mapping[int, Image]]
    tile_yx: tuple[int, int]
    bin_px: int
    map_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]]

    def links(self, chosen: Mapping[Pair, LinkOption]) -> list[Link]:
        """Measure each pair near its candidate; a pair that shows no maximum there is left out."""
        every = -(-len(chosen) // _MOST_SCATTERS) if chosen else 1
        work = [(*item, number % every == 0) for number, item in enumerate(chosen.items())]
        return [link for link in self.map_all(self._link, work) if link is not None]

    def _cut(
        self, pair: Pair, start: tuple[int, int], *, middle: bool = False
    ) -> CutOverlap | None:
        first, second = (self.features(tile)[0] for tile in pair)
        return CutOverlap.at(first, second, start, middle=middle)

    def _link(self, item: tuple[Pair, LinkOption, bool]) -> Link | None:
        pair, option, in_parts = item
        overlap = self._cut(pair, option.shift_px)
        got = overlap.refined(0 if self.bin_px == 1 else self.bin_px + 1) if overlap else None
        if overlap is None or got is None:
            return None
        return Link(
            *pair,
            got.shift_px,
            got.ncc,
            option.ratio,
            evidence=option.excess,
            sigma_px=got.sigma_px,
            lean=got.lean,
            scatter=window_scatter(overlap, got.shift_px) if in_parts else float("nan"),
            misfit=got.misfit,
        )

    def without_lens(self, links: Sequence[Link]) -> list[Link]:
        """Take off what a lens adds to all shifts alike, as the middles of overlaps show it.

        One figure per direction, which hardly adds noise; nothing where it is not sure. Part of it
        stays in doubt, and that doubt is the same for all links of a direction.
        """
        result = list(links)
        for axis in (0, 1):
            mine = [i for i, k in enumerate(links) if int(k.b[0] == k.a[0]) == axis]
            bend, error = self._bend([links[i] for i in mine], axis)
            if not abs(bend) > max(_SURE_ERRORS * error, _LEAST_BEND_PX):
                continue
            for i in mine:
                shift = list(links[i].shift_px)
                moved = bend * lens_share(self.tile_yx, links[i].shift_px, axis)
                shift[axis] += moved
                result[i] = replace(
                    links[i], shift_px=(shift[0], shift[1]), common_px=_BEND_DOUBT * abs(bend)
                )
        return result

    def _bend(self, links: Sequence[Link], axis: int) -> tuple[float, float]:
        """Median of middle less whole along the direction of some links, and its error [px]."""
        if len(links) < _FEWEST_MIDDLES:
            return 0.0, 0.0
        some = links[:: -(-len(links) // _MOST_MIDDLES)]
        seen = [d for d in self.map_all(self._beyond, some) if d is not None]
        if len(seen) < _FEWEST_MIDDLES:
            return 0.0, 0.0
        along = np.array(seen)[:, axis]
        middle = float(np.median(along))
        # The standard error of a median of normal values is 1.2533 that of their mean.
        return middle, 1.2533 * spread_about(along, middle) / float(np.sqrt(len(along)))

    def _beyond(self, link: Link) -> Position | None:
        """Shift of the middle of an overlap less that of the whole [px]."""
        start = (round(link.shift_px[0]), round(link.shift_px[1]))
        overlap = self._cut((link.a, link.b), start, middle=True)
        got = overlap.refined(0) if overlap else None
        if got is None or got.ncc < _MIDDLE_NCC:
            return None
        return got.shift_px[0] - link.shift_px[0], got.shift_px[1] - link.shift_px[1]
