"""Stage `stitch_3d`: fuse the tiles of one mosaic grid into one seamless slice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.measures import Measure
from mosaicflow.mosaic.blending import Blending
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._metrics import TISSUE, report_coverage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.grids import BoundedCache, MosaicGrid
    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.fusion import Canvas
    from mosaicflow.mosaic.lattice_shading import BinnedImage

__all__ = ["stitch_3d"]

# Tiles kept in memory [bytes], by judgement, so that a tile is not read for every block. Doubled,
# twice the memory.
_CACHE_BYTES = 400_000_000
# Shading that repeats with the tiles [%]; below 2 % nobody sees it. What the specimen leaves by
# chance lets the thresholds grow from where 1.3 times as much would pass: less nobody can tell.
_LATTICE_WARNING = 2.5
_LATTICE_CHANCE = _LATTICE_WARNING / 1.3
# Means over depth of all tiles are held at once: at this size thousands of them are small.
_PROJECTION_PX = 64


METRICS = (
    # A slice half of whose tiles are blank has 0.5 and more empty.
    Measure("empty_fraction", "canvas without data", warning=0.5, error=0.8),
    Measure("seam_ratio", "gradient across seams over elsewhere", warning=1.3, error=2.0),
    Measure("n_tiles", "tiles fused"),
    Measure("gain_min", "smallest tile gain"),
    Measure("gain_max", "largest tile gain"),
    TISSUE,
    Measure(
        "lattice_shading",
        "shading that repeats with the tiles, rms",
        "%",
        warning=_LATTICE_WARNING,
        error=3 * _LATTICE_WARNING,
        scaled="at least 1.3 and 3.9 times lattice_shading_chance, and what chance hardly leaves",
    ),
    Measure("lattice_shading_chance", "the same of tiles at random places", "%"),
    Measure("distortion", "longest displacement taken off", "native px"),
)


@stage(
    "slice",
    label="slice",
    title="Stitching",
    icon="puzzle-piece",
    makes=(names.STITCHED, names.STITCHED_PICTURE),
    metrics=METRICS,
)
def stitch_3d(
    report: StageReport,
    *,
    grid: Annotated[Path, Reads(newest=names.GRID_STORES)],
    positions: Annotated[Path, Reads(names.POSITIONS)],
    output: Path,
    distortion: Annotated[Path | None, Reads(names.DISTORTION)] = None,
    stitch_blending_method: Blending = "linear",
    stitch_gain_compensation: bool = True,
    stitch_preview: bool = True,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Sample every tile once, at its place, into one slice.

    Parameters
    ----------
    grid : Path
        Mosaic grid at working pitch.
    positions : Path
        Tile positions (zNN_tile_positions.csv), in px of the native grid.
    output : Path
        Slice to write (slice_zNN_stitch_3d.ome.zarr).
    distortion : Path or None
        What bends all tiles alike (tile_distortion.csv), in px of the native grid.
    stitch_blending_method : str
        Weight of a tile in an overlap: linear falls towards the tile's border, diffusion does
        so without kinks where overlaps meet, average is equal, none takes the last tile.
    stitch_gain_compensation : bool
        Make neighbouring tiles equally bright in their overlaps, by one factor per tile.
    stitch_preview : bool
        Also write a picture of the mean over depth.
    store : StoreOptions
        How the output is written.
    threads : int
        Number of blocks worked on at the same time.
    """
    import numpy as np

    from mosaicflow.acquisition.channels import channel_of
    from mosaicflow.io.grids import LATTICE_KEYS, BoundedCache, MosaicGrid
    from mosaicflow.io.previews import ThinnedImage
    from mosaicflow.io.slices import write_columns
    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.mosaic.fusion import TileFuser
    from mosaicflow.mosaic.lattice_shading import BinnedImage, bin_side
    from mosaicflow.mosaic.seams import seam_sums
    from mosaicflow.optics.tile_warp import tile_warp

    source = MosaicGrid(grid)
    source.require_tiles()
    canvas, islands = _lay_out(positions, source)
    tiles = BoundedCache(source.read, _CACHE_BYTES)
    gains = dict.fromkeys(source.tiles, 1.0)
    is_light = not channel_of(source.attrs, grid).part
    if stitch_gain_compensation and is_light:
        gains = _gains(canvas, tiles, source.tiles, threads)
    warp, n_z = tile_warp(source, distortion, report)
    fuser = TileFuser(canvas, tiles.__getitem__, gains, stitch_blending_method, warp)
    changed = dict.fromkeys(LATTICE_KEYS) | {
        "canvas_origin_px": list(canvas.origin_px),
        "islands": islands,
    }
    block = report.block(source.attrs, kind="slice", **changed)
    writer = OmeZarrWriter(output, (n_z, *canvas.shape_yx), attrs=block, **store.writer_options())
    preview = ThinnedImage(canvas.shape_yx)
    binned = BinnedImage(canvas.shape_yx, bin_side(canvas.period_yx))
    found = {}

    def fuse(region: tuple[slice, slice]) -> NDArray[np.float32]:
        fused, weight = fuser.render(n_z, *region)
        projection = fused.mean(axis=0, dtype=np.float32)
        preview.add(region, projection)
        binned.add(region, projection)
        corner = (region[0].start, region[1].start)
        found[corner] = (float((weight == 0).sum()), *seam_sums(canvas, region, projection))
        return fused

    with writer:
        write_columns(writer, fuse, threads)
        writer.finalize(source.pitch_mm, store.n_levels)
    if stitch_preview:
        _draw(output, preview.image, 1000 * source.pitch_mm[2] * canvas.shape_yx[1])
    _describe_image(report, canvas, [found[corner] for corner in sorted(found)], gains)
    if is_light:
        _describe_light(report, canvas, preview.image, binned)
    report.write(output)


def _draw(output: Path, image: NDArray[np.float32], width_um: float) -> None:
    from mosaicflow.io.previews import write_preview

    path = output.with_name(output.name.replace(".ome.zarr", ".png"))
    write_preview(path, image, width_um / image.shape[1])


def _gains(
    canvas: Canvas, tiles: BoundedCache, names: list[tuple[int, int]], threads: int
) -> dict[tuple[int, int], float]:
    """Give one factor per tile, from the means over depth in the overlaps."""
    import numpy as np

    from mosaicflow.mosaic.resampling import resample_tile
    from mosaicflow.mosaic.tile_gains import tile_gains
    from mosaicflow.threads import map_threads

    factor = max(1.0, max(canvas.tile_yx) / _PROJECTION_PX)
    n_y, n_x = (round(length / factor) for length in canvas.tile_yx)

    def project(tile: tuple[int, int]) -> NDArray[np.float32]:
        mean = tiles[tile].mean(axis=0, dtype=np.float32)
        return np.asarray(resample_tile(mean[None], (1, n_y, n_x))[0])

    projections = map_threads(project, names, threads)
    return tile_gains(canvas, dict(zip(names, projections, strict=True)))


def _describe_image(
    report: StageReport,
    canvas: Canvas,
    sums: list[tuple[float, ...]],
    gains: dict[tuple[int, int], float],
) -> None:
    """Say what the blocks counted: pixels without data, and gradients across and off seams."""
    import numpy as np

    empty, *seams = np.sum(sums, axis=0).tolist()
    share = empty / np.prod(canvas.shape_yx)
    report.metric("empty_fraction", share)
    _describe_seams(report, *seams)
    _describe_gains(report, gains)


def _describe_gains(report: StageReport, gains: dict[tuple[int, int], float]) -> None:
    report.metric("n_tiles", len(gains))
    report.metric("gain_min", min(gains.values(), default=1.0))
    report.metric("gain_max", max(gains.values(), default=1.0))


def _describe_light(
    report: StageReport, canvas: Canvas, image: NDArray[np.float32], binned: BinnedImage
) -> None:
    """Say what only brightness shows: how much of it is tissue, and what tiles have in common."""
    report_coverage(report, image)
    _describe_lattice(report, canvas, binned)


def _describe_lattice(report: StageReport, canvas: Canvas, binned: BinnedImage) -> None:
    """Say what tiles have in common that is not the specimen's; nothing where it cannot be told."""
    from mosaicflow.mosaic.lattice_shading import lattice_shading

    corners = {placed.tile: placed.corner_px for placed in canvas.tiles}
    found = lattice_shading(binned, corners, canvas.period_yx)
    if found is None:
        return
    chance = 100 * found.chance
    scale = max(1.0, chance / _LATTICE_CHANCE, 100 * found.chance_at_most / _LATTICE_WARNING)
    report.metric("lattice_shading", 100 * found.residual, scale=scale)
    report.metric("lattice_shading_chance", chance)


def _describe_seams(
    report: StageReport, border: float, n_border: float, every: float, n_every: float
) -> None:
    seam, rest = border / max(n_border, 1), every / max(n_every, 1)
    report.metric("seam_ratio", seam / rest if rest else None)


def _lay_out(positions: Path, source: MosaicGrid) -> tuple[Canvas, list[list[float]] | None]:
    """Give the frame of the slice, and which tiles overlaps join where they do not join all."""
    from mosaicflow.mosaic.fusion import plan_canvas
    from mosaicflow.slices.islands import find_islands

    corners, island = _working_positions(positions, source)
    canvas = plan_canvas(corners, source.tile_shape[1:])
    drawn = {one.tile: one.corner_px for one in canvas.tiles}
    islands = find_islands(island, drawn, source.tile_shape[1:])
    return canvas, None if islands is None else islands.to_json()


def _working_positions(
    positions: Path, source: MosaicGrid
) -> tuple[dict[tuple[int, int], tuple[float, float]], dict[tuple[int, int], int]]:
    """Read the positions of the tiles that hold data, scaled to the grid's pitch; their islands."""
    from mosaicflow.errors import InputError
    from mosaicflow.io.tables import read_csv

    rows = read_csv(positions, ["iy", "ix", "row_px", "col_px"])
    try:
        found = {
            (int(row["iy"]), int(row["ix"])): (float(row["row_px"]), float(row["col_px"]))
            for row in rows
        }
        island = {(int(row["iy"]), int(row["ix"])): int(row.get("island") or 0) for row in rows}
    except ValueError as error:
        raise InputError(
            f"{positions}: expected numbers in iy, ix, row_px, col_px, island: {error}"
        ) from error
    if missing := [tile for tile in source.tiles if tile not in found]:
        raise InputError(
            f"{positions}: no position for {len(missing)} of {len(source.tiles)} tiles of "
            f"{source.path.name}, the first is (iy, ix) = {missing[0]}",
            remedy="run estimate_tile_positions on the same slice",
        )
    scale = [
        native / (pitch * 1000)
        for native, pitch in zip(source.native_pitch_um[1:], source.pitch_mm[1:], strict=True)
    ]
    corners = {
        tile: (found[tile][0] * scale[0], found[tile][1] * scale[1]) for tile in source.tiles
    }
    return corners, island
