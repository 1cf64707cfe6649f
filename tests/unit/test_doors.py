"""What strangers are told first: paths that exist, pages that can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# A path with a placeholder (<stem>) is a pattern, not a place.
PATH = re.compile(
    r"`((?:src|tests|docs|bin|modules|workflows|functions|engine|stages|acquisition|formats|containers|benchmarks)/[\w./]*)`"
)


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "RELEASING.md", "docs/architecture.md", "README.md"]
)
def test_every_place_that_a_page_names_exists(page):
    named = PATH.findall((ROOT / page).read_text("utf-8"))
    missing = [
        place
        for place in named
        if not (ROOT / place).exists() and not (ROOT / "src/mosaicflow" / place).exists()
    ]
    assert missing == []


def test_contributing_names_places():
    assert len(PATH.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))) > 15


def test_every_page_of_the_documentation_is_in_the_sites_contents():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = set(_pages(site["nav"]))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert listed == there


def _pages(nav):
    if isinstance(nav, str):
        yield nav
        return
    for entry in nav.values() if isinstance(nav, dict) else nav:
        yield from _pages(entry)


def test_the_site_and_the_architecture_page_name_every_stage():
    from mosaicflow.stages._table import STAGES

    listed = set(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert {f"stages/{name}.md" for name in STAGES} <= listed
    walk = (ROOT / "docs/architecture.md").read_text("utf-8")
    optional = {"inspect_acquisition", "resample_mosaic_grid", "detect_rehoming", "export"}
    assert [name for name in set(STAGES) - optional if f"`{name}`" not in walk] == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.name
)
def test_workflows_and_templates_are_yaml_with_what_they_need(file):
    content = yaml.safe_load(file.read_text("utf-8"))
    if file.parent.name == "workflows":
        assert all("steps" in job and "runs-on" in job for job in content["jobs"].values())
    else:
        assert "mosaicflow info --support" in file.read_text("utf-8")
        assert {"name", "description", "body"} <= set(content)
