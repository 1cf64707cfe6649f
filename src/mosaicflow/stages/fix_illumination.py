"""Stage `fix_illumination`: divide every tile of a grid by the flat field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.stages._options import StoreOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["fix_illumination"]


def fix_illumination(
    *,
    grid: Path,
    illumination: Path,
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
    from mosaicflow.io.report import StageReport

    report = StageReport.of("fix_illumination", locals())

    import numpy as np

    from mosaicflow.correction.illumination import resize_field
    from mosaicflow.io.flatfields import load_flat_field
    from mosaicflow.io.grids import MosaicGrid, TileIndex, write_tiles
    from mosaicflow.io.zarr import OmeZarrWriter

    source = MosaicGrid(grid)
    field = load_flat_field(illumination)
    gain = resize_field(field.gain, source.tile_shape[1:])
    n_y, n_x = source.tile_shape[1:]
    writer = OmeZarrWriter(
        output,
        shape=(source.tile_shape[0], source.grid_shape[0] * n_y, source.grid_shape[1] * n_x),
        chunks=source.tile_shape,
        dtype=np.float32,
        attrs=report.block(source.attrs),
        **store.writer_options(),
    )
    scale = 1 / gain
    offset = field.offset if field.offset.shape == gain.shape and field.offset.any() else None

    def fix(tile: TileIndex) -> NDArray[np.float32]:
        data = source.read(tile)
        if offset is not None:
            data = np.maximum(data - offset, 0, where=data != 0, out=data)
        data *= scale
        return data

    with writer:
        write_tiles(writer, source.tiles, fix, threads)
        writer.finalize(source.pitch_mm, store.n_levels)
    report.metric("flat_field_min", float(gain.min()), "", "smallest value of the flat field")
    report.metric("flat_field_max", float(gain.max()), "", "largest value of the flat field")
    report.metric("n_tiles", len(source.tiles), "", "tiles corrected")
    report.write(output)
