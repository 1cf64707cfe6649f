"""Transform files as links, and which of them count."""

import math
from dataclasses import replace

import pytest

from mosaicflow.alignment.links import (
    LinkRules,
    grade_link,
    low_runs,
    mismatches,
    parse_link,
    unjoined,
    without_detours,
)
from mosaicflow.errors import FormatError
from mosaicflow.reasons import Doubt, Refusal

RECORD = {
    "type": "rigid2d",
    "convention": "pull",
    "angle_deg": 0.42,
    "center_yx": [512.0, 430.5],
    "translation_yx": [-3.1, 7.0],
    "resolution_um": 10.0,
    "fixed_id": 4,
    "moving_id": 5,
    "fixed_z": 38,
    "moving_z": 0,
}
RULES = LinkRules()
FAILED = Refusal(Doubt.AT_LIMIT, "ran to a limit")


def link(**changes):
    return replace(parse_link(RECORD, "z04_z05_transform.json", canvas_um=10.0), **changes)


def test_a_file_with_nothing_but_the_motion_is_a_full_link():
    found = grade_link(link(), RULES)
    assert (found.name, found.counts, found.confidence) == ("4-5", True, 1.0)
    assert found.fixed_yx == (512.0, 430.5)
    assert found.moving_yx == pytest.approx((508.9, 437.5))


def test_the_stage_offset_leads_back_to_pixels_of_the_moving_slice():
    found = parse_link({**RECORD, "stage_offset_yx": [80.0, 120.0]}, "x", canvas_um=10.0)
    assert found.moving_yx == pytest.approx((428.9, 317.5))


def test_pixels_of_another_pitch_are_scaled_about_their_corners():
    found = parse_link({**RECORD, "resolution_um": 20.0}, "x", canvas_um=10.0)
    assert found.fixed_yx == (1024.5, 861.5)


@pytest.mark.parametrize(
    ("changes", "use", "reason"),
    [
        ({"confidence": 0.85}, "full", ""),
        ({"confidence": 0.1}, "full", ""),  # sigma decides how much it counts
        ({"angle_deg": 7.0}, "none", "too large"),
        ({"refusal": FAILED}, "none", "status_error: ran to a limit"),
    ],
)
def test_what_is_wrong_is_not_used(changes, use, reason):
    found = grade_link(link(**changes), RULES)
    assert found.counts == (use == "full")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("preset", "changes", "use"),
    [
        ("conservative", {"advantage": 3.5}, "full"),
        ("conservative", {"advantage": 2.5}, "none"),
        ("conservative", {}, "none"),  # nothing is known of it
        ("standard", {"advantage": 0.5}, "full"),
        ("standard", {"angle_deg": 7.0}, "none"),
        ("aggressive", {"angle_deg": 7.0}, "full"),
        ("aggressive", {"refusal": FAILED}, "none"),
        ("minimal", {"advantage": 30.0}, "none"),
    ],
)
def test_a_preset_says_what_a_pair_must_prove(preset, changes, use):
    found = grade_link(link(**changes), LinkRules(preset=preset))
    assert (found.counts, bool(found.reason)) == (use == "full", use == "none")


def test_a_least_correlation_can_be_asked_for():
    rules = LinkRules(min_correlation=0.5)
    refused = grade_link(link(correlation=0.4), rules).refusal
    assert refused == Refusal.of(Doubt.UNLIKE, 0.4)
    assert grade_link(link(correlation=0.6), rules).counts


def test_a_failed_registration_is_not_used():
    found = parse_link({**RECORD, "status": "error", "reason": "r"}, "x", canvas_um=10.0)
    assert grade_link(found, RULES).failed


def test_what_registration_turned_down_can_be_asked_for():
    found = {"angle_deg": 1.5, "translation_yx": [8.0, 0.0], "confidence": 0.7}
    failed = {**RECORD, "status": "error", "reason": "r", "confidence": 0.0, "rejected": found}
    taken = grade_link(parse_link(failed, "x", canvas_um=10.0, skip_error=False), RULES)
    assert (taken.counts, taken.angle_deg, taken.confidence) == (True, 1.5, 0.7)
    left = grade_link(parse_link(failed, "x", canvas_um=10.0), RULES)
    assert (left.refusal, left.reason) == (Refusal(Doubt.UNTOLD, "r"), "status_error: r")


def test_of_the_pairs_across_a_gap_only_the_nearest_counts():
    near = link(fixed_id=1, moving_id=3, distance_planes=18.0)
    far = link(fixed_id=0, moving_id=3, distance_planes=38.0)
    links = [link(fixed_id=0, moving_id=1), near, far, link(fixed_id=3, moving_id=4)]
    found = without_detours(links)
    assert [one.counts for one in found] == [True, True, False, True]
    assert found[2].refusal.code == Doubt.FARTHER
    assert "nearer" in found[2].reason


def test_no_record_makes_a_link_infinitely_sure():
    found = parse_link({**RECORD, "sigma_px": 0.0, "sigma_deg": 0.0}, "x", canvas_um=10.0)
    assert found.sigma_px > 0
    assert found.sigma_deg > 0


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "affine"},
        {"convention": "push"},
        {"fixed_id": None},
        {"center_yx": [1]},
        {"angle_deg": math.nan},
        {"moving_id": 4},
        {"fixed_id": 6},
        {"resolution_um": 0},
    ],
)
def test_a_file_that_says_something_else_is_refused(broken):
    with pytest.raises(FormatError, match=r"^z04_z05_transform\.json: "):
        parse_link({**RECORD, **broken}, "z04_z05_transform.json", canvas_um=10.0)


def pairs(values):
    return [link(fixed_id=i, moving_id=i + 1, correlation=value) for i, value in enumerate(values)]


def test_a_run_of_bad_pairs_names_its_moving_slices():
    bad = pairs([0.9, 0.1, 0.2, 0.1, 0.9])
    # Slices 2 and 3 match neither neighbour; slice 4 matches slice 5.
    assert low_runs(bad, range(6), min_correlation=0.4, length=3) == [2, 3]


def test_two_bad_pairs_are_no_run():
    assert low_runs(pairs([0.9, 0.1, 0.1, 0.9]), range(5), min_correlation=0.4, length=3) == []


def test_a_good_slice_behind_a_bad_one_is_kept():
    links = [*pairs([0.1, 0.1, 0.1]), link(fixed_id=1, moving_id=3, correlation=0.8)]
    assert low_runs(links, range(4), min_correlation=0.4, length=3) == [2]


def test_an_unknown_correlation_is_not_held_against_a_slice():
    assert low_runs(pairs([math.nan] * 4), range(5), min_correlation=0.4, length=3) == []


def spanning(bad_value, across):
    """Slices 0 to 4, slice 2 unlike its neighbours, and pairs across it."""
    values = [0.9, bad_value, bad_value, 0.9]
    return [*pairs(values), link(fixed_id=1, moving_id=3, correlation=across)]


def test_a_slice_unlike_neighbours_that_match_each_other_is_named():
    assert mismatches(spanning(0.1, 0.8), range(5), min_correlation=0.4) == [2]


def test_a_slice_is_kept_when_nothing_shows_that_its_tissue_is_there():
    assert mismatches(spanning(0.1, 0.2), range(5), min_correlation=0.4) == []
    assert mismatches(spanning(0.5, 0.8), range(5), min_correlation=0.4) == []


def test_neighbours_without_common_tissue_are_named():
    across = link(fixed_id=1, moving_id=2, distance_planes=16.0)
    links = [link(fixed_id=0, moving_id=1), across, link(fixed_id=2, moving_id=3)]
    assert unjoined(links, [0, 1, 2, 3, 4]) == [(1, 2), (3, 4)]
    bridge = link(fixed_id=0, moving_id=2)
    assert unjoined([*links, bridge], [0, 1, 2, 3]) == []
    assert [one.counts for one in without_detours([*links, bridge])] == [
        True,
        False,
        True,
        True,
    ]
