"""What is advised is there: switches are settings, numbers are measured, pages exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.engine.parameters import Parameters
from mosaicflow.reasons import Concern
from mosaicflow.report import causes, joints
from mosaicflow.report.advice import ADVICE
from mosaicflow.report.records import Measured, spelled_out
from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[3]
MEASURED = {one.name for stage in STAGES.values() for one in stage.contract.metrics}
SETTINGS = set(Parameters({}).effective())
SAID = {**ADVICE, **joints._ADVICE}
PAGES = [ROOT / f"docs/stages/{one}.md" for one in ("inspect_acquisition", "create_mosaic_grid")]


def is_problem(code):
    return any(f"`{code}`" in page.read_text("utf-8") for page in PAGES)


@pytest.mark.parametrize("key", ADVICE)
def test_advice_is_about_a_number_that_is_measured_or_a_code(key):
    assert key in MEASURED | set(Concern) or is_problem(key)


def test_a_code_means_one_thing():
    assert set(Concern).isdisjoint(MEASURED)
    assert not [code for code in Concern if is_problem(code)]


def test_whoever_warns_gives_a_code():
    """And every code is used: of a sentence without one the report knows no cause."""
    calls = [
        call
        for path in sorted((ROOT / "src").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("warn", "warn_unless", "error")
        and ast.unparse(call.func.value) in ("report", "self", "told")
        and path.parts[-2] != "ground"  # tables of text have errors of their own
    ]
    codes = {ast.unparse(call.args[-1]) for call in calls}
    assert len(calls) > 30
    assert all(len(call.args) == 2 + (call.func.attr == "warn_unless") for call in calls)
    # Of raw data; and what `warn_unless` was given.
    assert codes == {f"Concern.{one.name}" for one in Concern} | {"problem.code", "code"}


def measured(sentences, codes):
    return Measured("slice_z01", "stitch_3d", "warning", {}, sentences, codes={"warnings": codes})


@given(
    words=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True),
    code=st.sampled_from(Concern),
)
def test_advice_follows_the_code_whatever_the_words(words, code):
    found = causes.findings([measured(tuple(words), [code] * len(words))], ())
    assert sum(one.count for one in found) == len(set(map(spelled_out, words)))
    assert {one.advice for one in found} == {ADVICE.get(code)}


def test_files_of_earlier_versions_have_codes_of_problems_alone():
    told = "z1/a.tif: all samples are 0 [blank_tile, keep]", "the overlaps of 2 tiles"
    found = {one.text: one.advice for one in causes.findings([measured(told, [])], ())}
    assert found == {told[0]: ADVICE["blank_tile"], told[1]: None}


@pytest.mark.parametrize("key", SAID)
def test_each_switch_and_number_that_is_advised_exists(key):
    said = re.sub(r"\w+\.(csv|json|png)", "", f"{SAID[key].cause} {SAID[key].remedy}")
    named = set(re.findall(r"[a-z]+(?:_[a-z0-9]+)+", said))
    assert named <= SETTINGS | MEASURED


@pytest.mark.parametrize("stage", STAGES)
def test_each_number_that_can_be_raised_has_a_cause_and_a_switch(stage):
    judged = [one for one in STAGES[stage].contract.metrics if one.warning or one.error]
    assert {one.name for one in judged} <= set(ADVICE)


@pytest.mark.parametrize("code", Concern)
def test_each_code_that_stages_warn_of_has_a_cause_and_a_remedy(code):
    advice = ADVICE[code]
    assert advice.cause
    assert advice.remedy


@pytest.mark.parametrize(
    ("sentences", "where"),
    [
        (["slice 4 excluded: it matches none of its neighbours"], "slice 4"),
        (["slices 3-5 are joined by no pair", "slices 5-6 are joined by no pair"],
         "slices 3-5, slices 5-6"),
        (["slices 1, 2-4 inside the stack match nothing"], "slices 1, 2-4"),
        (["the stage runs in different directions on different slices"], ""),
        (["overrides: slice 9 did not arrive; its row does nothing"], ""),
    ],
)  # fmt: skip
def test_what_the_whole_run_says_of_slices_is_said_of_them(sentences, where):
    told = Measured("alignment", "solve_alignment", "warning", {}, tuple(sentences))
    assert [one.where for one in causes.findings([told], ())] == [where]


def test_a_lost_slice_is_looked_at_before_what_was_met_more_often():
    codes = {"warnings": [Concern.OFF_PITCH, Concern.OFF_PITCH, Concern.LEFT_OUT]}
    told = ("steps of 2 um", "steps of 3 um", "slice 4 excluded: torn")
    found = causes.findings([Measured("a", "s", "warning", {}, told, codes=codes)], ())
    assert [one.text for one in found] == [told[2], told[0]]


@pytest.mark.parametrize("stage", STAGES)
def test_each_finding_leads_to_a_page(stage):
    assert (ROOT / f"docs/stages/{stage}.md").is_file()
