"""Stage `resample_mosaic_grid`: bring the tiles of a grid to the working pitch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.measures import Measure, each
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._options import ResolutionUm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport

__all__ = ["resample_mosaic_grid"]

# An overlap of a fifth is then under 2 px, of which no place can be measured. Half would let such
# tiles pass; twice would stop coarse looks at small tiles.
_LEAST_SIDE_PX = 8


METRICS = (
    *each("pitch_{}", "zyx", "true pitch along {}", "um"),
    Measure(
        "mean_intensity_change",
        "relative change of the mean intensity by resampling",
        warning=0.005,
        error=0.05,
    ),
)


@stage(
    "slice",
    label="tiles",
    title="Working pitch",
    icon="compress",
    makes=(names.RESAMPLED,),
    metrics=METRICS,
)
def resample_mosaic_grid(
    report: StageReport,
    *,
    grid: Annotated[Path, Reads(newest=names.GRID_STORES)],
    output: Path,
    resolution_um: ResolutionUm = 10.0,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Average each tile of a mosaic grid down to the working pitch.

    Parameters
    ----------
    grid : Path
        Mosaic grid at native pitch.
    output : Path
        Mosaic grid to write (mosaic_grid_3d_zNN_resampled.ome.zarr).
    resolution_um : float
        Pitch wanted on all three axes [um], or -1 for the native one; an axis that is coarser keeps
        its own. The pitch written is the true one: a whole number of voxels per tile over the
        tile's exact extent.
    store : StoreOptions
        How the output is written.
    threads : int
        Number of tiles worked on at the same time.
    """
    import numpy as np

    from mosaicflow.errors import ParameterError
    from mosaicflow.io.grids import MosaicGrid, TileIndex, write_tiles
    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.mosaic.resampling import resample_tile

    if resolution_um == -1:
        raise ParameterError(
            "resolution_um is -1, expected a pitch above 0",
            remedy="to keep native pitch leave this stage out (resolution_um: -1)",
        )
    source = MosaicGrid(grid)
    shape, pitch_mm = _working_shape(source, resolution_um)
    n_iy, n_ix = source.grid_shape
    writer = OmeZarrWriter(
        output,
        shape=(shape[0], n_iy * shape[1], n_ix * shape[2]),
        chunks=shape,
        dtype=np.float32,
        attrs=report.block(
            source.attrs, tile_shape=list(shape), native_pitch_um=list(source.native_pitch_um)
        ),
        **store.writer_options(),
    )

    means: dict[TileIndex, tuple[float, float]] = dict.fromkeys(source.tiles, (0.0, 0.0))

    def resample(tile: TileIndex) -> NDArray[np.float32]:
        data = source.read(tile)
        small = resample_tile(data, shape)
        means[tile] = (
            float(data.mean(dtype=np.float64)),
            float(small.mean(dtype=np.float64)),
        )
        return small

    with writer:
        write_tiles(writer, source.tiles, resample, threads)
        writer.finalize(pitch_mm, store.n_levels)
    before, after = np.mean(list(means.values()), axis=0) if means else (0.0, 0.0)
    _describe(report, pitch_mm, abs(after / before - 1) if before else 0.0)
    report.write(output)


def _working_shape(
    source: MosaicGrid, resolution_um: float
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape of a tile at the working pitch, and the true pitch [mm] that this gives."""
    from mosaicflow.mosaic.resampling import resampled_length

    n_z, n_y, n_x = (
        resampled_length(length, pitch * 1000, resolution_um)
        for length, pitch in zip(source.tile_shape, source.pitch_mm, strict=True)
    )
    _check_size(source, resolution_um, (n_y, n_x))
    z, y, x = (
        length * pitch / new
        for length, pitch, new in zip(
            source.tile_shape, source.pitch_mm, (n_z, n_y, n_x), strict=True
        )
    )
    return (n_z, n_y, n_x), (z, y, x)


def _check_size(source: MosaicGrid, resolution_um: float, shape_yx: tuple[int, int]) -> None:
    """Refuse a pitch at which tiles are next to nothing, as the usual one is for electrons."""
    from mosaicflow.errors import QualityError

    _, *native = source.tile_shape
    if all(new >= min(_LEAST_SIDE_PX, old) for new, old in zip(shape_yx, native, strict=True)):
        return
    size_um = min(n * mm * 1000 for n, mm in zip(native, source.pitch_mm[1:], strict=True))
    raise QualityError(
        f"{source.path.name}: a tile of {native[0]} x {native[1]} px would be {shape_yx[0]} x"
        f" {shape_yx[1]} px at resolution_um {resolution_um:g}, expected {_LEAST_SIDE_PX} or more",
        remedy="give resolution_um -1 for the native pitch, or one of at most"
        f" {size_um / _LEAST_SIDE_PX:.3g}, and pyramid_resolutions to match",
    )


def _describe(report: StageReport, pitch_mm: tuple[float, float, float], change: float) -> None:
    for axis, value in zip("zyx", pitch_mm, strict=True):
        report.metric(f"pitch_{axis}", value * 1000)
    report.metric("mean_intensity_change", change)
