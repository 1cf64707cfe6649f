"""What VTK draws of a pyramid: planes and a volume that read the level that suits the screen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import library
from mosaicflow.formats.streaming.image_source import ZarrImageSource
from mosaicflow.formats.streaming.levels import pick_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.streaming.levels import Box, Triple
    from mosaicflow.formats.streaming.pyramid import ZarrPyramid

__all__ = ["Bounds", "Part", "Plane", "ShownVolume", "bounds_of"]

vtk = library("vtkmodules.all", extra="view")

# Voxels that are rendered as a volume: 256 per axis, more than a panel has pixels. Eight times as
# many take minutes without a graphics card.
_VOLUME_VOXELS = 256**3
# Sides of a 3-D texture that every OpenGL 4 driver can hold [voxels]; with a longer one VTK draws
# nothing and writes an error, with half as many long volumes are shown coarser than they could be.
_TEXTURE_SIDE = 2048
# Opacity of the volume across its thickness at a brightness between black (0) and white (1): dim
# voxels are water or gel and hide the rest if they are seen at all.
_OPACITY = ((0.0, 0.0), (0.1, 0.0), (0.4, 0.3), (1.0, 0.9))


@dataclass(frozen=True, slots=True)
class Bounds:
    """A box in space.

    Parameters
    ----------
    low, high : (float, float, float)
        Corners (z, y, x) in the unit of the spacings.
    """

    low: Triple
    high: Triple

    @property
    def centre(self) -> Triple:
        """The middle."""
        z, y, x = ((a + b) / 2 for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    @property
    def size(self) -> Triple:
        """Lengths along z, y and x."""
        z, y, x = (b - a for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    def common(self, other: Bounds) -> Bounds:
        """Return the part in both boxes."""
        low = tuple(map(max, self.low, other.low))
        high = tuple(map(min, self.high, other.high))
        return Bounds((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def vtk(self) -> tuple[float, ...]:
        """Return x, y and z limits as VTK takes them."""
        pairs = zip(self.low[::-1], self.high[::-1], strict=True)
        return tuple(value for pair in pairs for value in pair)


def bounds_of(pyramid: ZarrPyramid) -> Bounds:
    """Return the box that the voxels of the finest level fill."""
    shape, spacing = pyramid.level_shape(0), pyramid.level_spacing(0)
    low = [t - s / 2 for t, s in zip(pyramid.level_translation(0), spacing, strict=True)]
    high = [a + n * s for a, n, s in zip(low, shape, spacing, strict=True)]
    return Bounds((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def voxels_in(pyramid: ZarrPyramid, level: int, bounds: Bounds) -> Box | None:
    """Return the voxels of a level whose centres lie in a box, at least one along each axis."""
    found = []
    shape, spacing = pyramid.level_shape(level), pyramid.level_spacing(level)
    first = pyramid.level_translation(level)
    for axis in range(3):
        start = math.ceil((bounds.low[axis] - first[axis]) / spacing[axis] - 1e-6)
        stop = math.floor((bounds.high[axis] - first[axis]) / spacing[axis] + 1e-6) + 1
        if bounds.high[axis] < bounds.low[axis]:
            return None
        start = min(max(start, 0), shape[axis] - 1)
        found.append(slice(start, min(max(stop, start + 1), shape[axis])))
    return found[0], found[1], found[2]


def extent_of(box: Box) -> tuple[int, ...]:
    """Return the first and last voxel of a box along x, y and z, as VTK takes them."""
    return tuple(edge for part in box[::-1] for edge in (part.start, part.stop - 1))


class Part:
    """Voxels on the screen as 8-bit grey, so that every type looks and costs the same.

    Parameters
    ----------
    pyramid : ZarrPyramid
        What is shown.
    """

    def __init__(self, pyramid: ZarrPyramid) -> None:
        self.pyramid = pyramid
        self.source = ZarrImageSource(pyramid)
        self.box: Box | None = None
        self.limits = (0.0, 1.0)
        self.stretch = vtk.vtkImageShiftScale()
        self.stretch.SetInputConnection(self.source.GetOutputPort())
        self.stretch.SetOutputScalarTypeToUnsignedChar()
        self.stretch.ClampOverflowOn()

    @property
    def shown(self) -> bool:
        """Whether anything of it is drawn."""
        return self.box is not None

    @property
    def is_loaded(self) -> bool:
        """Whether all voxels that are drawn are those of the level itself."""
        return self.box is None or self.pyramid.is_loaded(self.source.level, self.box)

    def set_limits(self, limits: tuple[float, float]) -> None:
        """Show the first value as black and the second as white."""
        self.limits = limits
        self.stretch.SetShift(-limits[0])
        self.stretch.SetScale(255 / (limits[1] - limits[0]))

    def values(self) -> NDArray[np.float32]:
        """Return the voxels that are drawn, as far as they have been read."""
        if self.box is None:
            return np.empty(0, np.float32)
        x0, x1, y0, y1, z0, z1 = extent_of(self.box)
        return self.pyramid.read_region(self.source.level, x0, x1, y0, y1, z0, z1)


class Plane(Part):
    """A plane across one axis.

    Parameters
    ----------
    pyramid : ZarrPyramid
        What is cut.
    axis : int
        0, 1 or 2 for z, y or x.
    """

    def __init__(self, pyramid: ZarrPyramid, axis: int) -> None:
        super().__init__(pyramid)
        self.axis = axis
        self.position = 0.0
        self.absence = ""
        self.actor, self.actor_in_body = (self._actor() for _ in range(2))
        self.actor_in_body.GetProperty().SetLookupTable(_without_black())
        self.actor_in_body.GetProperty().UseLookupTableScalarRangeOn()

    def _actor(self) -> Any:  # noqa: ANN401  # untyped library
        mapper = vtk.vtkImageSliceMapper()
        mapper.SetInputConnection(self.stretch.GetOutputPort())
        mapper.SetOrientation(2 - self.axis)
        mapper.StreamingOn()  # asks for the voxels of the plane only
        mapper.CroppingOn()
        mapper.BorderOn()
        actor = vtk.vtkImageSlice()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColorWindow(255)
        actor.GetProperty().SetColorLevel(127.5)
        actor.GetProperty().SetInterpolationTypeToNearest()
        return actor

    @property
    def drawn_at(self) -> float:
        """Where the voxels that are drawn lie: the level's nearest ones to `position`."""
        number = self.actor.GetMapper().GetSliceNumber()
        first = self.pyramid.level_translation(self.source.level)[self.axis]
        return first + float(number) * self.source.spacing[self.axis]

    def level_for(self, world_per_pixel: float) -> int:
        """Return the level that suits a zoom; only the pitch within the plane counts."""
        spacings = [np.delete(s, self.axis).tolist() for s in self.pyramid.level_spacings()]
        return pick_level(spacings, world_per_pixel)

    def box_at(self, level: int, visible: Bounds) -> Box | None:
        """Return the voxels of the plane that are visible."""
        low, high = list(visible.low), list(visible.high)
        low[self.axis] = high[self.axis] = self.position
        cut = Bounds((low[0], low[1], low[2]), (high[0], high[1], high[2]))
        found = voxels_in(self.pyramid, level, cut)
        if found is None:
            return None
        spacing = self.pyramid.level_spacing(level)[self.axis]
        first = self.pyramid.level_translation(level)[self.axis]
        nearest = round((self.position - first) / spacing)
        nearest = min(max(nearest, 0), self.pyramid.level_shape(level)[self.axis] - 1)
        parts = list(found)
        parts[self.axis] = slice(nearest, nearest + 1)
        return parts[0], parts[1], parts[2]

    def hide(self, reason: str) -> None:
        """Show nothing; the reason is written instead."""
        self.box, self.absence = None, reason
        for actor in (self.actor, self.actor_in_body):
            actor.VisibilityOff()

    def show(self, level: int, box: Box) -> None:
        """Show voxels of a level."""
        self.box = box
        for actor in (self.actor, self.actor_in_body):
            actor.VisibilityOn()
        self.source.set_level(level)
        for actor in (self.actor, self.actor_in_body):
            actor.GetMapper().SetSliceNumber(box[self.axis].start)
            actor.GetMapper().SetCroppingRegion(*extent_of(box))


class ShownVolume(Part):
    """The voxels in a box, rendered as a translucent body.

    Parameters
    ----------
    pyramid : ZarrPyramid
        What is shown.
    """

    def __init__(self, pyramid: ZarrPyramid) -> None:
        super().__init__(pyramid)
        self._clip = vtk.vtkImageClip()
        self._clip.SetInputConnection(self.source.GetOutputPort())
        self.stretch.SetInputConnection(self._clip.GetOutputPort())
        self._mapper = vtk.vtkSmartVolumeMapper()
        self._mapper.SetInputConnection(self.stretch.GetOutputPort())
        self.actor = vtk.vtkVolume()
        self.actor.SetMapper(self._mapper)
        self.actor.SetProperty(_translucent())

    def level_for(self, world_per_pixel: float, bounds: Bounds) -> int | None:
        """Return the level that suits a zoom and can be rendered; None if none can."""
        wanted = pick_level(self.pyramid.level_spacings(), world_per_pixel)
        for level in range(wanted, self.pyramid.num_levels):
            box = voxels_in(self.pyramid, level, bounds)
            if box is None:
                return None
            sides = [part.stop - part.start for part in box]
            if math.prod(sides) <= _VOLUME_VOXELS and max(sides) <= _TEXTURE_SIDE:
                return level
        return None

    def bytes_of(self, level: int, bounds: Bounds) -> int:
        """Return the decoded size of the chunks that a box needs."""
        box = voxels_in(self.pyramid, level, bounds)
        return 0 if box is None else self.pyramid.region_bytes(level, box)

    def show(self, level: int | None, bounds: Bounds) -> None:
        """Show what lies in a box, or nothing."""
        box = None if level is None else voxels_in(self.pyramid, level, bounds)
        # A single plane has no inside to look through.
        flat = box is not None and min(part.stop - part.start for part in box) < 2
        self.box = None if flat else box
        self.actor.SetVisibility(self.shown)
        if level is None or box is None or flat:
            return
        self.source.set_level(level)
        self._clip.SetOutputWholeExtent(*extent_of(box))
        # Opacity is per length: of the smallest side of the body, whatever the level.
        thickness = min(n for n in bounds.size if n > 0)
        self.actor.GetProperty().SetScalarOpacityUnitDistance(thickness / 4)


def _without_black() -> Any:  # noqa: ANN401  # untyped library
    """Return grey values of which black is not drawn: it would hide the body behind it."""
    table = vtk.vtkLookupTable()
    table.SetNumberOfTableValues(256)
    table.SetTableRange(0, 255)
    for value in range(256):
        table.SetTableValue(value, value / 255, value / 255, value / 255, float(value > 8))
    return table


def _translucent() -> Any:  # noqa: ANN401  # untyped library
    found = vtk.vtkVolumeProperty()
    opacity, grey = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for brightness, value in _OPACITY:
        opacity.AddPoint(255 * brightness, value)
    grey.AddRGBPoint(0, 0.0, 0.0, 0.0)
    grey.AddRGBPoint(255, 1.0, 1.0, 1.0)
    found.SetScalarOpacity(opacity)
    found.SetColor(grey)
    found.SetInterpolationTypeToLinear()
    found.ShadeOn()
    found.SetAmbient(0.35)
    found.SetDiffuse(0.75)
    found.SetSpecular(0.1)
    return found
