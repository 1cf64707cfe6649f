"""The four panels of a window: cameras, scale bars and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow.formats.ground.errors import library
from mosaicflow.formats.streaming.scale_bar import bar_of
from mosaicflow.formats.streaming.scene import Bounds

if TYPE_CHECKING:
    from mosaicflow.formats.streaming.levels import Triple

__all__ = ["Panel", "look_across", "look_from_above"]

vtk = library("vtkmodules.all", extra="view")

# Height of a line of text and of the bar, in pixels of the picture, and their distance from the
# panel's edge.
_TEXT_PX, _BAR_PX, _MARGIN_PX = 15, 4, 10
# Which way right and down point in the panel of each axis (z, y, x), as (z, y, x).
_RIGHT = ((0, 0, 1), (0, 0, 1), (1, 0, 0))
_DOWN = ((0, 1, 0), (1, 0, 0), (0, 1, 0))  # (z, y, x) of one pixel down in each panel


class Panel:
    """A part of the window with a camera of its own, always in parallel projection.

    In perspective a scale bar would hold for one depth only.

    Parameters
    ----------
    viewport : (float, float, float, float)
        Left, bottom, right and top, as parts of the window.
    title : str
        What the panel shows.
    """

    def __init__(self, viewport: tuple[float, float, float, float], title: str) -> None:
        self.title = title
        self.renderer = vtk.vtkRenderer()
        self.renderer.SetViewport(*viewport)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._label = _text("top")
        self._bar_text = _text("bottom")
        self._bar, self._corners = _rectangle()
        for actor in (self._label, self._bar_text, self._bar):
            self.renderer.AddViewProp(actor)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.renderer.GetSize()
        return max(1, width), max(1, height)

    @property
    def world_per_pixel(self) -> float:
        """Length that a pixel shows."""
        return float(2 * self.renderer.GetActiveCamera().GetParallelScale() / self.size_px[1])

    def fit(self, width: float, height: float) -> None:
        """Zoom so that an extent fits."""
        columns, rows = self.size_px
        scale = max(height, width * rows / columns) / 2
        self.renderer.GetActiveCamera().SetParallelScale(1.15 * scale)

    def visible(self, axis: int, bounds: Bounds) -> Bounds:
        """Return the part of a box that a panel that looks along an axis shows."""
        focus = self.renderer.GetActiveCamera().GetFocalPoint()[::-1]
        columns, rows = self.size_px
        low, high = list(bounds.low), list(bounds.high)
        for direction, pixels in ((_RIGHT[axis], columns), (_DOWN[axis], rows)):
            along = direction.index(1)
            half = self.world_per_pixel * pixels / 2
            low[along], high[along] = focus[along] - half, focus[along] + half
        window = Bounds((low[0], low[1], low[2]), (high[0], high[1], high[2]))
        return window.common(bounds)

    def write(self, words: str, unit: str | None) -> None:
        """Set the words, and the scale bar for the present zoom."""
        columns, rows = self.size_px
        self._label.SetInput(f"{self.title}   {words}" if words else self.title)
        self._label.SetPosition(_MARGIN_PX, rows - _MARGIN_PX)
        width_px, length = bar_of(self.world_per_pixel, columns, unit)
        left, bottom = columns - _MARGIN_PX - width_px, _MARGIN_PX
        for number, (x, y) in enumerate(
            (
                (left, bottom),
                (left + width_px, bottom),
                (left + width_px, bottom + _BAR_PX),
                (left, bottom + _BAR_PX),
            )
        ):
            self._corners.SetPoint(number, x, y, 0)
        self._corners.Modified()
        self._bar_text.SetInput(length)
        self._bar_text.GetTextProperty().SetJustificationToCentered()
        self._bar_text.SetPosition(left + width_px / 2, bottom + _BAR_PX + 4)


def look_across(panel: Panel, axis: int, bounds: Bounds, centre: Triple) -> None:
    """Look at a plane: across z and y, x points right; across z and x, y points down."""
    right, down = _RIGHT[axis], _DOWN[axis]
    camera = panel.renderer.GetActiveCamera()
    # (x, y, z) from here on: the direction is up times right.
    up = tuple(-n for n in down[::-1])
    side = right[::-1]
    direction = (
        up[1] * side[2] - up[2] * side[1],
        up[2] * side[0] - up[0] * side[2],
        up[0] * side[1] - up[1] * side[0],
    )
    middle = list(bounds.centre)
    middle[axis] = centre[axis]
    focus = middle[::-1]
    distance = 2 * max(bounds.size)
    camera.SetFocalPoint(focus)
    camera.SetPosition([f - distance * d for f, d in zip(focus, direction, strict=True)])
    camera.SetViewUp(up)
    panel.fit(bounds.size[right.index(1)], bounds.size[down.index(1)])
    panel.renderer.ResetCameraClippingRange()


def look_from_above(panel: Panel, bounds: Bounds) -> None:
    """Look at a body from a corner; z, the depth below the face that was cut, points down."""
    camera = panel.renderer.GetActiveCamera()
    focus, distance = bounds.centre[::-1], 2 * max(bounds.size)
    camera.SetFocalPoint(focus)
    camera.SetPosition(focus[0] + 0.6 * distance, focus[1] + distance, focus[2] - 0.7 * distance)
    camera.SetViewUp(0, 0, -1)
    diagonal = sum(n * n for n in bounds.size) ** 0.5
    panel.fit(diagonal, 0.9 * diagonal)
    panel.renderer.ResetCameraClippingRange()


def _text(edge: str) -> Any:  # noqa: ANN401  # untyped library
    actor = vtk.vtkTextActor()
    style = actor.GetTextProperty()
    style.SetFontSize(_TEXT_PX)
    style.SetColor(1, 1, 1)
    style.SetBackgroundColor(0, 0, 0)
    style.SetBackgroundOpacity(0.6)
    style.SetVerticalJustification(2 if edge == "top" else 0)
    return actor


def _rectangle() -> tuple[Any, Any]:
    corners, faces = vtk.vtkPoints(), vtk.vtkCellArray()
    corners.SetNumberOfPoints(4)
    faces.InsertNextCell(4)
    for number in range(4):
        faces.InsertCellPoint(number)
    shape = vtk.vtkPolyData()
    shape.SetPoints(corners)
    shape.SetPolys(faces)
    mapper = vtk.vtkPolyDataMapper2D()
    mapper.SetInputData(shape)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(1, 1, 1)
    return actor, corners
