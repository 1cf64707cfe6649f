"""Stage `fix_illumination`: take the shading off every tile of a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.measures import Measure
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.report import StageReport

__all__ = ["fix_illumination"]


METRICS = (
    Measure("flat_field_min", "smallest value of the flat field"),
    Measure("flat_field_max", "largest value of the flat field"),
    Measure("offset_range", "range of the background taken off, as recorded"),
    Measure("n_tiles", "tiles corrected"),
)


@stage("slice", label="tiles", makes=(names.EVENLY_LIT,), metrics=METRICS)
def fix_illumination(
    report: StageReport,
    *,
    grid: Annotated[Path, Reads(newest=names.GRID_STORES)],
    illumination: Annotated[Path, Reads(names.ILLUMINATION)],
    output: Path,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Remove the lateral shading from every tile of one slice.

    Parameters
    ----------
    grid : Path
        Mosaic grid.
    illumination : Path
        Flat field (illumination.npz); it is scaled to the tile's shape.
    output : Path
        Mosaic grid to write (mosaic_grid_3d_zNN_illum_fix.ome.zarr).
    store : StoreOptions
        How the output is written.
    threads : int
        Number of tiles worked on at the same time.
    """
    import numpy as np

    from mosaicflow.io.flatfields import load_flat_field
    from mosaicflow.io.grids import MosaicGrid, TileIndex, write_tiles
    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.optics.shading import Shading

    source = MosaicGrid(grid)
    field = load_flat_field(illumination)
    shading = Shading.for_tiles(
        field.gain, field.offset, source.tile_shape[1:], change=field.change
    )
    n_y, n_x = source.tile_shape[1:]
    writer = OmeZarrWriter(
        output,
        shape=(source.tile_shape[0], source.grid_shape[0] * n_y, source.grid_shape[1] * n_x),
        chunks=source.tile_shape,
        dtype=np.float32,
        attrs=report.block(source.attrs),
        **store.writer_options(),
    )

    def fix(tile: TileIndex) -> NDArray[np.float32]:
        return shading.remove(source.read(tile))

    with writer:
        write_tiles(writer, source.tiles, fix, threads)
        writer.finalize(source.pitch_mm, store.n_levels)
    report.metric("flat_field_min", float(shading.gain.min()))
    report.metric("flat_field_max", float(shading.gain.max()))
    offset = 0.0 if shading.offset is None else float(np.ptp(shading.offset))
    report.metric("offset_range", offset)
    report.metric("n_tiles", len(source.tiles))
    report.write(output)
