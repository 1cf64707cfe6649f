"""Neuroglancer, in a real browser, draws what the local server gives it."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mosaicflow.io.zarr import save_omezarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the other packages

SIZE = (1000, 800)
PATIENCE_S = 40


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    pytest.importorskip("neuroglancer")
    selenium = pytest.importorskip("selenium.webdriver", reason="needs: pip install selenium")
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and program):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for option in (
        "headless=new",
        "no-sandbox",
        "disable-background-networking",
        "use-gl=angle",
        "use-angle=swiftshader",
        "enable-unsafe-swiftshader",
        f"window-size={SIZE[0]},{SIZE[1]}",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{option}")
    window = selenium.Chrome(options, selenium.ChromeService(driver))
    yield window
    window.quit()


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
        assert page.startswith("http://127.0.0.1:"), process.stderr.read()
        yield page
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


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
