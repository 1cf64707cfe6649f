"""Stage `fix_focal_curvature`: make a flat face flat in every tile."""

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

__all__ = ["fix_focal_curvature"]


METRICS = (
    Measure("planes_moved", "largest lift of a column, whole planes", "planes"),
    Measure("planes_left", "left to stitch_3d, largest", "planes"),
    Measure("n_tiles", "tiles corrected"),
)


@stage("slice", label="tiles", makes=(names.FLAT,), metrics=METRICS)
def fix_focal_curvature(
    report: StageReport,
    *,
    grid: Annotated[Path, Reads(newest=names.GRID_STORES)],
    curvature: Annotated[Path, Reads(names.CURVATURE)],
    output: Path,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Lift the columns of every tile of one slice to where a flat field would have them.

    Whole planes are moved here; what is left of a plane is recorded in the store, and stitch_3d
    takes it off in its own sampling.

    Parameters
    ----------
    grid : Path
        Mosaic grid at working pitch.
    curvature : Path
        Curvature that was measured (focal_curvature.json).
    output : Path
        Mosaic grid to write (mosaic_grid_3d_zNN_focal_fix.ome.zarr).
    store : StoreOptions
        How the output is written.
    threads : int
        Number of tiles worked on at the same time.
    """
    import numpy as np

    from mosaicflow.errors import QualityError
    from mosaicflow.io.grids import MosaicGrid, TileIndex, write_tiles
    from mosaicflow.io.tables import read_document
    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.optics.focal import focal_planes

    source = MosaicGrid(grid)
    terms_um = [float(value) for value in read_document(curvature)["terms_um"]]
    n_z, n_y, n_x = source.tile_shape
    planes = focal_planes(terms_um, (n_y, n_x), source.pitch_mm[0] * 1000)
    depth = n_z - planes.deepest
    if depth < 2:
        raise QualityError(
            f"{grid.name}: the field is curved by {planes.deepest} planes, tiles are {n_z} deep",
            remedy="run with fix_curvature_enabled: never",
        )
    writer = OmeZarrWriter(
        output,
        shape=(depth, source.grid_shape[0] * n_y, source.grid_shape[1] * n_x),
        chunks=(depth, n_y, n_x),
        dtype=np.float32,
        attrs=report.block(source.attrs, tile_shape=[depth, n_y, n_x], focal_curvature_um=terms_um),
        **store.writer_options(),
    )

    def fix(tile: TileIndex) -> NDArray[np.float32]:
        return planes.lifted(source.read(tile))

    with writer:
        write_tiles(writer, source.tiles, fix, threads)
        writer.finalize(source.pitch_mm, store.n_levels)
    report.metric("planes_moved", planes.deepest)
    report.metric("planes_left", float(planes.part.max()))
    report.metric("n_tiles", len(source.tiles))
    report.write(output)
