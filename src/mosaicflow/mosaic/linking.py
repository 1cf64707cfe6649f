"""Measuring the shifts of all neighbouring tiles of one slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.mosaic.pair_shift import measure_shift, overlap_ncc, peak_heights
from mosaicflow.mosaic.placement import Link, fit_stage_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Tile = tuple[int, int]
    Image = NDArray[np.float32]
    Position = tuple[float, float]

__all__ = ["TileLinker", "neighbours", "nominal_positions", "reported_positions"]

# Share of a tile that the first search looks beyond the expected shift.
_SEARCH_FRACTION = 0.15
# So many pairs of unrelated tissue tell how well it matches by chance.
_CHANCE_PAIRS = 40
_CHANCE_SIGMAS = 3.0  # one in a hundred: the highest of many values has a long tail
# Share of unrelated pairs that may pass it, as it is itself learnt from few.
_CHANCE_SHARE = 0.02
# Where there is too little to learn from, this is asked of a link.
_LEAST_NCC = 0.3
_FEWEST_STRANGERS = 8


def neighbours(tiles: Iterable[Tile]) -> list[tuple[Tile, Tile]]:
    """Pair every tile with the one below and the one to the right of it, where they exist."""
    known = set(tiles)
    return [
        (tile, other)
        for tile in sorted(known)
        for other in ((tile[0] + 1, tile[1]), (tile[0], tile[1] + 1))
        if other in known
    ]


def nominal_positions(
    tiles: Iterable[Tile], tile_yx: tuple[int, int], overlap_fraction: float
) -> dict[Tile, Position]:
    """Lay tiles on an even lattice, for when nothing says where they lie."""
    step_y, step_x = (length * (1.0 - overlap_fraction) for length in tile_yx)
    return {(iy, ix): (iy * step_y, ix * step_x) for iy, ix in tiles}


def reported_positions(
    reported: Mapping[Tile, Position], nominal: Mapping[Tile, Position]
) -> dict[Tile, Position]:
    """Take the positions that the stage reports, and for the other tiles those that fit in.

    Parameters
    ----------
    reported : mapping
        Tile -> (y, x) in px, for all tiles, some or none.
    nominal : mapping
        Tile -> (y, x) on an even lattice, for all tiles.

    Returns
    -------
    dict
        A position for every tile of `nominal`; the least is the origin.
    """
    known = {tile: reported[tile] for tile in sorted(nominal) if tile in reported}
    if not known:
        return dict(nominal)
    tiles, positions = np.array(list(known), float), np.array(list(known.values()), float)
    beside = positions - [nominal[tile] for tile in known]
    middle, mean = tiles.mean(axis=0), beside.mean(axis=0)
    # How the lattice differs from the even one; not at all in a direction nothing is known of.
    lattice = np.linalg.lstsq(tiles - middle, beside - mean, rcond=None)[0]
    filled = {
        tile: known.get(tile, np.add(even, mean + np.subtract(tile, middle) @ lattice))
        for tile, even in nominal.items()
    }
    corner = np.min(list(filled.values()), axis=0)
    return {tile: (float(y - corner[0]), float(x - corner[1])) for tile, (y, x) in filled.items()}


@dataclass(frozen=True)
class TileLinker:
    """Measures links between tiles.

    Parameters
    ----------
    features : callable
        Gives the features (bands, y, x) of a tile.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px.
    tile_yx : (int, int)
        Lateral shape of a tile.
    refinement_px : float
        Largest believable departure of a shift from the fitted stage model.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    """

    features: Callable[[Tile], Image]
    stage_px: Mapping[Tile, Position]
    tile_yx: tuple[int, int]
    refinement_px: float
    map_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]]

    def links(self, rng: np.random.Generator) -> tuple[list[Link], float]:
        """Measure all neighbouring pairs and keep those that chance does not explain.

        Parameters
        ----------
        rng : numpy.random.Generator
            Chooses the pairs that chance is learnt from.

        Returns
        -------
        (list of Link, float)
            Links, and the correlation that they had to reach in the search by whole pixels. None
            are left when there are no more of them than chance lets through.
        """
        pairs = neighbours(self.stage_px)
        chance = self._chance(rng)
        first = self._measure(pairs, np.eye(2), self._wide_px)
        # A turn or scale fitted to what noise shows would displace far tiles by many pixels.
        sure = [link for link in first if link.peak_ncc >= chance.wide]
        model = fit_stage_model(sure, self.stage_px)
        near = {
            (link.a, link.b): link
            for link in first
            if np.abs(np.subtract(self._expected(model, link.a, link.b), link.shift_px)).max()
            <= self.refinement_px
        }
        again = self._measure([p for p in pairs if p not in near], model, self.refinement_px)
        near |= {(link.a, link.b): link for link in again}
        kept = [near[p] for p in pairs if p in near and near[p].peak_ncc >= chance.narrow]
        if len(kept) <= _passing_by_chance(len(pairs)):
            kept = []
        return self.map_all(self._with_stage_ncc, kept), chance.narrow

    @property
    def _wide_px(self) -> float:
        return _SEARCH_FRACTION * max(self.tile_yx)

    def _expected(self, model: NDArray[np.float64], a: Tile, b: Tile) -> Position:
        y, x = model @ np.subtract(self.stage_px[b], self.stage_px[a])
        return float(y), float(x)

    def _measure(
        self, pairs: Sequence[tuple[Tile, Tile]], model: NDArray[np.float64], reach_px: float
    ) -> list[Link]:
        def measure(pair: tuple[Tile, Tile]) -> Link | None:
            a, b = pair
            found = measure_shift(
                self.features(a), self.features(b), self._expected(model, a, b), reach_px
            )
            if found is None:
                return None
            return Link(a, b, found.shift_px, found.ncc, found.peak_ratio, found.peak_ncc)

        return [link for link in self.map_all(measure, pairs) if link is not None]

    def _with_stage_ncc(self, link: Link) -> Link:
        at = self._expected(np.eye(2), link.a, link.b)
        return replace(
            link, stage_ncc=overlap_ncc(self.features(link.a), self.features(link.b), at)
        )

    def _chance(self, rng: np.random.Generator) -> _Chance:
        """Learn what correlation unrelated tissue reaches in the same searches."""
        tiles = sorted(self.stage_px)
        every = [(*pair, tile) for pair in neighbours(self.stage_px) for tile in tiles]
        chosen = [every[i] for i in rng.permutation(len(every))[:_CHANCE_PAIRS].tolist()]

        def measure(strangers: tuple[Tile, Tile, Tile]) -> tuple[float, ...] | None:
            a, b, other = strangers
            # Turned by half a turn, not even b shows on this side what a shows.
            turned = self.features(other)[:, ::-1, ::-1]
            there = self._expected(np.eye(2), a, b)
            return peak_heights(
                self.features(a), turned, there, (self.refinement_px, self._wide_px)
            )

        found = [one for one in self.map_all(measure, chosen) if one is not None]
        near, far = (_highest([one[i] for one in found]) for i in range(2))
        wide = _LEAST_NCC if far is None else far
        # Where the stage says that tiles do not overlap, nothing is near: the wide search counts.
        return _Chance(wide if near is None else near, wide)


def _highest(heights: Sequence[float]) -> float | None:
    """Height that chance hardly ever reaches; None when too few searches saw any overlap."""
    seen = [height for height in heights if height > -1]
    if len(seen) < _FEWEST_STRANGERS:
        return None
    return float(np.mean(seen) + _CHANCE_SIGMAS * np.std(seen))


@dataclass(frozen=True, slots=True)
class _Chance:
    """Correlation that unrelated tiles hardly ever reach in a narrow and in a wide search."""

    narrow: float
    wide: float


def _passing_by_chance(n_pairs: int) -> float:
    """Most links that unrelated tiles are likely to give: the mean and 3.5 standard deviations."""
    mean = _CHANCE_SHARE * n_pairs
    return mean + 3.5 * float(np.sqrt(mean))
