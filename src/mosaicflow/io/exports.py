"""A level of a volume as other programs are to see it: values, place, and what must be marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.io.blocks import PlaneSpanBlock, VolumeBlock
from mosaicflow.io.convert.orientation import SpaceAffine
from mosaicflow.io.convert.volume import VolumeSource
from mosaicflow.io.zarr import open_level, read_omezarr_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.io.zarr import LevelReader
    from mosaicflow.io.zarr.grid import Region
    from mosaicflow.io.zarr.location import StorePath

__all__ = ["ExportedLevel", "PlaneSpan", "open_export"]

_UM_PER_MM = 1e3


@dataclass(frozen=True, slots=True)
class PlaneSpan:
    """A run of planes in depth.

    Parameters
    ----------
    start_um, stop_um : float
        Upper face of its first plane and lower face of its last.
    slice_id : int or None
        Slice that it belongs to, if any.
    """

    start_um: float
    stop_um: float
    slice_id: int | None = None


@dataclass(frozen=True)
class ExportedLevel:
    """One level of a volume and where it lies.

    Parameters
    ----------
    reader : LevelReader
        Voxels, axes (z, y, x).
    origin_um : tuple of float
        Centre of the first voxel, (z, y, x).
    gaps, synthetic, slices : tuple of PlaneSpan
        Planes that no slice covers, planes that were made up, and the slices.
    """

    reader: LevelReader
    origin_um: tuple[float, float, float]
    gaps: tuple[PlaneSpan, ...] = ()
    synthetic: tuple[PlaneSpan, ...] = ()
    slices: tuple[PlaneSpan, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        z, y, x = self.reader.shape
        return z, y, x

    @property
    def pitch_um(self) -> tuple[float, float, float]:
        """Voxel pitch (z, y, x)."""
        z, y, x = (float(np.round(_UM_PER_MM * v, 9)) for v in self.reader.resolution_mm)
        return z, y, x

    def source(self) -> VolumeSource:
        """Return its values as float32, with its place and the notes about it."""
        reader = self.reader

        def read(region: Region) -> NDArray[Any]:
            try:
                with np.errstate(over="raise"):
                    return reader[region].astype(np.float32, copy=False)
            except FloatingPointError as error:
                raise FormatError(
                    f"{reader.location}: found a value beyond 3.4e38, which float32 cannot hold",
                    remedy="scale the volume before the export",
                ) from error

        pitch_mm = tuple(value / _UM_PER_MM for value in self.pitch_um)
        affine = np.diag([*pitch_mm[::-1], 1.0])
        affine[:3, 3] = [value / _UM_PER_MM for value in self.origin_um[::-1]]
        return VolumeSource(
            self.shape,
            np.dtype(np.float32),
            reader.chunks,
            read,
            pitch_mm,
            SpaceAffine(affine, 1, self.shape),
            notes=self.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Which depths hold nothing that was seen."""
        named = (("no data", self.gaps), ("made up", self.synthetic))
        return tuple(
            f"z {span.start_um:g} to {span.stop_um:g} um: {what}"
            for what, spans in named
            for span in spans
        )


def open_export(volume: StorePath, level: int = 0) -> ExportedLevel:
    """Open a level of a volume for export.

    Parameters
    ----------
    volume : path or URL
        OME-Zarr store of three axes (z, y, x).
    level : int
        Level of its pyramid, 0 is the finest.

    Raises
    ------
    ParameterError
        If there is no such level.
    FormatError
        If it is no volume.
    """
    n_levels = len(read_omezarr_info(volume).levels)
    if not 0 <= level < n_levels:
        raise ParameterError(
            f"{volume}: there is no level {level}", remedy=f"use 0 to {n_levels - 1}"
        )
    reader, finest = open_level(volume, level, checked=True), open_level(volume, checked=True)
    if reader.ndim != 3:
        raise FormatError(f"{volume}: found shape {reader.shape}, expected (z, y, x)")
    if reader.dtype.kind not in "biuf":
        raise FormatError(f"{volume}: found values of type {reader.dtype}, expected numbers")
    origin = reader.translation_um or (0.0, 0.0, 0.0)
    finest_um = _UM_PER_MM * finest.resolution_mm[0]
    top_um = (finest.translation_um or (0.0,))[0] - finest_um / 2
    # Planes are counted as they were drawn, and the finest level may have another pitch.
    block = VolumeBlock.from_attrs(reader.attrs, str(volume))
    plane_um = block.plane_pitch_um or finest_um

    def spans(planes: Sequence[PlaneSpanBlock]) -> tuple[PlaneSpan, ...]:
        ends = ((one.first_plane, one.stop_plane, one.slice_id) for one in planes)
        return tuple(
            PlaneSpan(top_um + plane_um * first, top_um + plane_um * stop, slice_id)
            for first, stop, slice_id in ends
        )

    z, y, x = origin
    slices = block.spans_of_slices(str(volume))
    return ExportedLevel(
        reader, (z, y, x), spans(block.gaps), spans(block.synthetic_planes), spans(slices)
    )
