"""Stage `pool_tile_positions`: where each tile lies, with one stage model for all slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mosaicflow import names
from mosaicflow.limits import Limit
from mosaicflow.measures import Measure, each
from mosaicflow.stages._contract import Chosen, ChosenTable, Reads, stage
from mosaicflow.stages._options import ResolutionUm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.placement import Placement
    from mosaicflow.mosaic.pooling import PooledStage
    from mosaicflow.mosaic.tables import SliceLinks

__all__ = ["pool_tile_positions"]


METRICS = (
    Measure("source", "positions that explain held-out links"),
    *each(
        "held_out_residual_{}_px",
        ("stage", "model", "positions"),
        "median residual of left-out links",
        "px",
    ),
    *each("median_{}", ("ncc", "stage_ncc"), "of overlaps, placed and reported"),
    # Between what links say and where the tiles went; sound: 0.05 px.
    Measure("rms_residual", "of used links", "px", warning=1, error=5),
    Measure("link_sigma", "standard error of a link, from loops", "px"),
    Measure("stage_step_sigma", "error of a step of the stage", "px"),
    Measure("links_used", "links in the final solution"),
    Measure("links_possible", "neighbouring pairs"),
    Measure("theta", "rotation of the camera against the stage", "deg"),
    *each("scale_{}", "yx", "image step over reported step along {}"),
    Measure("islands", "tiles or groups that no trusted overlap joins"),
    Measure("tiles_in_islands", "tiles placed by the stage model, not measured"),
    Measure("tiles_without_link", "tiles placed by the stage model alone"),
    Measure("island_sigma", "standard error of their places", "px"),
    Measure("overrides", "tiles that somebody placed"),
    # Of all slices together.
    Measure("distortion_used", "whether tiles are straightened"),
    Measure("distortion_windows", "places compared along seams"),
    Measure("distortion_rms", "of the displacement found, root mean square", "px"),
    Measure("distortion_error", "its expected error over the tile, rms", "px"),
    Measure("seam_departure_before", "inside left-out seams, as recorded", "px"),
    Measure("seam_departure_after", "inside left-out seams, straightened", "px"),
    Measure("links", "links of all slices"),
    *each("backlash_{}", "yx", "play between rows to and fro", "px"),
)


@stage(
    "run",
    label="table",
    title="Stage model and corrections by hand",
    icon="ruler-combined",
    makes=(
        names.STAGE_MODEL,
        names.DISTORTION,
        names.DISTORTION_PICTURE,
        names.PLACEMENTS,
        names.POSITIONS,
        names.RESIDUALS,
        names.LATTICE,
        names.TILE_CONFIGURATION,
        names.BIGSTITCHER,
    ),
    metrics=METRICS,
)
def pool_tile_positions(
    report: StageReport,
    *,
    links: Annotated[tuple[Path, ...], Reads(names.LINKS)],
    stages: Annotated[tuple[Path, ...], Reads(names.STAGE)],
    windows: Annotated[tuple[Path, ...], Reads(names.WINDOWS)],
    tiles: Annotated[tuple[Path, ...], Reads(names.TILES)],
    output_dir: Path,
    distortion: Annotated[
        Literal["auto", "none"] | Path,
        Limit(pattern=r"^.+$", words="auto, none or the path of a tile_distortion.csv"),
        Chosen(),
    ] = "auto",
    overrides: ChosenTable = None,
    resolution_um: ResolutionUm = 10.0,
    threads: int = 1,
) -> None:
    """Place the tiles of all slices by their links and by one model of the stage.

    Writes stage_model.json, tile_distortion.csv, tile_positions.png and, for every slice,
    zNN_tile_positions.csv, zNN_link_residuals.csv, zNN_transform_xy.npy, zNN_TileConfiguration.txt
    and zNN_tiles.bdv.xml.

    Parameters
    ----------
    links : tuple[Path, ...]
        Measured shifts (zNN_tile_links.csv) of every slice.
    stages : tuple[Path, ...]
        Where the stage has the tiles (zNN_tile_stage.json) of the same slices.
    windows : tuple[Path, ...]
        Shifts of small parts of the overlaps (zNN_tile_windows.csv) of the same slices.
    tiles : tuple[Path, ...]
        Tile lists (zNN_tiles.json), which name the files.
    output_dir : Path
        Folder to write to.
    distortion : 'auto' | 'none' | Path
        What bends all tiles alike: learnt from the overlaps and used where left-out ones agree
        better with it (auto), not looked for (none), or a tile_distortion.csv of such tiles.
    overrides : Path | None
        Table of places that somebody knows better (kind, slice_id, iy, ix, dy_px, dx_px, angle_deg,
        sigma_px, lock, exclude): rows of kind tile count when tiles are placed, rows of kind slice
        when slices are.
    resolution_um : float
        Pitch whose pixels the table of overrides counts in [um].
    threads : int
        Not used: the tables are small.
    """
    placed = {_name(path) for path in links}
    tiles = tuple(path for path in tiles if _name(path) in placed)  # no slice that failed before
    report.inputs["tiles"] = {path.name: report.inputs["tiles"][path.name] for path in tiles}

    import numpy as np

    from mosaicflow.ledger.overrides import read_overrides
    from mosaicflow.mosaic.given import apply_exclusions, tile_places
    from mosaicflow.mosaic.placement_picture import draw_placements
    from mosaicflow.mosaic.pooling import place_slice, pool_stage
    from mosaicflow.mosaic.straighten import (
        describe_distortion,
        read_windows,
        straighten,
        write_distortion,
    )
    from mosaicflow.mosaic.tables import read_slice_links, report_placement

    output_dir.mkdir(parents=True, exist_ok=True)
    stage_of = {_name(path): path for path in stages}
    found = [read_slice_links(p, stage_of[_name(p)]) for p in sorted(links)]
    rows = () if overrides is None else read_overrides(overrides)
    found = [apply_exclusions(one, rows) for one in found]
    fit, found = straighten(found, {_name(p): read_windows(p) for p in windows}, distortion)
    write_distortion(output_dir / names.DISTORTION.of(), fit.distortion)
    pooled = pool_stage([(one.stage_px, one.links) for one in found])
    file_of = {_name(path): _files(path) for path in tiles}
    drawn = []
    for one in found:
        said = tile_places(one, rows, resolution_um)
        tile_yx = one.tile_shape[1:]
        placement, decision = place_slice(one.links, one.stage_px, pooled, said, tile_yx)
        table = output_dir / names.POSITIONS.of(one.name)
        _write_slice(table, one, placement, (str(decision["source"]), file_of.get(one.name, {})))
        drawn.append((one.name, placement, str(decision["source"])))
        own = report.of_an_output()
        is_pooled = np.array_equal(placement.model, pooled.model)
        n_links = pooled.n_links if is_pooled else 0
        report_placement(own, one.stage_px, placement, decision, n_links)
        own.metric("overrides", len(said))
        own.section("pitch_um", list(one.pitch_um))
        own.write(table)
    picture = draw_placements(drawn, found[0].tile_shape[1:])
    picture.save(output_dir / names.PLACEMENTS.of())
    describe_distortion(report, fit)
    model = output_dir / names.STAGE_MODEL.of()
    _write_model(model, pooled, [one.slice_id for one in found], report)
    report.write(model)


def _write_model(
    path: Path, pooled: PooledStage, slice_ids: list[int], report: StageReport
) -> None:
    """Write what all slices tell of the stage, and add it to the metrics."""
    from mosaicflow.io.tables import write_document

    report.metric("stage_step_sigma", pooled.step_sigma_px)
    report.metric("links", pooled.n_links)
    for axis, play_px in zip("yx", pooled.backlash_px, strict=True):
        report.metric(f"backlash_{axis}", play_px)
    write_document(
        path,
        {
            "matrix": pooled.model.tolist(),
            "step_sigma_px": pooled.step_sigma_px,
            "backlash_px": list(pooled.backlash_px),
            "n_links": pooled.n_links,
            "slices": slice_ids,
        },
    )


def _name(path: Path) -> str:
    """Name the slice that a table is of, such as z07."""
    return names.labels_in(path.name)[0]


def _files(path: Path) -> dict[tuple[int, int], str]:
    """Lattice index of a tile -> its path from the raw folder."""
    from mosaicflow.acquisition.tiles import read_slice_tiles

    found = read_slice_tiles(path)
    return {index: tile.path for index, tile in found.used.items()}


def _write_slice(
    table: Path,
    one: SliceLinks,
    placement: Placement,
    known: tuple[str, Mapping[tuple[int, int], str]],
) -> None:
    from mosaicflow.formats.placements import TilePosition, bdv_xml, tile_configuration
    from mosaicflow.io.tables import write_text
    from mosaicflow.mosaic.tables import write_lattice, write_positions, write_residuals

    source, files = known
    write_positions(table, placement, source, files)
    write_residuals(table.with_name(names.RESIDUALS.of(one.name)), placement)
    tile_yx = (one.tile_shape[1], one.tile_shape[2])
    write_lattice(table.with_name(names.LATTICE.of(one.name)), placement, tile_yx)
    listed = [
        TilePosition(files[tile], (0.0, y, x), one.tile_shape)
        for tile, (y, x) in sorted(placement.positions_px.items())
        if tile in files
    ]
    write_text(table.with_name(names.TILE_CONFIGURATION.of(one.name)), tile_configuration(listed))
    write_text(table.with_name(names.BIGSTITCHER.of(one.name)), bdv_xml(listed, one.pitch_um))
