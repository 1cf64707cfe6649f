"""What stitch_3d takes off all tiles while it samples them: the lens's bend, the field's bowl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.mosaic.sampling import TileWarp
from mosaicflow.mosaic.straighten import read_distortion
from mosaicflow.optics.focal import focal_planes
from mosaicflow.reasons import Concern

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport

__all__ = ["tile_warp"]


def tile_warp(
    source: MosaicGrid, distortion: Path | None, report: StageReport
) -> tuple[TileWarp, int]:
    """Bring the distortion, and what is left of the field's curvature, to the pitch of a grid.

    Parameters
    ----------
    source : MosaicGrid
        Tiles at working pitch.
    distortion : Path or None
        Table tile_distortion.csv, in native px.
    report : StageReport
        Told what is applied.

    Returns
    -------
    (TileWarp, int)
        And the planes that a straightened tile has.
    """
    bend = None if distortion is None else _bend(source, distortion, report)
    terms_um = source.attrs.get("focal_curvature_um")
    n_z, n_y, n_x = source.tile_shape
    if terms_um is None:
        return TileWarp.of(bend, None), n_z
    part = focal_planes(terms_um, (n_y, n_x), source.pitch_mm[0] * 1000).part
    # A column that is lifted by a part of a plane has nothing to mix its last plane with.
    return TileWarp.of(bend, part if part.any() else None), n_z - bool(part.any())


def _bend(source: MosaicGrid, path: Path, report: StageReport) -> NDArray[np.float64] | None:
    found = read_distortion(path)
    if not found.kept:
        return None
    scale = [
        native / (pitch * 1000)
        for native, pitch in zip(source.native_pitch_um[1:], source.pitch_mm[1:], strict=True)
    ]
    shape = (source.tile_shape[1], source.tile_shape[2])
    if not found.spans((round(shape[0] / scale[0]), round(shape[1] / scale[1]))):
        report.warn(
            f"{path.name} is of tiles of another size, and not used: the tiles of this slice are "
            "placed as they are",
            Concern.OTHER_TILES,
        )
        return None
    report.metric("distortion", found.largest_px)
    return found.images(shape, (scale[0], scale[1]))
