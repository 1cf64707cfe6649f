"""A volume on the screen: three planes and a body, refined as the data comes in."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import library
from mosaicflow.formats.streaming.contrast import overview_of, robust_range
from mosaicflow.formats.streaming.panels import Panel, look_across, look_from_above
from mosaicflow.formats.streaming.scale_bar import length_text
from mosaicflow.formats.streaming.scene import Bounds, Part, Plane, ShownVolume, bounds_of

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.formats.streaming.pyramid import ZarrPyramid

__all__ = ["Viewer"]

vtk = library("vtkmodules.all", extra="view")

# Share of the cache that one picture may fill, so that what is behind the picture stays at hand.
_PICTURE_SHARE = 0.7
# Seconds after which a picture that lacks chunks is tried again: the pyramid lets failed ones rest
# for 5 s at the least. Half of it tries in vain; twice of it lets a store that is back wait.
_RETRY_S = 10.0
_NAMES = ("z", "y", "x")
_GREY, _YELLOW = (0.45, 0.45, 0.5), (0.95, 0.8, 0.2)

_log = logging.getLogger(__name__)


class Viewer:
    """Planes across z, y and x, and a volume, of a pyramid.

    Parameters
    ----------
    pyramid : ZarrPyramid
        What is shown. Its coarsest level is read at once, all else in the background.
    unit : str or None
        Unit of the spacings.
    size_px : (int, int), optional
        Width and height of the window.
    box : Bounds, optional
        Clipping box; by default the whole volume.
    off_screen : bool, optional
        Whether a picture is wanted and no window.
    """

    def __init__(
        self,
        pyramid: ZarrPyramid,
        unit: str | None,
        *,
        size_px: tuple[int, int] = (1200, 900),
        box: Bounds | None = None,
        off_screen: bool = False,
    ) -> None:
        self.pyramid, self.unit = pyramid, unit
        self.whole = bounds_of(pyramid)
        self.box = self.whole if box is None else box.common(self.whole)
        overview = overview_of(pyramid)
        # A level may be darker than another one: noise that is averaged loses its extremes.
        self._limits = dict.fromkeys(range(pyramid.num_levels), overview.limits)
        self._measured: set[int] = set()
        self.planes = [Plane(pyramid, axis) for axis in range(3)]
        self.volume = ShownVolume(pyramid)
        self._parts: tuple[Part, ...] = (*self.planes, self.volume)
        for part in self._parts:
            part.set_limits(overview.limits)
        for plane, at, low, high in zip(
            self.planes, overview.centre_zyx, self.box.low, self.box.high, strict=True
        ):
            plane.position = min(max(at, low), high)
        self._news = threading.Event()
        self._arranged: tuple[Any, ...] | None = None
        self._drawn_at_s = 0.0
        self._build(size_px, off_screen=off_screen)
        self.reset_cameras()
        pyramid.set_on_chunk_ready(self._news.set)

    def _build(self, size_px: tuple[int, int], *, off_screen: bool) -> None:
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(off_screen)
        self.window.SetSize(*size_px)
        self.window.SetWindowName("mosaicflow view3d")
        places = ((0, 0.5, 0.5, 1), (0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1))
        self.panels = [
            Panel(place, f"across {name}") for place, name in zip(places, _NAMES, strict=True)
        ]
        self.body = Panel((0.5, 0, 1, 0.5), "volume")
        for panel in (*self.panels, self.body):
            self.window.AddRenderer(panel.renderer)
        for plane, panel in zip(self.planes, self.panels, strict=True):
            panel.renderer.AddViewProp(plane.actor)
            self.body.renderer.AddViewProp(plane.actor_in_body)
        self.body.renderer.AddVolume(self.volume.actor)
        self._frames = [_frame(_GREY), _frame(_YELLOW)]
        for panel in (*self.panels, self.body):
            for frame in self._frames:
                panel.renderer.AddActor(frame[0])

    def reset_cameras(self) -> None:
        """Show everything in the clipping box."""
        centre = (self.planes[0].position, self.planes[1].position, self.planes[2].position)
        for axis, panel in enumerate(self.panels):
            look_across(panel, axis, self.box, centre)
        widest = max(panel.renderer.GetActiveCamera().GetParallelScale() for panel in self.panels)
        for panel in self.panels:  # one scale, so that the planes can be compared
            panel.renderer.GetActiveCamera().SetParallelScale(widest)
        look_from_above(self.body, self.box)

    def set_box(self, box: Bounds) -> None:
        """Clip everything to a box."""
        self.box = box.common(self.whole)
        for plane, low, high in zip(self.planes, self.box.low, self.box.high, strict=True):
            plane.position = min(max(plane.position, low), high)

    def move_plane(self, axis: int, steps: int) -> None:
        """Move a plane by voxels of the level that it shows."""
        plane = self.planes[axis]
        there = plane.position + steps * plane.source.spacing[axis]
        plane.position = min(max(there, self.box.low[axis]), self.box.high[axis])

    def refresh(self) -> bool:
        """Draw again if the view or the data changed; returns whether it did."""
        arranged = self._arrangement()
        moved, news = arranged != self._arranged, self._news.is_set()
        retry = bool(self.pyramid.errors) and time.monotonic() - self._drawn_at_s > _RETRY_S
        if not (moved or news or retry):
            return False
        self._news.clear()  # before the data is read: what comes meanwhile counts for the next
        if moved:
            self._arranged = arranged
            self.pyramid.forget_waiting()
            self._choose_levels()
        for part in self._parts:
            if part.shown:
                part.source.Modified()
        self._draw()
        return True

    def _draw(self) -> None:
        self._measure_contrast()
        for part in self._parts:
            if part.shown:
                part.set_limits(self._limits[part.source.level])
        self._describe()
        self.window.Render()
        self._drawn_at_s = time.monotonic()

    def _measure_contrast(self) -> None:
        """Take the contrast of a level from what is shown of it, once all of that is there."""
        shown = [part for part in self._parts if part.shown]
        for level in {part.source.level for part in shown} - self._measured:
            parts = [part for part in shown if part.source.level == level]
            if all(part.is_loaded for part in parts):
                values = np.concatenate([part.values().ravel() for part in parts])
                self._limits[level] = robust_range(values)
                self._measured.add(level)

    def picture(self, patience_s: float = 300.0) -> Any:  # noqa: ANN401  # untyped library
        """Draw until everything that can be had is there; returns a vtkImageData of the window.

        Parameters
        ----------
        patience_s : float, optional
            Seconds after which the picture is taken as it is.
        """
        end_s = time.monotonic() + patience_s
        self.refresh()
        while self.pyramid.pending and time.monotonic() < end_s:
            self._news.wait(0.1)
        self._news.set()
        self.refresh()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        return grab.GetOutput()

    def save(self, output: Path) -> None:
        """Write a picture of the window as a PNG."""
        image = self.picture()
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(f".{output.name}.tmp")
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(partial))
        writer.SetInputData(image)
        writer.Write()
        partial.replace(output)

    def _arrangement(self) -> tuple[Any, ...]:
        """Return what the choice of levels depends on."""
        cameras = [p.renderer.GetActiveCamera() for p in (*self.panels, self.body)]
        return (
            tuple((c.GetFocalPoint(), c.GetPosition(), c.GetParallelScale()) for c in cameras),
            tuple(plane.position for plane in self.planes),
            self.box,
            tuple(self.window.GetSize()),
        )

    def _choose_levels(self) -> None:
        """Take the level that suits each panel, coarser ones where the cache would overflow."""
        budget = _PICTURE_SHARE * self.pyramid.cache_bytes
        for plane, panel in zip(self.planes, self.panels, strict=True):
            self._choose_plane_level(plane, panel, budget / 4)
        self._choose_volume_level(budget / 4)

    def _choose_plane_level(self, plane: Plane, panel: Panel, share: float) -> None:
        visible = panel.visible(plane.axis, self.box)
        for level in range(plane.level_for(panel.world_per_pixel), self.pyramid.num_levels):
            box = plane.box_at(level, visible)
            if box is None:
                plane.hide("out of view")
                return
            if self.pyramid.region_bytes(level, box) <= share:
                plane.show(level, box)
                return
        plane.hide("zoom in to see it")

    def _choose_volume_level(self, share: float) -> None:
        level = self.volume.level_for(self.body.world_per_pixel, self.box)
        while level is not None and self.volume.bytes_of(level, self.box) > share:
            level = level + 1 if level + 1 < self.pyramid.num_levels else None
        self.volume.show(level, self.box)
        for frame, bounds in zip(self._frames, (self.whole, self.box), strict=True):
            frame[1].SetBounds(bounds.vtk())
        self._frames[1][0].SetVisibility(self.box != self.whole)
        self.body.renderer.ResetCameraClippingRange()

    def _describe(self) -> None:
        for plane, panel in zip(self.planes, self.panels, strict=True):
            at = plane.drawn_at if plane.shown else plane.position
            what = self._level_text(plane) if plane.shown else plane.absence
            words = f"{_NAMES[plane.axis]} = {length_text(at, self.unit)}, {what}"
            panel.write(words, self.unit)
        body = self._level_text(self.volume) if self.volume.shown else "not shown: too large"
        used, limit = (n / 2**20 for n in (self.pyramid.cached_bytes, self.pyramid.cache_bytes))
        memory = f"memory {used:.0f} of {limit:.0f} MiB"
        waiting = f", loading {n}" if (n := self.pyramid.pending) else ""
        failed = f", {n} chunks failed" if (n := len(self.pyramid.errors)) else ""
        self.body.write(f"{body}\n{memory}{waiting}{failed}", self.unit)

    def _level_text(self, part: Part) -> str:
        pitch = length_text(max(part.source.spacing), self.unit)
        contrast = f"black {part.limits[0]:.4g}, white {part.limits[1]:.4g}"
        return f"level {part.source.level}, pitch {pitch}\n{contrast}"


def _frame(colour: tuple[float, float, float]) -> tuple[Any, Any]:
    outline, mapper, actor = vtk.vtkOutlineSource(), vtk.vtkPolyDataMapper(), vtk.vtkActor()
    mapper.SetInputConnection(outline.GetOutputPort())
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    return actor, outline
