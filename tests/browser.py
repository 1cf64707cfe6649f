"""The chromium of this machine, without a screen, for tests of pages."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A page that loads for longer than this is a failure; without a limit it is five minutes.
PATIENCE_S = 60


@contextlib.contextmanager
def headless(profile: Path, width: int, height: int, *options: str) -> Iterator[Any]:
    """Open a window of so many pixels; skip the test where no browser is installed."""
    selenium = pytest.importorskip("selenium.webdriver", reason="needs: pip install selenium")
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and program):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    asked = selenium.ChromeOptions()
    asked.binary_location = program
    for option in (
        "headless=new", "no-sandbox", "disable-background-networking",
        f"window-size={width},{height}", f"user-data-dir={profile}", *options,
    ):  # fmt: skip
        asked.add_argument(f"--{option}")
    window = selenium.Chrome(asked, selenium.ChromeService(driver))
    window.set_page_load_timeout(PATIENCE_S)
    try:
        yield window
    finally:
        window.quit()
