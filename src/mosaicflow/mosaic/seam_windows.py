"""How two tiles disagree from place to place along their seam.

One shift per overlap cannot tell a lens that bends the image from a stage that missed; shifts of
many small windows of the same overlap can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.features import band_passed
from mosaicflow.mosaic.overlap import refine_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link, Tile
    from mosaicflow.mosaic.overlap import Refined

    Image = NDArray[np.float32]
    Point = tuple[float, float]

__all__ = ["SeamWindow", "measure_windows"]

# Side of a window: half an overlap, so that a scan which stretches shows across it, within what
# still holds speckles enough to be found again and what a bend does not yet blur [px].
_SIDE_PX = (16, 48)
# An overlap narrower than this holds no window.
_LEAST_ACROSS_PX = 8
# How far a window may lie from where its seam's shift has it, as a part of its narrow side, and at
# most [px]: lenses bend by up to three pixels at either border.
_REACH_SHARE, _REACH_PX = 0.25, 8
# Below this a window matches by chance.
_LEAST_NCC = 0.35
# Windows along one seam that are worth its reading.
_LEAST_PER_SEAM = 6


@dataclass(frozen=True, slots=True)
class SeamWindow:
    """Shift between two tiles, seen in one small part of their overlap.

    Parameters
    ----------
    a, b : (int, int)
        Lattice indices.
    at_a, at_b : (float, float)
        Middle of the window in either tile, (y, x) in px.
    shift_px : (float, float)
        Position of `b` minus position of `a` as this window shows it, (y, x).
    sigma_px : float
        Standard error per axis as the noise of the pixels alone would make it.
    ncc : float
        Correlation there.
    """

    a: Tile
    b: Tile
    at_a: Point
    at_b: Point
    shift_px: Point
    sigma_px: float
    ncc: float


def measure_windows(
    links: Sequence[Link],
    logs: Callable[[Tile], Image],
    map_all: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]],
    most: int,
) -> list[SeamWindow]:
    """Measure windows along the seams of one slice.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts between neighbours.
    logs : callable
        Gives the logarithm of a tile, shape (bands, y, x); zero where there is no data.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    most : int
        Windows wanted at most.

    Returns
    -------
    list of SeamWindow
        Those that match; in the order of the links.
    """
    every = max(1, -(-len(links) * _LEAST_PER_SEAM // most))
    # The strongest of each direction: a doubtful link would only add doubtful windows.
    chosen: list[Link] = []
    for down in (False, True):
        mine = [link for link in links if (link.b[0] != link.a[0]) is down]
        mine.sort(key=lambda link: -link.ncc)
        chosen += mine[: -(-len(mine) // every)]
    each = most // max(1, len(chosen))

    def along(link: Link) -> list[SeamWindow]:
        return _seam(link, (logs(link.a), logs(link.b)), each)

    chosen.sort(key=lambda link: (link.a, link.b))
    return [window for found in map_all(along, chosen) for window in found]


def _seam(link: Link, tiles: tuple[Image, Image], most: int) -> list[SeamWindow]:
    shift = (round(link.shift_px[0]), round(link.shift_px[1]))
    places = _places(shift, (tiles[0].shape[1], tiles[0].shape[2]), most)
    if not places:
        return []
    sides = (places[0][0].stop - places[0][0].start, places[0][1].stop - places[0][1].start)
    reach = max(2, min(_REACH_PX, int(_REACH_SHARE * min(sides))))
    here = [tiles[0][:, y, x] for y, x in places]
    there = [tiles[1][:, _moved(y, shift[0]), _moved(x, shift[1])] for y, x in places]
    first, second = band_passed(np.stack((here, there)))
    return [
        _window(link, place, shift, got)
        for place, got in zip(places, refine_windows(first, second, reach), strict=True)
        if got is not None and _is_believed(got, reach)
    ]


def _moved(part: slice, shift: int) -> slice:
    """Give the same part of an overlap in px of the second tile."""
    return slice(part.start - shift, part.stop - shift)


def _is_believed(got: Refined, reach: int) -> bool:
    near = max(abs(d) for d in got.shift_px) <= reach
    return near and got.ncc >= _LEAST_NCC and bool(np.isfinite(got.sigma_px))


def _window(
    link: Link, place: tuple[slice, slice], shift: tuple[int, int], got: Refined
) -> SeamWindow:
    y, x = ((part.start + part.stop - 1) / 2 for part in place)
    return SeamWindow(
        link.a,
        link.b,
        (y, x),
        (y - shift[0], x - shift[1]),
        (shift[0] + got.shift_px[0], shift[1] + got.shift_px[1]),
        got.sigma_px,
        got.ncc,
    )


def _places(shift: tuple[int, int], shape: tuple[int, int], most: int) -> list[tuple[slice, slice]]:
    """Lay windows of one shape over an overlap, in px of the first tile."""
    spans = [(max(0, d), min(n, n + d)) for d, n in zip(shift, shape, strict=True)]
    across = min(high - low for low, high in spans)
    if across < _LEAST_ACROSS_PX:
        return []
    side = min(max(across // 2, _SIDE_PX[0]), _SIDE_PX[1])
    counts = [max(1, round((high - low) / side)) for low, high in spans]
    long = int(spans[1][1] - spans[1][0] > spans[0][1] - spans[0][0])
    counts[long] = max(1, min(counts[long], most // counts[1 - long]))
    sides = [high - low if n == 1 else side for (low, high), n in zip(spans, counts, strict=True)]
    starts = [
        np.linspace(low, high - side, n).round().astype(int).tolist()
        for (low, high), side, n in zip(spans, sides, counts, strict=True)
    ]
    return [(slice(y, y + sides[0]), slice(x, x + sides[1])) for y in starts[0] for x in starts[1]]
