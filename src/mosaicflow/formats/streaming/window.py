"""A viewer in a window: mouse, keys, the clipping box, and a clock that draws what has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow.formats.ground.errors import library
from mosaicflow.formats.streaming.scene import Bounds

if TYPE_CHECKING:
    from mosaicflow.formats.streaming.viewer import Viewer

__all__ = ["ViewWindow"]

vtk = library("vtkmodules.all", extra="view")

# Milliseconds between looks for news. Half of it draws a filling picture more often than a
# machine without a graphics card can; twice of it looks jerky.
_TICK_MS = 100
_HELP = "drag, wheel: move and zoom   Up, Down: move plane   b: clipping box   r: reset   q: quit"


class ViewWindow:
    """Lets a person look around.

    Parameters
    ----------
    viewer : Viewer
        Made for the screen.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(viewer.window)
        self._turn = vtk.vtkInteractorStyleTrackballCamera()
        self._pan = _panning_style(self.interactor)
        self.interactor.SetInteractorStyle(self._turn)
        self._widget = self._box_widget()
        self.interactor.AddObserver("MouseMoveEvent", self._choose_style, 1.0)
        self.interactor.AddObserver("KeyPressEvent", self._on_key)
        self.interactor.AddObserver("TimerEvent", lambda *_: viewer.refresh())
        viewer.window.SetWindowName(f"mosaicflow view3d   {_HELP}")

    def run(self) -> None:
        """Show the window until it is closed."""
        self._viewer.refresh()
        self.interactor.Initialize()
        self.interactor.CreateRepeatingTimer(_TICK_MS)
        self.interactor.Start()

    def _box_widget(self) -> Any:  # noqa: ANN401  # untyped library
        """Make the box that is dragged by its faces; it stays parallel to the axes."""
        shape = vtk.vtkBoxRepresentation()
        shape.SetPlaceFactor(1.0)
        shape.PlaceWidget(self._viewer.box.vtk())
        widget = vtk.vtkBoxWidget2()
        widget.SetInteractor(self.interactor)
        widget.SetRepresentation(shape)
        widget.SetRotationEnabled(False)
        widget.SetDefaultRenderer(self._viewer.body.renderer)
        widget.AddObserver("EndInteractionEvent", self._on_box)
        return widget

    def _on_box(self, *_: Any) -> None:  # noqa: ANN401  # an observer
        x0, x1, y0, y1, z0, z1 = self._widget.GetRepresentation().GetBounds()
        self._viewer.set_box(Bounds((z0, y0, x0), (z1, y1, x1)))
        self._viewer.refresh()

    def _panel_under_mouse(self) -> int | None:
        """Return the axis of the plane under the mouse; None for the body."""
        poked = self.interactor.FindPokedRenderer(*self.interactor.GetEventPosition())
        panels = [panel.renderer for panel in self._viewer.panels]
        return panels.index(poked) if poked in panels else None

    def _choose_style(self, *_: Any) -> None:  # noqa: ANN401  # an observer
        """Turn the body and move the planes; a drag keeps the way in which it began."""
        style = self._turn if self._panel_under_mouse() is None else self._pan
        present = self.interactor.GetInteractorStyle()
        if present is not style and present.GetState() == 0:
            self.interactor.SetInteractorStyle(style)

    def _on_key(self, *_: Any) -> None:  # noqa: ANN401  # an observer
        key, axis = self.interactor.GetKeySym(), self._panel_under_mouse()
        if key in ("Up", "Down"):
            self._viewer.move_plane(0 if axis is None else axis, -1 if key == "Up" else 1)
        elif key == "b":
            self._widget.SetEnabled(not self._widget.GetEnabled())
        elif key == "r":
            self._viewer.reset_cameras()
        self._viewer.refresh()


def _panning_style(interactor: Any) -> Any:  # noqa: ANN401  # untyped library
    """Return a style whose left button moves the picture."""
    style = vtk.vtkInteractorStyleImage()

    def begin(*_: Any) -> None:  # noqa: ANN401  # an observer
        style.FindPokedRenderer(*interactor.GetEventPosition())
        style.StartPan()

    style.AddObserver("LeftButtonPressEvent", begin)
    style.AddObserver("LeftButtonReleaseEvent", lambda *_: style.EndPan())
    # The letters r and b would also do what VTK means by them.
    style.AddObserver("CharEvent", lambda *_: interactor.GetKeyCode() == "q" and style.OnChar())
    return style
