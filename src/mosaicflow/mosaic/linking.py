"""Measuring the shifts of all neighbouring tiles of one slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.pair_shift import measure_shift, overlap_ncc
from mosaicflow.mosaic.placement import Link, fit_stage_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Tile = tuple[int, int]
    Image = NDArray[np.float32]
    Position = tuple[float, float]

__all__ = ["TileLinker", "neighbours", "nominal_positions"]

# Share of a tile that the first search looks beyond the expected shift.
_SEARCH_FRACTION = 0.15
# Pairs that do not touch tell how well unrelated tissue matches by chance.
_CHANCE_PAIRS = 40
_CHANCE_SIGMAS = 2.33  # one in a hundred
_LEAST_NCC = 0.3  # where there are too few tiles to learn it


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
    map_all: Callable[[Callable[..., Link | None], Sequence[tuple[Tile, Tile]]], list[Link | None]]

    def links(self, rng: np.random.Generator) -> tuple[list[Link], float]:
        """Measure all neighbouring pairs and keep those that chance does not explain.

        Parameters
        ----------
        rng : numpy.random.Generator
            Chooses the pairs that chance is learnt from.

        Returns
        -------
        (list of Link, float)
            Links, and the correlation that a link had to reach.
        """
        pairs = neighbours(self.stage_px)
        wide = [length * _SEARCH_FRACTION for length in self.tile_yx]
        first = self._measure(pairs, np.eye(2), max(wide))
        model = fit_stage_model(first, self.stage_px)
        near = {
            (link.a, link.b): link
            for link in first
            if np.abs(self._expected(model, link.a, link.b) - link.shift_px).max()
            <= self.refinement_px
        }
        again = self._measure([p for p in pairs if p not in near], model, self.refinement_px)
        near |= {(link.a, link.b): link for link in again}
        chance = self._chance_ncc(model, rng)
        return [near[pair] for pair in pairs if pair in near and near[pair].ncc >= chance], chance

    def _expected(self, model: NDArray[np.float64], a: Tile, b: Tile) -> NDArray[np.float64]:
        return np.asarray(model @ np.subtract(self.stage_px[b], self.stage_px[a]))

    def _measure(
        self, pairs: Sequence[tuple[Tile, Tile]], model: NDArray[np.float64], reach_px: float
    ) -> list[Link]:
        def measure(pair: tuple[Tile, Tile]) -> Link | None:
            a, b = pair
            return self._link(a, b, b, model, reach_px)

        return [link for link in self.map_all(measure, pairs) if link is not None]

    def _link(
        self, a: Tile, b: Tile, content: Tile, model: NDArray[np.float64], reach_px: float
    ) -> Link | None:
        """Measure b against a, with the image of tile `content` in the place of b."""
        y, x = self._expected(model, a, b)
        first, second = self.features(a), self.features(content)
        found = measure_shift(first, second, (float(y), float(x)), reach_px)
        if found is None:
            return None
        y, x = np.subtract(self.stage_px[b], self.stage_px[a])
        stage_ncc = overlap_ncc(first, second, (float(y), float(x)))
        return Link(a, b, found.shift_px, found.ncc, found.peak_ratio, stage_ncc)

    def _chance_ncc(self, model: NDArray[np.float64], rng: np.random.Generator) -> float:
        """Learn what correlation unrelated tiles reach in the same search."""
        pairs = neighbours(self.stage_px)
        tiles = sorted(self.stage_px)
        if len(tiles) < 9:
            return _LEAST_NCC
        strangers = {}
        for number in rng.permutation(len(pairs))[:_CHANCE_PAIRS].tolist():
            a, b = pairs[number]
            # Only tiles that touch neither: their tissue is somewhere else.
            far = [t for t in tiles if max(abs(t[0] - a[0]), abs(t[1] - a[1])) > 1]
            if far:
                strangers[a, b] = far[int(rng.integers(len(far)))]

        def measure(pair: tuple[Tile, Tile]) -> Link | None:
            return self._link(*pair, strangers[pair], model, self.refinement_px)

        found = self.map_all(measure, list(strangers))
        values = [link.ncc for link in found if link is not None]
        if len(values) < 8:
            return _LEAST_NCC
        return float(np.mean(values) + _CHANCE_SIGMAS * np.std(values))
