"""Stage `create_mosaic_grid`: lay the raw tiles of one slice edge to edge in one store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import FRACTION
from mosaicflow.measures import Measure, each
from mosaicflow.stages._contract import Reads, Wired, stage

if TYPE_CHECKING:
    from mosaicflow.acquisition.read.grid_build import GridBuild
    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.io.blocks import GalvoBlock
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.zarr import OmeZarrWriter

__all__ = ["create_mosaic_grid"]


METRICS = (
    Measure("tiles_found", "tiles on disk or in the position list"),
    Measure("tiles_placed", "tiles in the grid"),
    Measure("tiles_unplaced", "tiles without a position"),
    Measure("tiles_unusable", "tiles left out for a reason"),
    Measure("lattice_places", "places of the lattice"),
    Measure("missing_fraction", "places without a tile"),
    Measure("galvo_confidence", "how sure the galvo return is found inside the image, and why"),
    Measure("galvo_shift", "shift found for the galvo return", "A-lines"),
    Measure("galvo_applied", "whether it was applied"),
    Measure("n_not_finite", "NaN or infinite, set to 0", "samples"),
    *each("intensity_p{}", ("50", "99"), "percentile {} of all tiles"),
)


@stage(
    "slice",
    label="tiles",
    title="Mosaic grids",
    icon="th",
    makes=(names.GRID, names.GRID_PROBLEMS),
    metrics=METRICS,
)
def create_mosaic_grid(
    report: StageReport,
    *,
    tiles: Annotated[Path, Reads(names.TILES)],
    raw: Path,
    output: Path,
    channel: Wired = "",
    fix_galvo_shift: bool = True,
    galvo_confidence_threshold: Annotated[float, FRACTION] = 0.6,
    detect_galvo: bool = False,
    fix_camera_shift: bool = False,
    max_missing_fraction: Annotated[float, FRACTION] = 0.2,
    strict: bool = False,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Write the mosaic grid of one slice at its native spacing.

    Parameters
    ----------
    tiles : Path
        Tile list of the slice (zNN_tiles.json of inspect_acquisition).
    raw : Path
        Folder of the acquisition that the list was made from.
    output : Path
        Grid to write (mosaic_grid_3d_zNN.ome.zarr); problems go into a JSON file beside it.
    channel : str
        Channel of image tiles to read, such as 1; 1cos or 1sin reads one that holds angles of
        period 180 degrees, and writes the cosine or sine of the doubled angle; empty: the first.
    fix_galvo_shift : bool
        Find B-scans whose galvo return lies inside the image and roll it to the end, if all
        evidence of the slice agrees.
    galvo_confidence_threshold : float
        Confidence from which the correction is applied [0-1].
    detect_galvo : bool
        Only report what the detection finds.
    fix_camera_shift : bool
        Undo the circular shift of old cameras where a saturated marker shows it.
    max_missing_fraction : float
        Share of unusable tiles above which the slice fails [0-1].
    strict : bool
        Fail where a tile would be skipped or repaired.
    store : StoreOptions
        How the output is written.
    threads : int
        Number of tiles worked on at the same time.
    """
    from mosaicflow.acquisition.channels import Channel
    from mosaicflow.acquisition.read.galvo_slice import GalvoSettings, decide_galvo
    from mosaicflow.acquisition.read.grid_build import GridBuild, check_sample_type, marker_finder
    from mosaicflow.acquisition.tiles import read_slice_tiles
    from mosaicflow.errors import InputError
    from mosaicflow.io.remote_files import at_address

    found = read_slice_tiles(tiles)
    wanted = Channel.parse(channel)
    if found.failure:
        raise InputError(found.failure, remedy=found.remedy)
    source = at_address(raw)
    root = source.parent if source.is_file() else source
    check_sample_type(root, found)
    settings = GalvoSettings(fix_galvo_shift, galvo_confidence_threshold, detect_galvo)
    find_marker = marker_finder(root, found) if fix_camera_shift else None
    galvo = decide_galvo(root, found, settings, find_marker)
    shift = galvo.shift if galvo.applied else 0
    _check_channel(wanted.number, found, tiles)
    build = GridBuild(root, found, shift, fix_camera_shift, strict, wanted.number, wanted.change)
    _write_grid(
        build,
        galvo,
        output,
        channel=channel,
        store=store,
        max_missing_fraction=max_missing_fraction,
        report=report,
        threads=threads,
    )
    _write_problems(found, build, output)
    _report(report, found, build, galvo)
    report.write(output)


def _check_channel(number: int, found: SliceTiles, tiles: Path) -> None:
    from mosaicflow.errors import InputError

    if number >= found.n_channels:
        names = ", ".join(found.channels) or "one"
        raise InputError(
            f"{tiles.name}: the tiles have {found.n_channels} channels ({names}), not one of "
            f"number {number} (counted from 0; colours count as one)",
            remedy="set positions_channel to one that all tiles have",
        )


def _write_grid(
    build: GridBuild,
    galvo: GalvoBlock,
    output: Path,
    *,
    channel: str,
    store: StoreOptions,
    max_missing_fraction: float,
    report: StageReport,
    threads: int,
) -> None:
    from mosaicflow.acquisition.read.grid_plan import grid_attributes, grid_chunks
    from mosaicflow.errors import InputError
    from mosaicflow.io.zarr import OmeZarrWriter

    n_z, n_y, n_x = build.tiles.tile_shape
    rows, columns = build.tiles.grid_shape
    chunks = grid_chunks(build.tiles.tile_shape)
    options = store.writer_options()
    with OmeZarrWriter(output, (n_z, rows * n_y, columns * n_x), chunks, **options) as writer:
        _write_tiles(build, writer, threads)
        try:
            build.check_missing(max_missing_fraction)
        except InputError:
            writer.discard()
            raise
        attributes = grid_attributes(build.tiles, build.dropped, galvo)
        writer.attrs.update(report.block(attributes, channel=channel or None))
        writer.finalize([um / 1000 for um in build.tiles.pitch_um], store.n_levels)


def _write_tiles(build: GridBuild, writer: OmeZarrWriter, threads: int) -> None:
    from mosaicflow.io.zarr import write_regions
    from mosaicflow.threads import map_threads

    if writer.shards is not None:
        for region in write_regions(writer):
            writer.render(region, build.read_part)
        return
    _, n_y, n_x = build.tiles.tile_shape

    def write(index: tuple[int, int]) -> None:
        tile = build.read_tile(index)
        if tile is not None:
            y, x = index[0] * n_y, index[1] * n_x
            writer[:, y : y + n_y, x : x + n_x] = tile

    map_threads(write, sorted(build.tiles.used), threads)


def _write_problems(found: SliceTiles, build: GridBuild, output: Path) -> None:
    from mosaicflow.io.tables import write_document

    name = output.name.removesuffix(".ome.zarr") + ".problems.json"
    problems = [*found.problems, *build.problems]
    write_document(
        output.with_name(name), {"problems": [problem.to_dict() for problem in problems]}
    )


def _report(report: StageReport, found: SliceTiles, build: GridBuild, galvo: GalvoBlock) -> None:
    import numpy as np

    rows, columns = found.grid_shape
    dropped = build.dropped
    placed = len(found.used) - len(dropped["missing"])
    unplaced = sum(tile.status == "unplaced" for tile in found.tiles)
    report.metric("tiles_found", len(found.tiles))
    report.metric("tiles_placed", placed)
    report.metric("tiles_unplaced", unplaced)
    report.metric("tiles_unusable", len(found.tiles) - placed - unplaced)
    report.metric("lattice_places", rows * columns)
    report.metric("missing_fraction", 1 - placed / (rows * columns))
    report.metric("galvo_confidence", galvo.confidence, meaning=galvo.reason)
    report.metric("galvo_shift", galvo.shift)
    report.metric("galvo_applied", galvo.applied)
    n_bad = sum(content.n_bad for content in build.contents.values())
    report.metric("n_not_finite", n_bad)
    samples = build.samples
    for percent in (50, 99):
        value = float(np.percentile(samples, percent)) if samples.size else None
        report.metric(f"intensity_p{percent}", value)
    for problem in [*found.problems, *build.problems]:
        report.warn(problem.line(), problem.code)
    report.section("n_problems", len(report.warnings))
    read = [row for index in sorted(build.raw_files) for row in build.raw_files[index]]
    report.section("raw_files", read)
