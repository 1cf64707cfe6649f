"""Stage `estimate_tile_positions`: where each tile of one slice really lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.io.tables import format_slice_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.link import Link
    from mosaicflow.mosaic.placement import Placement

__all__ = ["estimate_tile_positions"]

# Share by which the lattice or the stage must explain left-out links better than the solution
# does, to be kept in its place: chance alone makes them differ by some percent.
_CLEARLY_BETTER = 0.8


def estimate_tile_positions(
    *,
    grid: Path,
    output_dir: Path,
    illumination: Path | None = None,
    use_motor_positions_for_stitching: bool = True,
    stitch_overlap_fraction: float = 0.2,
    max_blend_refinement_px: float | None = None,
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
    max_blend_refinement_px : float | None
        Largest departure of a measured shift from the fitted stage model [native px]; empty: as
        far as the data show the stage to stray.
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
    from mosaicflow.mosaic.lattice import nominal_positions, reported_positions
    from mosaicflow.mosaic.linking import TileLinker
    from mosaicflow.stages._tile_tables import (
        report_placement,
        write_lattice,
        write_links,
        write_positions,
    )
    from mosaicflow.stages._tile_views import tile_views

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
        tile_views(source, illumination, threads),
        stage_px,
        tile_yx,
        lambda function, items: map_threads(function, items, threads),
        max_blend_refinement_px,
    )
    linking = linker.links(np.random.default_rng(seed))
    placement, decision = _decide(list(linking.links), stage_px)
    stem = output_dir / _slice_name(grid, source.slice_id)
    table = stem.with_name(f"{stem.name}_tile_positions.csv")
    write_positions(table, placement, decision["source"], {})
    write_links(stem.with_name(f"{stem.name}_tile_links.csv"), placement.links)
    write_lattice(stem.with_name(f"{stem.name}_transform_xy.npy"), placement, tile_yx)
    report.metric("search_limit", linking.limit_px, "px", "how far a step of the stage may miss")
    report.metric("links_sure", linking.n_sure, "", "links that need no other to be believed")
    report.metric("links_far", linking.n_far, "", "links found only by searching whole tiles")
    report_placement(report, stage_px, placement, decision)
    report.section("pitch_um", [pitch * 1000 for pitch in source.pitch_mm])
    report.write(table)


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
    source = "optimised" if placement.measured else "stage"
    if np.isfinite(solved) and source == "optimised":
        # Links that beat chance hold the solution; it must not explain others worse than they do
        # that were there before.
        others = {"lattice": model, "stage": stage}
        best = min(others, key=others.__getitem__)
        source = best if others[best] < _CLEARLY_BETTER * solved else source
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
