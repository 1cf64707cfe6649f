"""Stage `estimate_illumination`: one flat field for the whole acquisition."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.correction.illumination_choice import FlatFieldChoice
    from mosaicflow.correction.illumination_samples import TileSample
    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport

__all__ = ["estimate_illumination"]

# Tiles held in memory at once, shrunk: 60 MB. Of the 200 tiles of a simulated acquisition, 160
# give the field to 0.2 % like all of them, and this stage keeps all others waiting.
_TILES = 160
# Images that the common shading is estimated from: more hardly change it.
_IMAGES = 250


def estimate_illumination(
    *,
    grids: tuple[Path, ...],
    output: Path,
    fit_max_samples: int = 2000,
    max_iterations: int = 500,
    smoothness_flatfield: float | None = None,
    clip_percentile_upper: float = 99.9,
    stitch_overlap_fraction: float = 0.2,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Estimate the static lateral shading that all tiles share.

    Parameters
    ----------
    grids : tuple of Path
        Mosaic grids of all slices.
    output : Path
        File to write (illumination.npz).
    fit_max_samples : int
        Largest number of tile images used, three of a tile; more than 160 tiles add nothing.
    max_iterations : int
        Limit of the iterations of the fit.
    smoothness_flatfield : float or None
        Weight of the smoothness of the field; empty: scaled with the data.
    clip_percentile_upper : float
        Values above this percentile of a tile are clipped before the fit [%].
    stitch_overlap_fraction : float
        Nominal overlap of neighbouring tiles, where the data has no positions.
    seed : int
        Seed of the choice of tiles.
    threads : int
        Number of tiles read at the same time.
    """
    from mosaicflow.io.report import StageReport

    report = StageReport.of("estimate_illumination", locals())

    import numpy as np

    from mosaicflow.correction.illumination import resize_field, resize_image
    from mosaicflow.correction.illumination_choice import choose_flat_field
    from mosaicflow.correction.illumination_samples import choose_tiles, neighbour_pairs
    from mosaicflow.errors import QualityError
    from mosaicflow.io.flatfields import FlatField, save_flat_field
    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.tables import natural_order
    from mosaicflow.io.threads import map_threads

    sources = [MosaicGrid(path) for path in sorted(grids, key=lambda p: natural_order(p.name))]
    chosen = choose_tiles(
        {number: grid.tiles for number, grid in enumerate(sources)},
        max(8, min(_TILES, fit_max_samples // 3)),
        np.random.default_rng(seed),
    )
    samples = _read_samples(sources, chosen, clip_percentile_upper, threads)
    if not samples:
        raise QualityError(
            f"{grids[0].parent}: none of {len(chosen)} tiles in {len(sources)} grids has contrast "
            "without saturation, expected at least one",
            remedy="run with fix_illum_enabled: false",
        )
    samples = _of_usual_shape(samples)
    images = np.concatenate([s.images for s in samples])
    pairs = neighbour_pairs(
        samples,
        _tile_fractions(sources, stitch_overlap_fraction),
        lambda function, items: map_threads(function, items, threads),
    )
    choice = choose_flat_field(
        images[:: -(-len(images) // min(fit_max_samples, _IMAGES))],
        pairs,
        smoothness=smoothness_flatfield,
        max_iterations=max_iterations,
    )
    tile_yx = sources[samples[0].grid].tile_shape[1:]
    field = FlatField(resize_field(choice.field, tile_yx), resize_image(choice.offset, tile_yx))
    save_flat_field(output, field, n_tiles=len(samples), params=report.key)
    report.metric("peak_to_valley", float(np.ptp(field.gain)), "", "range of the flat field")
    report.metric("offset_range", float(np.ptp(field.offset)), "", "range of the background")
    report.metric("n_tiles", len(samples), "", "tiles used")
    report.metric("n_overlaps", len(pairs), "", "overlaps compared")
    _describe(report, choice)
    report.write(output)


def _of_usual_shape(samples: list[TileSample]) -> list[TileSample]:
    """Leave out slices whose tiles have another shape: they get the flat field of the others."""
    usual = Counter(sample.images.shape[1:] for sample in samples).most_common(1)[0][0]
    return [sample for sample in samples if sample.images.shape[1:] == usual]


def _describe(report: StageReport, choice: FlatFieldChoice) -> None:
    if not choice.accepted:
        report.warn(
            "no flat field explains held-out overlaps better by 5 %: the tiles stay as they are"
        )
    report.metric("method", choice.method, "", "how the shading was found; none: all ones")
    residuals = {"before": choice.residual_before, "after": choice.residual_after}
    for when, residual in residuals.items():
        if math.isfinite(residual):  # not where no tiles overlap
            report.metric(f"overlap_residual_{when}", residual, "", "mean |log(a/b)|")
    report.section("candidates", choice.residuals)
    report.section("offset", choice.offset_residuals)


def _read_samples(
    sources: list[MosaicGrid],
    chosen: list[tuple[int, tuple[int, int]]],
    clip_percentile_upper: float,
    threads: int,
) -> list[TileSample]:
    from mosaicflow.correction.illumination_samples import TileSample, sample_tile, slice_bands
    from mosaicflow.io.threads import map_threads

    tiles_of: dict[int, list[tuple[int, int]]] = {}
    for grid, tile in chosen:
        tiles_of.setdefault(grid, []).append(tile)
    bands = {
        grid: slice_bands(sources[grid].read(tile) for tile in tiles[:: -(-len(tiles) // 4)])
        for grid, tiles in tiles_of.items()
    }

    def read(item: tuple[int, tuple[int, int]]) -> TileSample | None:
        grid, tile = item
        images = sample_tile(
            sources[grid].read(tile), bands[grid], clip_percentile_upper=clip_percentile_upper
        )
        return None if images is None else TileSample(grid, tile, images)

    return [sample for sample in map_threads(read, chosen, threads) if sample is not None]


def _tile_fractions(
    sources: list[MosaicGrid], overlap: float
) -> dict[int, dict[tuple[int, int], tuple[float, float]]]:
    """Give each tile's position in units of the tile's size."""
    fractions = {}
    for number, grid in enumerate(sources):
        n_y, n_x = grid.tile_shape[1:]
        known = grid.positions_px()
        step = 1.0 - overlap
        fractions[number] = {
            tile: (known[tile][0] / n_y, known[tile][1] / n_x)
            if tile in known
            else (tile[0] * step, tile[1] * step)
            for tile in grid.tiles
        }
    return fractions
