"""Correcting by hand in a real browser: what is seen to agree, agrees in the volume."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from tests.browser import headless

from mosaicflow.corrections.package import page_of, take_table
from mosaicflow.io.tables import read_csv
from mosaicflow.io.viewing.editor import EditorServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the other packages


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    with headless(tmp_path_factory.mktemp("profile"), 1400, 950, "disable-gpu") as window:
        yield window


class Page:
    """The page of a package, as somebody uses it."""

    def __init__(self, browser, package):
        self.browser, self.package = browser, package
        self.ask = "return [...loaded.values()].every(i => i.complete) && loaded.size"
        self.wait(lambda: browser.execute_script(self.ask))
        browser.execute_script("for (const name of ['key', 'bar']) $(name).style.display = 'none'")

    @staticmethod
    def wait(done):
        end = time.monotonic() + 30
        while not done():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def __getitem__(self, name):
        return self.browser.find_element("id", name)

    def press(self, *keys):
        for key in keys:
            self["canvas"].send_keys(key)

    def value(self, name):
        return float(self[name].get_attribute("value"))

    def picture(self):
        """What is on the canvas, (y, x, red green blue)."""
        self.wait(lambda: self.browser.execute_script(self.ask))
        with Image.open(io.BytesIO(self["canvas"].screenshot_as_png)) as image:
            return np.asarray(image.convert("RGB"), np.float64)

    def spots(self, channel):
        """Middles (y, x) of the three bright spots in one colour, by size, on the screen."""
        labels, count = ndimage.label(self.picture()[..., channel] > 190)
        sizes = ndimage.sum_labels(np.ones(labels.shape), labels, np.arange(1, count + 1))
        largest = 1 + np.argsort(sizes)[-3:]
        return np.array(ndimage.center_of_mass(np.ones(labels.shape), labels, largest))

    def click(self, spot):
        from selenium.webdriver.common.action_chains import ActionChains

        size = self["canvas"].size
        right, down = spot[1] - size["width"] / 2, spot[0] - size["height"] / 2
        move = ActionChains(self.browser).move_to_element_with_offset
        move(self["canvas"], round(right), round(down)).click().perform()

    def drag(self, right, down):
        from selenium.webdriver.common.action_chains import ActionChains

        hand = ActionChains(self.browser)
        hand.move_to_element(self["canvas"]).click_and_hold()
        hand.move_by_offset(right, down).release().perform()

    def save(self):
        self["save"].click()
        self.wait(lambda: self["said"].text)
        assert self["said"].text.startswith("saved"), self["said"].text
        return read_csv(self.package / "overrides.csv")


@pytest.fixture
def page(browser, package):
    with EditorServer(package, page_of(package), lambda text: take_table(package, text)) as server:
        browser.get(server.url)
        yield Page(browser, package)
        browser.execute_script(
            "saved = JSON.stringify([...rows.values()])"
        )  # no question at leaving
        browser.get("about:blank")


RED, GREEN = 0, 1


def test_a_slice_that_is_off_comes_right_by_three_point_pairs(page, pair, tmp_path):
    before = page.spots(RED) - page.spots(GREEN)
    zoom = page.browser.execute_script("return camera.zoom")
    assert np.hypot(*before.T).min() > 3 * zoom
    page["points"].click()
    for fixed, moving in zip(page.spots(RED), page.spots(GREEN), strict=True):
        page.click(fixed)
        page.click(moving)
    page["points"].click()
    page["fit"].click()
    page["clear"].click()
    page.press("l")
    after = page.spots(RED) - page.spots(GREEN)
    assert np.hypot(*after.T).max() < 0.6 * zoom  # px of the slice
    held, row = sorted(page.save(), key=lambda row: row["slice_id"])
    assert (held["dy_px"], held["lock"]) == ("0", "true")
    assert held["note"] == "held beside a corrected one"
    assert float(row["dy_px"]) == pytest.approx(6, abs=0.5)
    assert float(row["dx_px"]) == pytest.approx(-4, abs=0.5)
    assert float(row["angle_deg"]) == pytest.approx(3, abs=0.6)
    found = pair.solve(tmp_path, page.package / "overrides.csv")
    assert pair.miss_px(found).max() < 1.0  # px, of the clicks
    assert [one.source for one in found.slices if one.slice_id == 1] == ["manual"]
    assert page.browser.get_log("browser") == []


def test_keys_and_the_mouse_move_what_is_green(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.press(*[Keys.ARROW_DOWN] * 3, *[Keys.ARROW_LEFT] * 2, "[", "[")
    assert (page.value("dy"), page.value("dx"), page.value("angle")) == (3, -2, 0.2)
    green, red = page.spots(GREEN), page.spots(RED)
    zoom = page.browser.execute_script("return camera.zoom")
    page.drag(40, -30)
    assert page.value("dx") == pytest.approx(-2 + 40 / zoom, abs=0.1)
    assert page.value("dy") == pytest.approx(3 - 30 / zoom, abs=0.1)
    np.testing.assert_allclose(page.spots(GREEN) - green, [[-30, 40]] * 3, atol=1.5)  # screen px
    np.testing.assert_allclose(page.spots(RED), red, atol=1)
    hand = ActionChains(page.browser)
    hand.move_to_element(page["canvas"]).move_by_offset(200, 0).key_down(
        Keys.SHIFT
    ).click_and_hold()
    hand.move_by_offset(0, 60).release().key_up(Keys.SHIFT).perform()
    assert page.value("angle") < -5  # from right towards down, with the clock
    page["undo"].click()
    assert page.value("angle") == 0.2
    page["undo"].click()
    assert (page.value("dy"), page.value("dx")) == (3, -2)
    page["redo"].click()
    assert page.value("dx") == pytest.approx(-2 + 40 / zoom, abs=0.1)


def test_lock_exclude_sigma_and_note_are_in_the_table(page):
    page.press("l")
    page["sigma"].send_keys("0.5\n")
    page["note"].send_keys('torn, "left"\n')
    page.press("p", "x")
    rows = {row["slice_id"]: row for row in page.save()}
    assert (rows["1"]["lock"], rows["0"]["lock"]) == ("true", "true")  # held beside it
    assert (rows["1"]["dy_px"], rows["1"]["sigma_px"]) == ("0", "0.5")
    assert rows["1"]["note"] == 'torn, "left"'
    assert rows["0"]["exclude"] == "true"
    page["reset"].click()
    assert [row["slice_id"] for row in page.save()] == ["1"]


def test_every_way_to_look_shows_something_else(page):
    shown = {}
    for key in "obdc":
        page.press(key)
        shown[key] = page.picture()
    assert shown["o"].max() > 200
    grey = np.ptp(shown["d"], axis=2)
    assert grey.max() < 12
    assert shown["d"].mean() < shown["b"].mean()  # what agrees is black
    page.press("o", "e")
    assert np.abs(page.picture() - shown["o"]).mean() > 3
    page.press("e", "2")
    lines = np.flatnonzero(page.picture()[..., GREEN].max(axis=1) > 60)
    above = np.flatnonzero(page.picture()[..., RED].max(axis=1) > 60)
    assert lines.min() > above.min()  # the lower slice is drawn below
    page.press("3")
    dy = page.value("dy")
    page.drag(30, 0)
    assert page.value("dy") > dy  # in the cut along y the right is down
    assert page.value("dx") == 0


def test_all_slices_below_can_move_along(page):
    from selenium.webdriver.common.keys import Keys

    page.press("p")
    page["carry"].click()
    page.press(Keys.ARROW_DOWN, "]")
    rows = {row["slice_id"]: row for row in page.save()}
    assert [rows[i]["angle_deg"] for i in "01"] == ["-0.1", "-0.1"]
    # Their centres lie over each other, so both go the same way.
    assert [float(rows[i]["dy_px"]) for i in "01"] == pytest.approx([1, 1], abs=0.01)


def test_the_page_of_a_package_works_from_the_disk(browser, package):
    browser.get((package / "index.html").as_uri())
    page = Page(browser, package)
    assert page.spots(RED).shape == (3, 2)
    assert browser.get_log("browser") == []


def test_a_tile_that_is_off_agrees_with_its_neighbours_once_it_is_moved(
    browser, package_with_tiles
):
    from selenium.webdriver.common.keys import Keys

    folder = package_with_tiles
    with EditorServer(folder, page_of(folder), lambda text: take_table(folder, text)) as server:
        browser.get(server.url)
        page = Page(browser, folder)
        page["mode-tile"].click()
        page.press("n", "n", "n")
        assert page["what"].text == "Slice 1, tile (1, 1)"

        def disagreement():
            red, green = page.picture()[..., RED], page.picture()[..., GREEN]
            both = (red > 15) & (green > 15)
            return np.abs(red - green)[both].mean()

        before = disagreement()
        page.press(*[Keys.ARROW_UP] * 4, *[Keys.ARROW_RIGHT] * 3)
        assert disagreement() < 0.4 * before
        rows = {(row["iy"], row["ix"]): row for row in page.save()}
    assert (rows["1", "1"]["dy_px"], rows["1", "1"]["dx_px"]) == ("-4", "3")
    assert {rows[tile]["note"] for tile in rows if tile != ("1", "1")} == {
        "held beside a corrected one"
    }
    assert len(rows) == 4
