"""The page in a real browser: numbers from the DOM, links, nothing too wide, dark and light."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the other packages


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs: pip install selenium")
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and program):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    profile = tmp_path_factory.mktemp("profile")
    for option in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-background-networking",
        "window-size=1200,900", f"user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(f"--{option}")
    window = selenium.Chrome(options, selenium.ChromeService(driver))
    yield window
    window.quit()


def opened(browser, run):
    """Open the page of a run; the text of an element by its id."""
    run.make()
    browser.get((run.folder.parent / "out" / "report.html").as_uri())
    return lambda name: browser.find_element("id", name).text


def test_a_sound_run_shows_its_numbers(browser, sound_run):
    text = opened(browser, sound_run)
    assert text("verdict") == (
        "In this volume lengths, areas and volumes can be measured everywhere."
    )
    assert text("slices-placed") == "5 of 5"
    assert text("tiles-placed") == "20 of 20"
    assert text("slice-3").split()[:4] == ["3", "4", "of", "4"]
    assert "5.00" in text("slice-3")  # moved by 3 and 4 px
    assert text("exceptions").startswith("Nothing: ")
    assert browser.get_log("browser") == []


def test_every_link_leads_somewhere_on_the_page_or_to_the_docs(browser, lossy_run):
    opened(browser, lossy_run)
    anchors = [one.get_attribute("href") for one in browser.find_elements("tag name", "a")]
    here = [one.rpartition("#")[2] for one in anchors if one.startswith("file:")]
    assert here
    assert all(browser.find_elements("id", name) for name in here)
    others = [one for one in anchors if not one.startswith("file:")]
    assert all("/docs/" in one or one.endswith("CITATIONS.md") for one in others)


def test_a_run_that_lost_slices_says_which_at_the_top(browser, lossy_run):
    text = opened(browser, lossy_run)
    assert "slice 2 is not in it (failed: no tile)" in text("verdict")
    rows = [one.text for one in browser.find_elements("css selector", "#slice-table tr")]
    assert rows[1].startswith("2 not in the volume, failed: no tile")


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_window(browser, sound_run, width):
    browser.set_window_size(width, 900)
    opened(browser, sound_run)
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    found, window = browser.execute_script(sizes)
    assert found <= window


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, sound_run, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    opened(browser, sound_run)
    style = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    ink, paper = (sum(map(int, one.strip("rgb()").split(",")[:3])) / 765 for one in style)
    assert abs(ink - paper) > 0.6
    assert (paper < 0.5) == (scheme == "dark")
