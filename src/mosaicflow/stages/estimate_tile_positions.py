"""Stage `estimate_tile_positions`: where each tile of one slice really lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.io.tables import format_slice_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.placement import Link, Placement

__all__ = ["estimate_tile_positions"]

# Features of this many tiles are enough to see what they have in common.
_PATTERN_TILES = 48
_CACHE_BYTES = 400_000_000
# Without loops of links: gain in correlation from which measured shifts are believed.
_LEAST_NCC_GAIN = 0.05
# Scale of the steps that is worth a warning; more where few links or a rough stage blur it.
_LEAST_SCALE_ERROR = 0.015
# Tiles of bare gel at the rim have no links, as a rule; more than this share needs a look.
_MOST_ALONE = 0.25


def estimate_tile_positions(
    *,
    grid: Path,
    output_dir: Path,
    illumination: Path | None = None,
    use_motor_positions_for_stitching: bool = True,
    stitch_overlap_fraction: float = 0.2,
    max_blend_refinement_px: float = 10.0,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Place the tiles of one slice by what their overlaps show.

    Writes zNN_tile_positions.csv, zNN_tile_links.csv and zNN_transform_xy.npy.

    Parameters
    ----------
    grid : Path
        Mosaic grid at native pitch.
    output_dir : Path
        Folder to write to.
    illumination : Path or None
        Shading (illumination.npz) to take off first.
    use_motor_positions_for_stitching : bool
        Start from the positions that the stage, or the file, reports; otherwise from an even
        lattice.
    stitch_overlap_fraction : float
        Overlap of that lattice, as a part of a tile.
    max_blend_refinement_px : float
        Largest departure of a measured shift from the fitted stage model [native px].
    seed : int
        Seed of the choice of tiles that chance is learnt from.
    threads : int
        Number of tiles worked on at the same time.
    """
    from mosaicflow.io.report import StageReport

    report = StageReport.of("estimate_tile_positions", locals())

    import numpy as np

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.threads import map_threads
    from mosaicflow.mosaic.linking import TileLinker, nominal_positions, reported_positions

    source = MosaicGrid(grid)
    source.require_tiles()
    tile_yx = source.tile_shape[1:]
    stage_px = nominal_positions(source.tiles, tile_yx, stitch_overlap_fraction)
    if use_motor_positions_for_stitching:
        reported = source.positions_px()
        stage_px = reported_positions(reported, stage_px)
        unknown = [tile for tile in source.tiles if tile not in reported]
        _warn_of_unreported(report, unknown, len(source.tiles))
    linker = TileLinker(
        _feature_reader(source, illumination, threads),
        stage_px,
        tile_yx,
        max_blend_refinement_px,
        lambda function, items: map_threads(function, items, threads),
    )
    links, chance = linker.links(np.random.default_rng(seed))
    placement, decision = _decide(links, stage_px)
    stem = output_dir / _slice_name(grid, source.slice_id)
    _write_tables(stem, source, placement, decision)
    report.metric("chance_ncc", chance, "", "correlation that a link had to reach")
    _write_metrics(report, source, stage_px, placement, decision)
    report.write(stem.with_name(f"{stem.name}_tile_positions.csv"))


def _slice_name(grid: Path, slice_id: int) -> str:
    """Name the slice with as many digits as its grid has: an engine looks for that name."""
    written = re.search(r"_(z\d+)[_.]", grid.name)
    return written[1] if written else f"z{format_slice_id(slice_id)}"


def _warn_of_unreported(report: StageReport, tiles: list[tuple[int, int]], n_tiles: int) -> None:
    if len(tiles) == n_tiles:
        report.warn("the tiles have no reported positions: an even lattice is the starting point")
    elif tiles:
        report.warn(
            f"{len(tiles)} of {n_tiles} tiles have no reported position, the first is (iy, ix) = "
            f"{tiles[0]}: they start where the lattice of the others puts them"
        )


def _warn_of_unmeasured(report: StageReport, placement: Placement, n_tiles: int) -> None:
    measured = {tile for link in placement.links for tile in (link.a, link.b)}
    alone = n_tiles - len(measured)
    if n_tiles > 1 and alone > _MOST_ALONE * n_tiles:
        report.warn(
            f"the overlaps of {alone} of {n_tiles} tiles could not be measured: these tiles lie "
            "where the stage, or the lattice of the others, puts them"
        )


def _feature_reader(
    source: MosaicGrid, illumination: Path | None, threads: int
) -> Callable[[tuple[int, int]], NDArray[np.float32]]:
    """Give a function from tile to features: depth bands, flat-fielded, band-passed."""
    import numpy as np

    from mosaicflow.correction.depth import band_means
    from mosaicflow.correction.illumination_samples import slice_bands
    from mosaicflow.correction.shading import Shading
    from mosaicflow.io.flatfields import load_flat_field
    from mosaicflow.io.grids import BoundedCache
    from mosaicflow.io.threads import map_threads
    from mosaicflow.mosaic.features import common_pattern, tile_features

    tiles = source.tiles
    kept: dict[tuple[int, int], NDArray[np.float32]] = {}

    def some_tiles() -> Iterator[NDArray[np.float32]]:
        for tile in tiles[:: -(-len(tiles) // 4)]:
            data = source.read(tile)
            if (len(kept) + 1) * data.nbytes <= _CACHE_BYTES:
                kept[tile] = data  # reading costs more than all that follows
            yield data

    bands = slice_bands(some_tiles())
    shading = Shading(np.ones(source.tile_shape[1:], np.float32), None)
    if illumination is not None:
        found = load_flat_field(illumination)
        shading = Shading.for_tiles(found.gain, found.offset, source.tile_shape[1:])

    def load(tile: tuple[int, int]) -> NDArray[np.float32]:
        data = kept.pop(tile, None)
        data = source.read(tile) if data is None else data
        return tile_features(shading.remove(band_means(data, bands)))

    cache = BoundedCache(load, _CACHE_BYTES)
    sampled = tiles[:: -(-len(tiles) // _PATTERN_TILES)]
    pattern = common_pattern(map_threads(cache.__getitem__, sampled, threads))
    if pattern is None:
        return cache.__getitem__
    common = pattern

    def features(tile: tuple[int, int]) -> NDArray[np.float32]:
        own: NDArray[np.float32] = cache[tile]
        return np.where(own != 0, own - common, np.float32(0))

    return features


def _decide(
    links: list[Link], stage_px: Mapping[tuple[int, int], tuple[float, float]]
) -> tuple[Placement, dict[str, Any]]:
    """Keep the solved positions only if they explain left-out links better than the stage."""
    from dataclasses import replace

    import numpy as np

    from mosaicflow.mosaic.placement import held_out_residuals, solve_placement

    stage, model, solved = held_out_residuals(links, stage_px)
    placement = solve_placement(links, stage_px)
    ncc = float(np.median([link.ncc for link in links])) if links else float("nan")
    known = [link.stage_ncc for link in links if np.isfinite(link.stage_ncc)]
    stage_ncc = float(np.median(known)) if known else float("nan")
    if np.isfinite(solved):
        residuals = {"optimised": solved, "lattice": model, "stage": stage}
        source = min(residuals, key=residuals.__getitem__)
    else:
        # No loop of links, so none can be left out: the images themselves must gain clearly.
        source = "optimised" if ncc > stage_ncc + _LEAST_NCC_GAIN else "stage"
    if source != "optimised":
        model_yx = placement.model if source == "lattice" else np.eye(2)
        unused = tuple(replace(link, used=False, weight=0.0) for link in placement.links)
        placement = replace(solve_placement([], stage_px, model=model_yx), links=unused)
    return placement, {
        "source": source,
        "held_out_residual_stage_px": stage,
        "held_out_residual_model_px": model,
        "held_out_residual_positions_px": solved,
        "ncc": ncc,
        "stage_ncc": stage_ncc,
    }


def _write_tables(
    stem: Path, source: MosaicGrid, placement: Placement, decision: Mapping[str, Any]
) -> None:
    import numpy as np

    from mosaicflow.io.tables import write_csv
    from mosaicflow.mosaic.placement import fit_lattice

    n_links = {
        tile: sum(link.used for link in placement.links if tile in (link.a, link.b))
        for tile in placement.positions_px
    }
    fallback = "lattice" if decision["source"] == "optimised" else decision["source"]
    write_csv(
        stem.with_name(f"{stem.name}_tile_positions.csv"),
        ["iy", "ix", "row_px", "col_px", "z_px", "valid", "n_links", "residual_px", "source"],
        (
            {
                "iy": tile[0],
                "ix": tile[1],
                "row_px": round(y, 6),
                "col_px": round(x, 6),
                "z_px": 0.0,
                "valid": True,
                "n_links": n_links[tile],
                "residual_px": _rounded(placement.residuals_px.get(tile)),
                "source": "optimised" if n_links[tile] else fallback,
            }
            for tile, (y, x) in sorted(placement.positions_px.items())
        ),
    )
    write_csv(
        stem.with_name(f"{stem.name}_tile_links.csv"),
        ["iy_a", "ix_a", "iy_b", "ix_b", "dy_px", "dx_px", "ncc", "peak_ratio", "weight", "used"],
        (
            {
                "iy_a": link.a[0],
                "ix_a": link.a[1],
                "iy_b": link.b[0],
                "ix_b": link.b[1],
                "dy_px": round(link.shift_px[0], 6),
                "dx_px": round(link.shift_px[1], 6),
                "ncc": round(link.ncc, 6),
                "peak_ratio": round(link.peak_ratio, 6),
                "weight": round(link.weight, 6),
                "used": link.used,
            }
            for link in placement.links
        ),
    )
    partial = stem.with_name(f".{stem.name}_transform_xy.tmp.npy")
    np.save(partial, fit_lattice(placement.positions_px, source.tile_shape[1:]))
    partial.replace(stem.with_name(f"{stem.name}_transform_xy.npy"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _write_metrics(
    report: StageReport,
    source: MosaicGrid,
    stage_px: Mapping[tuple[int, int], tuple[float, float]],
    placement: Placement,
    decision: Mapping[str, Any],
) -> None:
    import numpy as np

    from mosaicflow.mosaic.linking import neighbours
    from mosaicflow.mosaic.placement import stage_model_error

    used = [link for link in placement.links if link.used]
    residuals = list(placement.residuals_px.values())
    scales = np.linalg.norm(placement.model, axis=0)
    uncertain = stage_model_error(placement.links, stage_px, placement.model)
    if (np.abs(scales - 1) > np.maximum(_LEAST_SCALE_ERROR, 2 * uncertain)).any():
        report.warn(
            f"steps in the image are {scales[0]:.3f} (y) and {scales[1]:.3f} (x) of the reported "
            "ones: the pixel pitch or the overlap may be declared wrong"
        )
    report.metric("source", str(decision["source"]), "", "positions that explain held-out links")
    for name, value in decision.items():
        if name.endswith("_px") and np.isfinite(value):
            report.metric(name, value, "px", "median residual of left-out links")
    for name in ("ncc", "stage_ncc"):
        if np.isfinite(decision[name]):
            report.metric(f"median_{name}", decision[name], "", "of overlaps, placed and reported")
    if residuals:
        report.metric(
            "rms_residual", float(np.sqrt(np.mean(np.square(residuals)))), "px", "of used links"
        )
    report.metric("links_used", len(used), "", "links in the final solution")
    report.metric("links_possible", len(neighbours(stage_px)), "", "neighbouring pairs")
    theta = float(np.rad2deg(np.arctan2(placement.model[1, 0], placement.model[0, 0])))
    report.metric("theta", theta, "deg", "rotation of the camera against the stage")
    report.metric("scale_y", float(scales[0]), "", "image step over reported step along y")
    report.metric("scale_x", float(scales[1]), "", "image step over reported step along x")
    alone = len(stage_px) - len({tile for link in used for tile in (link.a, link.b)})
    report.metric("tiles_without_link", alone, "", "tiles placed by the stage model alone")
    _warn_of_unmeasured(report, placement, len(stage_px))
    report.section("pitch_um", [pitch * 1000 for pitch in source.pitch_mm])
    report.section("stage_model", placement.model)
