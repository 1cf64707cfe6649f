"""The page of each stage tells of every number and setting that the stage has."""

import json
from pathlib import Path

import pytest

from mosaicflow.engine.parameters import stage_settings
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.stages._table import STAGES

DOCS = Path(__file__).parents[3] / "docs"


def unnamed(page, names):
    return [name for name in names if name not in page]


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_names_every_setting(stage):
    page = (DOCS / "stages" / f"{stage}.md").read_text(encoding="utf-8")
    if stage == "inspect_acquisition":
        page += (DOCS / "input.md").read_text(encoding="utf-8")
    common = StoreOptions.__dataclass_fields__
    assert unnamed(page, [name for name in stage_settings(stage) if name not in common]) == []


def test_the_pages_name_every_metric(finished_run):
    missing = {}
    for file in (finished_run / "metrics").glob("*.json"):
        report = json.loads(file.read_text(encoding="utf-8"))
        page = (DOCS / "stages" / f"{report['step_name']}.md").read_text(encoding="utf-8")
        if names := unnamed(page, report["metrics"]):
            missing[report["step_name"]] = names
    assert missing == {}
