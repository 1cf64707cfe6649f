"""Mouse and keys, in a real window on a screen that exists in memory only."""

import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import numpy as np
from mosaicflow.formats import ZarrPyramid
from mosaicflow.formats.streaming.viewer import Viewer
from mosaicflow.formats.streaming.window import ViewWindow

values = np.random.default_rng(0).integers(1, 255, (40, 40, 40)).astype(np.uint8)
levels = [
    {"array": values, "shape": values.shape, "spacing": (1, 1, 1)},
    {"array": values[::2, ::2, ::2], "shape": (20, 20, 20), "spacing": (2, 2, 2)},
]
viewer = Viewer(ZarrPyramid(levels), None, size_px=(400, 300))
window = ViewWindow(viewer)
mouse = window.interactor
ticks = []


def press(key):
    mouse.SetKeySym(key)
    mouse.InvokeEvent("KeyPressEvent")


def look(*_):
    ticks.append(1)
    if len(ticks) != 3:
        return
    mouse.SetEventInformation(100, 200, 0, 0)  # the panel across z
    mouse.InvokeEvent("MouseMoveEvent")
    camera = viewer.panels[0].renderer.GetActiveCamera()
    scale, focus, turned = camera.GetParallelScale(), camera.GetFocalPoint(), camera.GetViewUp()
    mouse.InvokeEvent("MouseWheelForwardEvent")
    assert camera.GetParallelScale() < scale
    mouse.InvokeEvent("LeftButtonPressEvent")
    mouse.SetEventInformation(130, 220, 0, 0)
    mouse.InvokeEvent("MouseMoveEvent")
    mouse.InvokeEvent("LeftButtonReleaseEvent")
    moved = np.subtract(camera.GetFocalPoint(), focus)
    assert abs(moved[0]) > 1 and abs(moved[1]) > 1 and moved[2] == 0, moved
    assert camera.GetViewUp() == turned
    z = viewer.planes[0].drawn_at
    press("Down")
    assert viewer.planes[0].drawn_at == z + viewer.planes[0].source.spacing[0]
    press("Up")
    assert viewer.planes[0].drawn_at == z
    press("b")
    assert window._widget.GetEnabled()
    window._widget.GetRepresentation().PlaceWidget((5, 30, 5, 30, 10, 20))
    window._widget.InvokeEvent("EndInteractionEvent")
    assert viewer.box.low == (10, 5, 5) and viewer.box.high == (20, 30, 30), viewer.box
    press("b")
    assert not window._widget.GetEnabled()
    press("r")
    assert camera.GetFocalPoint()[:2] == (17.5, 17.5)
    mouse.SetEventInformation(300, 70, 0, 0)  # the body
    mouse.InvokeEvent("MouseMoveEvent")
    position = viewer.body.renderer.GetActiveCamera().GetPosition()
    mouse.InvokeEvent("LeftButtonPressEvent")
    mouse.SetEventInformation(330, 90, 0, 0)
    mouse.InvokeEvent("MouseMoveEvent")
    mouse.InvokeEvent("LeftButtonReleaseEvent")
    assert viewer.body.renderer.GetActiveCamera().GetPosition() != position
    print("looked")
    mouse.TerminateApp()


mouse.AddObserver("TimerEvent", look)
window.run()
viewer.pyramid.close()
"""


def test_mouse_and_keys_move_planes_body_and_box(tmp_path):
    pytest.importorskip("vtk", reason="needs VTK: pip install 'mosaicflow[view]'")
    if shutil.which("xvfb-run") is None:
        pytest.skip("needs a screen in memory: apt-get install xvfb")
    script = tmp_path / "look.py"
    script.write_text(SCRIPT)
    command = ["xvfb-run", "-a", "-s", "-screen 0 800x600x24", sys.executable, str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "TMPDIR": "/tmp"}
    )
    assert "looked" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
