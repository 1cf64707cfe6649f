"""The page about the 63 real tiles, in a real browser: what it says is what the stages measured."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.unit.report.test_report_browser import browser  # noqa: F401  # a fixture

from mosaicflow.cli.example import example
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the other packages


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("example")
    example("brain-section", output=folder / "brain")
    parameters = Parameters.read(folder / "brain/params.yml", {})
    result = run_pipeline(folder / "brain/raw", folder / "out", parameters, 2, "failed")
    # Somewhere else, and alone: it needs nothing beside it.
    shutil.copy(result.root / "report.html", folder / "moved.html")
    browser.get((folder / "moved.html").as_uri())
    return browser, result.root


def text(page, name):
    return page[0].find_element("id", name).text


def metrics(page, stem):
    told = json.loads((page[1] / f"metrics/{stem}.metrics.json").read_text())["metrics"]
    return {name: one["value"] for name, one in told.items()}


def test_verdict_and_counts_are_those_of_the_run(page):
    record = json.loads((page[1] / "pipeline_info/run.json").read_text())
    assert text(page, "verdict") == record["verdict"]["sentence"]
    assert text(page, "slices-placed") == "1 of 1"
    assert text(page, "tiles-placed") == "63 of 63"
    assert page[0].get_log("browser") == []


def test_the_row_of_the_slice_says_what_was_measured(page):
    titles = [one.text for one in page[0].find_elements("css selector", "#slice-table th")]
    cells = [one.text for one in page[0].find_elements("css selector", "#slice-0 td")]
    row = dict(zip(titles, cells, strict=True))
    placed, drawn = metrics(page, "z00_tile_positions"), metrics(page, "slice_z00_stitch_3d")
    by_evidence = 63 - placed["tiles_without_link"]
    assert row["tiles by evidence"] == f"{by_evidence} of 63"
    assert row["links"] == f"{placed['links_used']} of {placed['links_possible']}"
    assert float(row["residual px"]) == pytest.approx(placed["rms_residual"], rel=0.01)
    assert float(row["seam"]) == pytest.approx(drawn["seam_ratio"], rel=0.01)
    # One slice: nothing was compared with another, and nothing claims to have been.
    assert "correlation" not in row
    assert "Not measured on any slice" in text(page, "slices")


def test_pictures_are_there_with_a_scale_that_is_true(page):
    pictures = page[0].find_elements("css selector", "#pictures img, header ~ section img")
    assert pictures
    drawn = page[0].execute_script("return [...document.images].map(one => one.naturalWidth)")
    assert min(drawn) > 0
    bars = page[0].find_elements("css selector", ".bar")
    assert bars
    assert all("mm" in bar.text or "µm" in bar.text for bar in bars)
    outside = page[0].execute_script(
        "return performance.getEntriesByType('resource').map(one => one.name)"
    )
    assert [name for name in outside if not name.startswith(("data:", "blob:"))] == []


def test_it_fits_a_window_and_a_phone(page):
    for width in (1200, 420):
        page[0].set_window_size(width, 900)
        wide = page[0].execute_script("return document.documentElement.scrollWidth")
        assert wide <= page[0].execute_script("return window.innerWidth")


def test_every_finding_has_a_cause_and_a_page(page):
    rows = page[0].find_elements("css selector", "table#findings tr")[1:]
    for row in rows:
        cells = row.find_elements("tag name", "td")
        assert cells[0].text
        assert cells[4].find_element("tag name", "a").get_attribute("href").endswith(".md")
