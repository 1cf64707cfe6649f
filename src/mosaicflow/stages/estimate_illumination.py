"""Stage `estimate_illumination`: one flat field and field curvature for the acquisition."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.limits import FROM_0, FROM_1
from mosaicflow.measures import Measure, each
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._options import Overlap, Percentile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.flatfields import FlatField
    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport
    from mosaicflow.optics.curvature import FieldCurvature
    from mosaicflow.optics.illumination import OverlapPair
    from mosaicflow.optics.illumination_choice import DepthChange, FlatFieldChoice
    from mosaicflow.optics.illumination_samples import TileSample

__all__ = ["estimate_illumination"]

# Tiles held in memory at once, shrunk: 30 MB. Of the 200 tiles of a simulated acquisition, 80
# give the field to 0.2 % like all of them, and this stage keeps all others waiting.
_TILES = 80
# Images that the population is taken from: more hardly change it.
_IMAGES = 400
# Tiles that the curvature is measured in: 36 give it to 3 %, at 12 MB each.
_CURVATURE_TILES = 40


METRICS = (
    Measure("n_tiles", "tiles used"),
    Measure("n_overlaps", "overlaps compared"),
    Measure("method", "how the shading was found; none: all ones"),
    Measure("peak_to_valley", "range of the flat field"),
    Measure("offset_range", "range of the background"),
    Measure(
        "flat_field_error",
        "expected root mean square error of the flat field",
        "%",
        warning=3.0,
        error=10.0,
    ),
    Measure("population_tiles", "independent tiles behind the field"),
    *each("overlap_residual_{}", ("before", "after"), "mean |log(a/b)|, held out"),
    Measure("depth_change_used", "whether the field changes with depth"),
    Measure("depth_change", "change of the field, middle to deepest plane", "%"),
    Measure("depth_change_error", "its expected error", "%"),
    Measure("curvature_used", "whether bands follow the curvature"),
    Measure("curvature", "its range", "planes"),
    Measure("curvature_error", "its standard error, rms", "planes"),
    *each("depth_shift_{}", ("before", "after"), "mean |shift| of held-out overlaps", "planes"),
)


@stage(
    "run",
    label="pool",
    title="Flat field",
    icon="lightbulb",
    makes=(names.ILLUMINATION, names.CURVATURE),
    metrics=METRICS,
)
def estimate_illumination(
    report: StageReport,
    *,
    grids: Annotated[tuple[Path, ...], Reads(names.GRID)],
    output: Path,
    fit_max_samples: Annotated[int, FROM_1] = 2000,
    clip_percentile_upper: Percentile = 99.9,
    stitch_overlap_fraction: Overlap = 0.2,
    seed: Annotated[int, FROM_0] = 0,
    threads: int = 1,
) -> None:
    """Estimate the static shading that all tiles share, and the curvature of their depth scale.

    Writes focal_curvature.json (of illumination_cN.npz: focal_curvature_cN.json) beside the output
    where overlaps show a curvature beyond doubt.

    Parameters
    ----------
    grids : tuple of Path
        Mosaic grids of all slices, at native pitch.
    output : Path
        File to write (illumination.npz).
    fit_max_samples : int
        Largest number of tile images used, three of a tile; more than 80 tiles add nothing.
    clip_percentile_upper : float
        Values above this percentile of a tile are clipped before the fit [%].
    stitch_overlap_fraction : float
        Nominal overlap of neighbouring tiles, where the data has no positions.
    seed : int
        Seed of the choice of tiles.
    threads : int
        Number of tiles read at the same time.
    """
    import numpy as np

    from mosaicflow.io.flatfields import save_flat_field
    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.tables import natural_order
    from mosaicflow.optics.illumination_samples import choose_tiles, neighbour_pairs
    from mosaicflow.threads import map_threads

    paths = sorted(grids, key=lambda p: natural_order(p.name))
    sources = [MosaicGrid(path) for path in paths]
    tiles = {number: grid.tiles for number, grid in enumerate(sources)}
    most = max(8, min(_TILES, fit_max_samples // 3))
    chosen = choose_tiles(tiles, most, np.random.default_rng(seed))
    fractions = _tile_fractions(sources, stitch_overlap_fraction)
    curvature = _curvature(
        sources,
        choose_tiles(tiles, _CURVATURE_TILES, np.random.default_rng(seed)),
        fractions,
        threads,
    )
    samples = _read_samples(sources, chosen, clip_percentile_upper, curvature, threads)
    if not samples:
        _leave_as_is(output, sources, len(chosen), report)
        return
    ids = [names.parse_slice_id(path.name) for path in paths]
    samples = _each_picture_once(_of_usual_shape(samples), ids, report)
    pairs = neighbour_pairs(
        samples, fractions, lambda function, items: map_threads(function, items, threads)
    )
    choice, change = _estimate(samples, pairs)
    source = sources[samples[0].grid]
    field = _flat_field(choice, change, curvature, source)
    save_flat_field(output, field, n_tiles=len(samples))
    if curvature is not None and curvature.kept:
        part = names.split_channel(output.name)[1]
        name = names.channel_name(names.CURVATURE.of(), part)
        _write_curvature(output.with_name(name), field, curvature)
    report.metric("n_tiles", len(samples))
    report.metric("n_overlaps", len(pairs))
    _describe(report, field, choice)
    _describe_depth(report, change, curvature)
    report.write(output)


def _leave_as_is(
    output: Path, sources: list[MosaicGrid], n_chosen: int, report: StageReport
) -> None:
    """Write a field of ones: a channel that shows nothing must not end the run of the others."""
    import numpy as np

    from mosaicflow.io.flatfields import FlatField, save_flat_field

    shape = Counter(source.tile_shape[1:] for source in sources).most_common(1)[0][0]
    zeros = np.zeros(shape, np.float32)
    save_flat_field(output, FlatField(zeros + 1, zeros, zeros, zeros), n_tiles=0)
    report.warn(
        f"none of {n_chosen} tiles in {len(sources)} grids has contrast without saturation: "
        "no shading could be measured, the tiles stay as they are",
        Concern.NO_CONTRAST,
    )
    report.metric("n_tiles", 0)
    report.metric("method", "none")
    report.write(output)


def _estimate(
    samples: list[TileSample], pairs: list[OverlapPair]
) -> tuple[FlatFieldChoice, DepthChange | None]:
    import numpy as np

    from mosaicflow.optics.illumination_choice import choose_depth_change, choose_flat_field

    images = np.concatenate([s.images for s in samples])
    every = -(-len(images) // _IMAGES)
    groups = [s.tile for s in samples for _ in s.images]
    choice = choose_flat_field(images[::every], pairs, groups=groups[::every])
    if choice.offset.any():  # what adds to the signal would pass for a change with depth
        return choice, None
    change = choose_depth_change(
        [s.images for s in samples],
        [s.depths for s in samples],
        pairs,
        groups=[s.tile for s in samples],
    )
    return choice, change


def _flat_field(
    choice: FlatFieldChoice,
    change: DepthChange | None,
    curvature: FieldCurvature | None,
    source: MosaicGrid,
) -> FlatField:
    """Bring everything to the native tile; the flat field itself to middle depth."""
    import numpy as np

    from mosaicflow.io.flatfields import FlatField
    from mosaicflow.optics.illumination import resize_field, resize_image, unit_mean

    tile_yx = source.tile_shape[1:]
    gain, changed = choice.field, np.zeros_like(choice.field)
    if change is not None:
        changed = change.change
        gain = unit_mean(gain * np.exp(np.float32(-change.at) * changed))
    planes = np.zeros(tile_yx, np.float32) if curvature is None else curvature.planes
    return FlatField(
        resize_field(gain, tile_yx),
        resize_image(choice.offset, tile_yx),
        resize_image(changed, tile_yx),
        np.asarray(planes * source.pitch_mm[0] * 1000, np.float32),
    )


def _curvature(
    sources: list[MosaicGrid],
    chosen: list[tuple[int, tuple[int, int]]],
    fractions: dict[int, dict[tuple[int, int], tuple[float, float]]],
    threads: int,
) -> FieldCurvature | None:
    """Measure the curvature of the field where tiles have enough depth."""
    from mosaicflow.optics.curvature import block_profiles, field_curvature
    from mosaicflow.threads import map_threads

    shapes = Counter(sources[grid].tile_shape for grid, _ in chosen)
    if not shapes:
        return None
    shape = shapes.most_common(1)[0][0]
    chosen = [one for one in chosen if sources[one[0]].tile_shape == shape]
    if shape[0] == 1:
        return None

    def profile(one: tuple[int, tuple[int, int]]) -> NDArray[np.float32] | None:
        return block_profiles(sources[one[0]].read(one[1]))

    profiles = map_threads(profile, chosen, threads)
    positions_px = {
        grid: {tile: (y * shape[1], x * shape[2]) for tile, (y, x) in places.items()}
        for grid, places in fractions.items()
    }
    return field_curvature(dict(zip(chosen, profiles, strict=True)), positions_px, shape[1:])


def _write_curvature(path: Path, field: FlatField, curvature: FieldCurvature) -> None:
    from mosaicflow.io.tables import write_document
    from mosaicflow.optics.focal import curvature_terms

    largest = float(curvature.planes.max())
    plane_um = float(field.curvature_um.max()) / largest
    found = {
        "terms_um": curvature_terms(field.curvature_um),
        "range_um": largest * plane_um,
        "error_um": curvature.error * plane_um,
        "n_blocks": curvature.n_blocks,
    }
    write_document(path, found)


def _of_usual_shape(samples: list[TileSample]) -> list[TileSample]:
    """Leave out slices whose tiles have another shape: they get the flat field of the others."""
    usual = Counter(sample.images.shape[1:] for sample in samples).most_common(1)[0][0]
    return [sample for sample in samples if sample.images.shape[1:] == usual]


def _each_picture_once(
    samples: list[TileSample], ids: list[int], report: StageReport
) -> list[TileSample]:
    """Leave out tiles of a camera that stood still: their tissue would pass for the light's."""
    first: dict[bytes, TileSample] = {}
    again = [one for one in samples if first.setdefault(one.images.tobytes(), one) is not one]
    if again:
        where = sorted({ids[one.grid] for one in again})
        report.warn(
            f"slice{'s' * (len(where) > 1)} {', '.join(map(str, where))}: {len(again)} of all "
            f"{len(samples)} tiles show exactly the picture of another tile: each picture counts "
            "once for the flat field",
            Concern.REPEATED_TILES,
        )
    return list(first.values())


def _describe(report: StageReport, field: FlatField, choice: FlatFieldChoice) -> None:
    if not choice.accepted:
        report.warn(
            "no shading was found beyond twice its own error: the tiles stay as they are",
            Concern.NO_SHADING,
        )
    report.metric("method", choice.method)
    report.metric("peak_to_valley", float(field.gain.max() - field.gain.min()))
    report.metric("offset_range", float(field.offset.max() - field.offset.min()))
    if math.isfinite(choice.error):
        report.metric("flat_field_error", 100 * choice.error)
    report.metric("population_tiles", choice.n_tiles)
    residuals = {"before": choice.residual_before, "after": choice.residual_after}
    for when, residual in residuals.items():
        if math.isfinite(residual):  # not where no tiles overlap
            report.metric(f"overlap_residual_{when}", residual)
    report.section("offset", choice.offset_residuals)


def _describe_depth(
    report: StageReport, change: DepthChange | None, curvature: FieldCurvature | None
) -> None:
    if change is not None:
        used = bool(change.change.any())
        report.metric("depth_change_used", used)
        report.metric("depth_change", 100 * change.size)
        report.metric("depth_change_error", 100 * change.error)
    if curvature is not None:
        report.metric("curvature_used", curvature.kept)
        report.metric("curvature", float(curvature.planes.max()))
        report.metric("curvature_error", curvature.error)
        for when in ("before", "after"):
            value = getattr(curvature, when)
            if math.isfinite(value):
                report.metric(f"depth_shift_{when}", value)


def _read_samples(
    sources: list[MosaicGrid],
    chosen: list[tuple[int, tuple[int, int]]],
    clip_percentile_upper: float,
    curvature: FieldCurvature | None,
    threads: int,
) -> list[TileSample]:
    from mosaicflow.optics.illumination_samples import (
        TileSample,
        band_depths,
        sample_tile,
        slice_bands,
    )
    from mosaicflow.threads import map_threads

    tiles_of: dict[int, list[tuple[int, int]]] = {}
    for grid, tile in chosen:
        tiles_of.setdefault(grid, []).append(tile)
    bands = {
        grid: slice_bands(sources[grid].read(tile) for tile in tiles[:: -(-len(tiles) // 4)])
        for grid, tiles in tiles_of.items()
    }
    planes = curvature.planes if curvature is not None and curvature.kept else None

    def read(item: tuple[int, tuple[int, int]]) -> TileSample | None:
        grid, tile = item
        whole = sources[grid].read(tile)
        images = sample_tile(
            whole,
            bands[grid],
            clip_percentile_upper=clip_percentile_upper,
            curvature=planes if planes is not None and planes.shape == whole.shape[1:] else None,
        )
        depths = band_depths(bands[grid], len(whole))
        return None if images is None else TileSample(grid, tile, images, depths)

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
