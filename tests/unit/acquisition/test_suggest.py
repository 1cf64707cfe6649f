"""What an acquisition asks for: each suggestion where its cause is, with the reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import yaml

from mosaicflow.acquisition import suggest
from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.suggest import suggested_parameters
from mosaicflow.engine.parameters import Parameters, default_values


@pytest.fixture
def found(acquisition):
    return discover(acquisition.raw, InspectSettings(axial_resolution_um=10.0))


def suggested(found, slices):
    """The lines that are set, and those for somebody to decide, with the reasons above them."""
    text = suggested_parameters(replace(found, slices=tuple(slices)))
    known = yaml.safe_load(text)
    assert known.pop("schema") == 1
    asked = {}
    for reason, line in pairwise(text.splitlines()):
        name, colon, value = line.removeprefix("# ").partition(": ")
        if colon and name in default_values():
            asked[name] = (value, reason)
    return known, asked


def changed(found, *, step_mm=0.0, ids=None, **changes):
    """Copies of the first slice, one beside the other."""
    first = replace(found.slices[0], **changes)
    for place, slice_id in enumerate(ids or range(4)):
        low = tuple(value + place * step_mm for value in first.stage.min_mm)
        yield replace(first, slice_id=slice_id, stage=replace(first.stage, min_mm=low))


def test_the_thickness_of_sections_is_for_people_to_say(found):
    known, asked = suggested(found, changed(found))
    assert known == {}
    assert list(asked) == ["slicing_interval_mm"]
    assert "no file says how thick a section is" in asked["slicing_interval_mm"][1]


def test_pairs_are_told_to_reach_across_slices_that_are_absent(found):
    known, asked = suggested(found, changed(found, ids=(0, 1, 6, 7)))
    assert known == {"graph_span": 5}
    assert "no slice 2 to 5" in asked["graph_span"][1]
    assert "graph_span" not in suggested(found, changed(found, ids=(0, 1, 4, 5)))[1]


def test_long_steps_of_the_stage_widen_the_search_for_jumps(found):
    _, asked = suggested(found, changed(found, step_mm=0.6))
    value, reason = asked["rehoming_max_shift_mm"]
    assert float(value) == pytest.approx(2 * 0.6 * 2**0.5, rel=0.05)
    assert "the stage steps by 0.85 mm" in reason
    assert "rehoming_max_shift_mm" not in suggested(found, changed(found, step_mm=0.3))[1]


def test_coarse_tiles_keep_their_pitch_and_fine_ones_are_a_question(found):
    known, _ = suggested(found, changed(found, pitch_um=(10.0, 20.0, 20.0)))
    assert known == {"resolution_um": -1, "pyramid_resolutions": [20, 25, 50, 100]}
    known, asked = suggested(found, changed(found, pitch_um=(3.0, 2.5, 2.5)))
    assert known == {}
    assert "16 times as many pixels" in asked["resolution_um"][1]


def test_an_overlap_that_no_file_tells_is_asked_for(found):
    _, asked = suggested(found, changed(found, positions="nominal"))
    assert float(asked["stitch_overlap_fraction"][0]) == found.slices[0].overlap_fraction


def test_each_default_that_is_spoken_of_is_the_program_s(found):
    values = Parameters({}).effective()
    assert values["graph_span"] == suggest._SPAN
    assert values["rehoming_max_shift_mm"] == suggest._STEP_MM
    assert values["resolution_um"] == suggest._USUAL_UM
