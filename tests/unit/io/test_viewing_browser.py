"""Neuroglancer, in a real browser, draws what the local server gives it."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.browser import headless

from mosaicflow.io.viewing.server import StoreServer
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, save_omezarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the other packages
    pytest.mark.usefixtures("hearing"),
]

PATIENCE_S = 40


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    pytest.importorskip("neuroglancer")
    drawing = ("use-gl=angle", "use-angle=swiftshader", "enable-unsafe-swiftshader")
    with headless(tmp_path_factory.mktemp("profile"), 1000, 800, *drawing) as window:
        yield window


def first_panel(browser) -> NDArray[np.float64]:
    """The middle of the panel that shows the lateral plane, in grey values."""
    from PIL import Image

    page = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L"), float)
    return page[120:280, 150:350]


@contextlib.contextmanager
def viewed(path) -> Iterator[str]:
    """Run the command until Ctrl-C; the address of its page."""
    code = "from mosaicflow.cli.main import main; main()"
    command = [sys.executable, "-c", code, "view", str(path), "--viewer", "neuroglancer"]
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        page = process.stdout.readline().strip()
        try:
            assert page.startswith("http://127.0.0.1:"), process.stderr.read()
            yield page
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()  # whatever failed: nobody waits for it


def test_a_store_is_drawn_with_contrast(tmp_path, browser, flavour):
    """Dark on the left, bright on the right: x runs to the right in the first panel."""
    rows, columns = np.ogrid[:200, :240]
    plane = np.where(columns < 120, 100.0, 900.0) + rows / 10
    data = np.broadcast_to(plane, (32, 200, 240)).astype(np.float32)
    path = tmp_path / "slice_z00.ome.zarr"
    save_omezarr(
        data, path, (0.0015, 0.01, 0.01), chunks=(16, 64, 64), n_levels=2, ngff_version=flavour
    )
    with viewed(path) as page:
        browser.get(page)
        until = time.monotonic() + PATIENCE_S
        while (panel := first_panel(browser)).std() < 50 and time.monotonic() < until:
            time.sleep(0.3)
    left, right = np.median(panel[:, :40]), np.median(panel[:, -40:])
    assert (left, right) == (pytest.approx(0, abs=40), pytest.approx(255, abs=40))


def test_a_landmark_is_where_neuroglancer_sees_it(tmp_path, browser, flavour):
    """One bright voxel: its value, and the voxel around it in the picture of every level."""
    from mosaicflow.io.viewing.viewers import neuroglancer_viewer

    data = np.full((40, 100, 100), 100, np.float32)
    data[12, 61, 43] = 1e6
    path = tmp_path / "volume.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, data.shape, 32, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01)
    with StoreServer(path) as server:
        viewer = neuroglancer_viewer(path, server.url)
        server.allow_page(viewer.get_viewer_url())
        browser.get(viewer.get_viewer_url())
        volume = viewer.volume("volume").result(PATIENCE_S)
        assert [unit.multiplier for unit in volume.dimension_units] == pytest.approx([1e-5] * 3)
        np.testing.assert_array_equal(volume.read().result(PATIENCE_S), data)
        for pitch_um in (10, 25, 50, 100):
            origin_um = (pitch_um - 10) / 2
            voxel = np.rint((np.array([610, 430]) - origin_um) / pitch_um)
            centre_um, size_um = bright_square(viewer, pitch_um)
            assert size_um == pytest.approx(pitch_um, abs=1)
            assert centre_um == pytest.approx(voxel * pitch_um + origin_um, abs=1)


def bright_square(viewer, pitch_um) -> tuple[NDArray[np.float64], float]:
    """Centre (y, x) and side, in um, of what is bright in a picture of the level of a pitch."""
    with viewer.txn() as state:
        state.layout = "xy"
        state.position = [45, 60, 12]
        state.cross_section_scale = 1 / 10  # a voxel of the finest level has 10 x 10 pixels
        state.cross_section_background_color = "#000000"
        state.show_axis_lines = state.show_scale_bar = state.show_default_annotations = False
        state.layers[0].cross_section_render_scale = pitch_um
    page = viewer.screenshot(size=(400, 300)).screenshot.image_pixels[..., 0]
    bright = np.argwhere(page > 127)
    return bright.mean(axis=0) + 0.5 - (150, 200) + (600, 450), len(bright) ** 0.5
