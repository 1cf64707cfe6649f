"""What is advised is there: switches are settings, numbers are measured, pages exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mosaicflow.engine.parameters import Parameters
from mosaicflow.report import causes, joints
from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[3]
MEASURED = {one.name for stage in STAGES.values() for one in stage.contract.metrics}
SETTINGS = set(Parameters({}).effective())
ADVICE = {**causes._ADVICE, **causes._SENTENCES, **joints._ADVICE}


@pytest.mark.parametrize("key", causes._ADVICE)
def test_advice_is_about_a_number_that_is_measured_or_a_documented_code(key):
    pages = [
        ROOT / f"docs/stages/{one}.md" for one in ("inspect_acquisition", "create_mosaic_grid")
    ]
    assert key in MEASURED or any(f"`{key}`" in page.read_text("utf-8") for page in pages)


@pytest.mark.parametrize("key", ADVICE)
def test_each_switch_and_number_that_is_advised_exists(key):
    said = re.sub(r"\w+\.(csv|json|png)", "", f"{ADVICE[key].cause} {ADVICE[key].remedy}")
    named = set(re.findall(r"[a-z]+(?:_[a-z0-9]+)+", said))
    assert named <= SETTINGS | MEASURED


@pytest.mark.parametrize("stage", STAGES)
def test_each_number_that_can_be_raised_has_a_cause_and_a_switch(stage):
    judged = [one for one in STAGES[stage].contract.metrics if one.warning or one.error]
    assert {one.name for one in judged} <= set(causes._ADVICE)


@pytest.mark.parametrize("stage", STAGES)
def test_each_finding_leads_to_a_page(stage):
    assert (ROOT / f"docs/stages/{stage}.md").is_file()
