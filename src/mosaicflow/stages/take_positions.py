"""Stage `take_positions`: places of tiles and slices that another run measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["take_positions"]


METRICS = (
    Measure("slices_taken", "slices placed by another run"),
    Measure("tiles_taken", "their tiles, of the following"),
    Measure("tiles", "tiles of this run"),
)


@stage(
    "run",
    label="table",
    makes=(
        names.ALIGNMENT,
        names.DISTORTION,
        names.POSITIONS,
        names.STAGE,
        names.TILE_CONFIGURATION,
        names.BIGSTITCHER,
    ),
    metrics=METRICS,
)
def take_positions(
    report: StageReport,
    *,
    tiles: Annotated[tuple[Path, ...], Reads(names.TILES)],
    run_tiles: tuple[Path, ...],
    run_positions: tuple[Path, ...],
    run_stages: tuple[Path, ...] = (),
    distortion: Path,
    alignment: Path,
    output_dir: Path,
    threads: int = 1,
) -> None:
    """Take the places of tiles and slices from another run on the same tiles.

    Writes tile_distortion.csv, alignment.json and, for every slice, zNN_tile_positions.csv,
    zNN_tile_stage.json, zNN_TileConfiguration.txt and zNN_tiles.bdv.xml.

    Parameters
    ----------
    tiles : tuple[Path, ...]
        Tile lists (zNN_tiles.json) of this run.
    run_tiles : tuple[Path, ...]
        Those of the other run.
    run_positions : tuple[Path, ...]
        Where the other run placed its tiles (zNN_tile_positions.csv).
    run_stages : tuple[Path, ...]
        Where the stage had them (zNN_tile_stage.json).
    distortion : Path
        What bends all tiles alike (tile_distortion.csv), as the other run has it.
    alignment : Path
        Where the other run placed its slices (alignment.json).
    output_dir : Path
        Folder to write to.
    threads : int
        Not used: the tables are small.
    """
    from dataclasses import replace

    from mosaicflow.acquisition.tiles import read_slice_tiles
    from mosaicflow.alignment.solution import Alignment
    from mosaicflow.errors import InputError
    from mosaicflow.io.tables import read_document, write_document, write_text
    from mosaicflow.mosaic.taken import check_same_tiles, no_places, take_places
    from mosaicflow.names import parse_slice_id

    output_dir.mkdir(parents=True, exist_ok=True)
    there, places, stages = (
        {parse_slice_id(path): path for path in paths}
        for paths in (run_tiles, run_positions, run_stages)
    )
    lost, n_tiles, n_placed = [], 0, 0
    for path in sorted(tiles):
        here, name = read_slice_tiles(path), names.labels_in(path.name)[0]
        n_tiles += len(here.used)
        z = here.slice_id
        if z in stages:
            write_document(output_dir / names.STAGE.of(name), read_document(stages[z]))
        if z not in places or z not in there:
            lost.append(z)
            no_places(name, output_dir)
            continue
        check_same_tiles(here, read_slice_tiles(there[z]))
        n_placed += take_places(places[z], here, name, output_dir)
    if len(lost) == len(tiles):
        raise InputError(
            "the run that positions_from names has placed no tile of any slice of this one",
            remedy="take positions from a run on the same tiles",
        )
    if lost:
        named = ", ".join(map(str, lost))
        report.warn(
            f"the other run has placed no tile of slice {named}: it is left out here",
            Concern.NOT_TAKEN,
        )
    write_text(output_dir / names.DISTORTION.of(), distortion.read_text(encoding="utf-8"))
    found = Alignment.from_json(read_document(alignment), alignment.name)
    write_document(output_dir / names.ALIGNMENT.of(), replace(found, is_taken=True).to_json())
    report.metric("slices_taken", len(tiles) - len(lost))
    report.metric("tiles_taken", n_placed)
    report.metric("tiles", n_tiles)
    report.write(output_dir / names.ALIGNMENT.of())
