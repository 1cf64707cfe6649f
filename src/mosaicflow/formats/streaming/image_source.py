"""A source of VTK images that reads what is asked of it from a pyramid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import library

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mosaicflow.formats.streaming.levels import Triple
    from mosaicflow.formats.streaming.pyramid import ZarrPyramid

__all__ = ["ZarrImageSource"]

_Algorithm: Any = library("vtkmodules.util.vtkAlgorithm", extra="view").VTKPythonAlgorithmBase
_support = library("vtkmodules.util.numpy_support", extra="view")
_data = library("vtkmodules.vtkCommonDataModel", extra="view")
_execution = library("vtkmodules.vtkCommonExecutionModel", extra="view")

# numpy types that VTK computes with; a bit array is none that a mapper shows.
_VTK_KINDS = {
    np.dtype(code) for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
}

_log = logging.getLogger(__name__)


class ZarrImageSource(_Algorithm):  # type: ignore[misc]  # untyped library
    """One level of a pyramid as a VTK image, read chunk by chunk as far as VTK asks for it.

    Parameters
    ----------
    pyramid : ZarrPyramid
        What is shown.
    initial_level : int, optional
        -1 is the coarsest level.
    """

    def __init__(self, pyramid: ZarrPyramid, initial_level: int = -1) -> None:
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkImageData")
        self._pyramid = pyramid
        last = pyramid.num_levels - 1
        self._level = last if initial_level < 0 else min(initial_level, last)
        self.error: Exception | None = None

    @property
    def pyramid(self) -> ZarrPyramid:
        """What is shown."""
        return self._pyramid

    @property
    def level(self) -> int:
        """Level that is shown, 0 is the finest."""
        return self._level

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return self._pyramid.num_levels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the level along z, y and x."""
        return self._pyramid.level_shape(self._level)

    @property
    def spacing(self) -> Triple:
        """Spacing of the level along z, y and x."""
        return self._pyramid.level_spacing(self._level)

    @property
    def level_spacings(self) -> list[Triple]:
        """Spacing of every level, finest first."""
        return self._pyramid.level_spacings()

    def set_level(self, level: int) -> None:
        """Show another level; numbers outside are clamped.

        Parameters
        ----------
        level : int
            0 is the finest.
        """
        self._level = min(max(int(level), 0), self.num_levels - 1)
        self.Modified()

    def set_on_chunk_ready(self, callback: Callable[[], None] | None) -> None:
        """Load in the background, as `ZarrPyramid.set_on_chunk_ready`.

        Parameters
        ----------
        callback : callable or None
            Called from a worker thread; VTK may be used in the thread that renders only. The
            source must be modified there before it shows what has come.
        """
        self._pyramid.set_on_chunk_ready(callback)

    def RequestInformation(self, request: Any, in_info: Any, out_info: Any) -> int:  # noqa: ANN401
        """Tell extent, spacing, origin and type (called by VTK)."""
        pipeline, image = _execution.vtkStreamingDemandDrivenPipeline, _data.vtkDataObject
        info = out_info.GetInformationObject(0)
        z, y, x = self.shape
        info.Set(pipeline.WHOLE_EXTENT(), (0, x - 1, 0, y - 1, 0, z - 1), 6)
        info.Set(image.SPACING(), self.spacing[::-1], 3)
        info.Set(image.ORIGIN(), self._origin_xyz(), 3)
        kind = _support.get_vtk_array_type(self._scalar_type())
        image.SetPointDataActiveScalarInfo(info, kind, 1)
        return 1

    def RequestData(self, request: Any, in_info: Any, out_info: Any) -> int:  # noqa: ANN401
        """Read the part that VTK asks for (called by VTK)."""
        info = out_info.GetInformationObject(0)
        extent = info.Get(_execution.vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT())
        try:
            x0, x1, y0, y1, z0, z1 = extent
            kind = self._scalar_type()
            values = self._pyramid.read_region(self._level, x0, x1, y0, y1, z0, z1, dtype=kind)
        except Exception as error:  # VTK prints what Python raises here, and goes on
            self.error = error
            _log.error("level %d, extent %s: %s", self._level, extent, error)
            return 0
        self.error = None
        image = _data.vtkImageData.GetData(out_info, 0)
        image.SetExtent(extent)
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self._origin_xyz())
        image.GetPointData().SetScalars(_named_scalars(values))
        return 1

    def _origin_xyz(self) -> tuple[float, ...]:
        return self._pyramid.level_translation(self._level)[::-1]

    def _scalar_type(self) -> np.dtype[Any]:
        stored = self._pyramid.level_dtype(self._level)
        return stored if stored in _VTK_KINDS else np.dtype(np.float32)


def _named_scalars(values: NDArray[Any]) -> Any:  # noqa: ANN401  # untyped library
    """Return the values as VTK holds them: x fastest, which is their own order in memory."""
    scalars = _support.numpy_to_vtk(values.ravel())
    scalars.SetName("values")
    return scalars
