"""Stage `estimate_tile_positions`: how the tiles of one slice lie beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.limits import FROM_0
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._options import Overlap

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["estimate_tile_positions"]

# Tiles no larger than this are read and searched one after the other, and overlaps of those no
# larger than that are fitted so [px]: they keep the interpreter busy, for which threads wait. Two
# threads search 63 tiles of 256 px in 1.3 times the time of one, of 512 px in 0.65 times, and fit
# their overlaps in 1.3 times.
_SEARCHED_SINGLY_PX, _FITTED_SINGLY_PX = 256, 512

METRICS = (
    Measure("search_limit", "how far a step of the stage may miss", "px"),
    Measure("links_found", "links that chance does not explain"),
    Measure("links_sure", "links that need no other to be believed"),
    Measure("links_far", "links found only by searching whole tiles"),
    Measure("windows", "small parts of overlaps that match"),
)


@stage(
    "slice",
    label="slice",
    title="Tile positions",
    icon="map-marker",
    makes=(names.LINKS, names.STAGE, names.WINDOWS),
    metrics=METRICS,
)
def estimate_tile_positions(
    report: StageReport,
    *,
    grid: Annotated[Path, Reads(names.GRID)],
    output_dir: Path,
    illumination: Annotated[Path | None, Reads(names.ILLUMINATION)] = None,
    use_motor_positions_for_stitching: bool = True,
    stitch_overlap_fraction: Overlap = 0.2,
    max_blend_refinement_px: Annotated[float | None, FROM_0] = None,
    seed: Annotated[int, FROM_0] = 0,
    threads: int = 1,
) -> None:
    """Measure how the tiles of one slice lie beside each other, from what their overlaps show.

    Writes zNN_tile_links.csv, zNN_tile_windows.csv (shifts of small parts of the overlaps) and
    zNN_tile_stage.json; pool_tile_positions places the tiles.

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
    from functools import partial

    import numpy as np

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.mosaic.lattice import nominal_positions, reported_positions
    from mosaicflow.mosaic.linking import TileLinker
    from mosaicflow.mosaic.straighten import seam_windows, write_windows
    from mosaicflow.mosaic.tables import write_links, write_stage
    from mosaicflow.optics.tile_views import tile_views
    from mosaicflow.threads import map_threads

    source = MosaicGrid(grid)
    source.require_tiles()
    tile_yx = source.tile_shape[1:]
    stage_px = nominal_positions(source.tiles, tile_yx, stitch_overlap_fraction)
    if use_motor_positions_for_stitching:
        reported = source.positions_px()
        stage_px = reported_positions(reported, stage_px)
        unknown = [tile for tile in source.tiles if tile not in reported]
        _warn_of_unreported(report, unknown, len(source.tiles))
    searching, fitting = (
        1 if max(tile_yx) <= small else threads
        for small in (_SEARCHED_SINGLY_PX, _FITTED_SINGLY_PX)
    )
    search_all = partial(map_threads, threads=searching)
    fit_all = partial(map_threads, threads=fitting)
    views = tile_views(source, illumination, searching)
    linker = TileLinker(
        views, stage_px, tile_yx, search_all, fit_all, bound_px=max_blend_refinement_px
    )
    linking = linker.links(np.random.default_rng(seed))
    z = _slice_name(grid, source.slice_id)
    table = output_dir / names.LINKS.of(z)
    write_links(table, linking.links)
    windows = seam_windows(linking.links, lambda tile: views(tile)[0], tile_yx, fit_all)
    write_windows(output_dir / names.WINDOWS.of(z), windows)
    write_stage(output_dir / names.STAGE.of(z), source, stage_px)
    report.metric("search_limit", linking.limit_px)
    report.metric("links_found", len(linking.links))
    report.metric("links_sure", linking.n_sure)
    report.metric("links_far", linking.n_far)
    report.metric("windows", len(windows))
    report.section("pitch_um", [pitch * 1000 for pitch in source.pitch_mm])
    report.write(table)


def _slice_name(grid: Path, slice_id: int) -> str:
    """Name the slice with as many digits as its grid has: an engine looks for that name."""
    written = names.labels_in(grid.name)
    return written[0] if written else names.slice_label(slice_id)


def _warn_of_unreported(report: StageReport, tiles: list[tuple[int, int]], n_tiles: int) -> None:
    if len(tiles) == n_tiles:
        report.warn(
            "the tiles have no reported positions: an even lattice is the starting point",
            Concern.UNREPORTED_TILES,
        )
    elif tiles:
        report.warn(
            f"{len(tiles)} of {n_tiles} tiles have no reported position, the first is (iy, ix) = "
            f"{tiles[0]}: they start where the lattice of the others puts them",
            Concern.UNREPORTED_TILES,
        )
