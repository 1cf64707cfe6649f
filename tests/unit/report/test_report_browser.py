"""The page in a real browser: numbers from the DOM, links, nothing too wide, dark and light."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.browser import headless
from tests.unit.report.test_comparison import finished, move

from mosaicflow.cli.compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the other packages


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    with headless(tmp_path_factory.mktemp("profile"), 1200, 900, "disable-gpu") as window:
        yield window


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


def test_the_length_of_each_scale_bar_can_be_read(browser, sound_run):
    opened(browser, sound_run)
    script = """
        return [...document.querySelectorAll('.bar')].map(bar => {
            const range = document.createRange(); range.selectNodeContents(bar);
            const text = range.getBoundingClientRect();
            const picture = bar.parentElement.getBoundingClientRect();
            return [text.left - picture.left, picture.right - text.right, text.width];
        })"""
    bars = browser.execute_script(script)
    assert len(bars) == 5
    assert all(left > 0 and right > 0 and width > 10 for left, right, width in bars), bars


def test_every_word_and_number_of_a_plot_is_inside_it(browser, long_run):
    opened(browser, long_run)
    cut = browser.execute_script(
        "return [...document.querySelectorAll('.plots svg')].flatMap(plot => {"
        "    const whole = plot.getBoundingClientRect();"
        "    return [...plot.querySelectorAll('text')].filter(word => {"
        "        const box = word.getBoundingClientRect();"
        "        return box.left < whole.left || box.right > whole.right + 1"
        "            || box.top < whole.top - 1 || box.bottom > whole.bottom + 1"
        "    }).map(word => word.textContent)})"
    )
    assert cut == []
    assert {"µm", "deg", "share"} <= {
        one.text for one in browser.find_elements("css selector", ".plots svg text")
    }


def test_every_link_leads_somewhere_on_the_page_or_to_the_docs(browser, lossy_run):
    opened(browser, lossy_run)
    anchors = [one.get_attribute("href") for one in browser.find_elements("tag name", "a")]
    here = [one.rpartition("#")[2] for one in anchors if one.startswith("file:")]
    assert here
    assert all(browser.find_elements("id", name) for name in here)
    others = [one for one in anchors if not one.startswith("file:")]
    assert others
    # The browser has taken ".." away; each is a file of this repository.
    assert all((ROOT / one.partition("/blob/main/")[2]).is_file() for one in others)


def test_a_run_that_lost_slices_says_which_at_the_top(browser, lossy_run):
    text = opened(browser, lossy_run)
    assert "slice 2 is not in it (failed: no tile)" in text("verdict")
    rows = [one.text for one in browser.find_elements("css selector", "#slice-table tr")]
    assert rows[1].startswith("2 not in the volume, failed: no tile")


def test_what_is_odd_comes_first_and_stands_in_the_plots(browser, long_run):
    text = opened(browser, long_run)
    rows = [one.text for one in browser.find_elements("css selector", "#slice-table tr")]
    assert rows[1].startswith("7 ")
    assert rows[2].startswith("20 not in the volume, failed: no tile")
    left_out = text("exceptions").replace("\N{EN DASH}", "-")
    assert "slice failed slice 20 stitch_3d: no tile copy it again" in left_out
    assert "gap slices 19-21, planes 380-389 empty no two slices show the same tissue" in left_out
    titles = {
        one.find_element("tag name", "h3").text: one.find_element("tag name", "figcaption").text
        for one in browser.find_elements("css selector", ".plots figure")
    }
    assert titles["Seam ratio"] == "unlike the others: 7"
    assert titles["Rotation"] == "no slice stands out"
    for title in (
        "Stage against registered positions of slices", "Tiles of slice 7: stage against images",
        "Link residuals of slice 7", "Thickness of the section above",
    ):  # fmt: skip
        assert title in titles
    assert "the longest is 0.56 px" in titles["Link residuals of slice 7"]
    drawn = browser.find_elements("css selector", ".plots svg")
    assert len(drawn) == len(titles)
    assert "slice 7 is doubtful (see below)" in text("verdict")


def test_it_is_printed_on_paper_with_nothing_cut_off(browser, long_run):
    opened(browser, long_run)
    options = {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}  # A4, in inches
    paper = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert 4 <= pages <= 12
    # What the printer lays out: the page's width less its margins of 0.4 inches.
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.set_window_size(718, 1000)
        cut = (
            "return [...document.querySelectorAll('.scroll, .card, figure, table')]"
            ".filter(one => one.getBoundingClientRect().right > innerWidth + 1"
            " || one.scrollWidth > one.clientWidth + 1).map(one => one.className + one.id)"
        )
        assert browser.execute_script(cut) == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.set_window_size(1200, 900)


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


def compared(browser, tmp_path, *runs):
    """Open the page that compares runs."""
    page = tmp_path / "comparison.html"
    compare(*runs, output=page)
    browser.get(page.as_uri())
    return lambda name: browser.find_element("id", name).text


def test_two_runs_show_what_differs_number_by_number(browser, sound_run, tmp_path):
    move(sound_run, 0, (1.0, 2.0))
    first = finished(sound_run, "first")
    sound_run.slice(3, seam=1.25)
    move(sound_run, 1, (9.0, 2.0))
    second = finished(sound_run, "second", crop_depth_um=400.0)
    text = compared(browser, tmp_path, first, second)
    assert text("summary") == "1 of 5 slices differ in a number below."
    assert text("setting-table").splitlines()[1] == "crop_depth_um 600.0 400.0"
    rows = browser.find_elements("css selector", "#slice-table tr[id]")
    assert rows[0].get_attribute("id") == "slice-3"  # what differs most comes first
    changed = browser.find_elements("css selector", "#slice-3 td.differs")
    assert [one.text.split() for one in changed] == [["1.05", "1.25"]]
    assert text("slice-1").split()[1] == "80.0"  # um moved: 8 px of 10 um
    assert not browser.find_elements("css selector", "#slice-2 td.differs")
    images = browser.find_elements("css selector", "#pictures img")
    assert len(images) == 10
    shown = "return [...document.images].every(one => one.complete && one.naturalWidth > 0)"
    assert browser.execute_script(shown)
    assert browser.get_log("browser") == []


def test_a_run_beside_its_stage_shows_each_pair_twice(browser, sound_run, tmp_path):
    move(sound_run, 0, (1.0, 2.0))
    text = compared(browser, tmp_path, finished(sound_run, "first"))
    assert text("slice-1").split()[:6] == ["1", "5.00", "0.250", "0.300", "0.600", "0.300"]
    titles = [one.text for one in browser.find_elements("css selector", "#pictures h3")]
    assert titles == [f"slices {i} and {i + 1}" for i in range(4)]
    assert len(browser.find_elements("css selector", "#pictures img")) == 8
