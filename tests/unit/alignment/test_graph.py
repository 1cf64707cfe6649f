"""The pose graph against known poses."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.alignment.align import place_by_evidence
from mosaicflow.alignment.given import GivenPose
from mosaicflow.alignment.graph import GraphSettings, solve_graph
from mosaicflow.alignment.links import SliceLink
from mosaicflow.alignment.poses import GraphSlice, Pose
from mosaicflow.alignment.trust import measured_trust

CENTER = (50.0, 40.0)
SETTINGS = GraphSettings()


def slices_at(stage, segments=None):
    kinds = segments or [0] * len(stage)
    return [GraphSlice(i, CENTER, tuple(map(float, p)), kinds[i]) for i, p in enumerate(stage)]


def link_between(poses, i, j, *, error=(0.0, 0.0), confidence=0.9, sigma=0.05):
    """The link that an exact registration of two known poses gives."""
    first, second = poses[i].transform, poses[j].transform
    point = (60.0, 30.0)
    there = second.inverse().about((0.0, 0.0)).apply(first.apply(point)) + error
    return SliceLink(
        fixed_id=i,
        moving_id=j,
        angle_deg=poses[i].angle_deg - poses[j].angle_deg,
        fixed_yx=point,
        moving_yx=(float(there[0]), float(there[1])),
        sigma_px=sigma,
        sigma_deg=0.01,
        confidence=confidence,
        correlation=0.9,
        held_out=(0.5, 0.8),
        drift=(0.0, math.inf),
    )


def chain(poses, span=3, **options):
    n = len(poses)
    return [
        link_between(poses, i, j, **options) for i in range(n) for j in range(i + 1, min(n, i + 4))
        if j - i <= span
    ]  # fmt: skip


def relative_error(found, truth, i, j):
    """Distance by which slice j misses slice i [px]."""
    points = np.array([CENTER, (10.0, 70.0)])
    by_truth = truth[j].transform.inverse().about((0, 0)).apply(truth[i].transform.apply(points))
    by_found = found[j].transform.inverse().about((0, 0)).apply(found[i].transform.apply(points))
    return np.hypot(*(by_found - by_truth).T).max()


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(-4, 4), st.floats(-4, 4)), min_size=2, max_size=7
    )
)
@settings(max_examples=25, deadline=None)
def test_consistent_links_place_neighbours_exactly(moves):
    truth = {i: Pose(angle, CENTER, (100.0 + y, 90.0 + x)) for i, (angle, y, x) in enumerate(moves)}
    stage = slices_at([(100.0, 90.0)] * len(moves))
    found = solve_graph(stage, chain(truth), len(moves) // 2, SETTINGS).poses
    for i in range(len(moves) - 1):
        # The stage prior, 30 times as loose as a link, pulls by a thousandth of its error.
        assert relative_error(found, truth, i, i + 1) < 0.05  # px


def test_the_reference_stays_where_the_stage_has_it():
    truth = {i: Pose(1.0 + i, CENTER, (100.0 + 5 * i, 90.0)) for i in range(4)}
    found = solve_graph(slices_at([(100.0, 90.0)] * 4), chain(truth), 2, SETTINGS).poses
    assert found[2].angle_deg == pytest.approx(0.0, abs=1e-9)
    assert found[2].at_yx == pytest.approx((100.0, 90.0))


def test_a_wrong_link_is_outvoted():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(6)}
    links = [link for link in chain(truth) if link.name != "2-3"]
    links.append(link_between(truth, 2, 3, error=(12.0, -7.0)))
    solution = solve_graph(slices_at([(100.0, 90.0)] * 6), links, 3, SETTINGS)
    found, loops = solution.poses, solution.loops
    assert relative_error(found, truth, 2, 3) < 0.3  # px, of an error of 14
    assert loops[-1].by_graph_px > 10


def test_the_stage_keeps_a_chain_of_biased_links_from_drifting():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(40)}
    links = [link_between(truth, i, i + 1, error=(0.3, 0.0)) for i in range(39)]
    found = solve_graph(slices_at([(100.0, 90.0)] * 40), links, 20, SETTINGS).poses
    offsets = [pose.at_yx[0] - 100.0 for pose in found.values()]
    # Summing the links would end 11.7 px apart; 0.3 px is 3 times the error they claim.
    assert np.ptp(offsets) < 9


def test_links_that_agree_beat_a_stage_that_is_worse_than_it_claims():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(6)}
    rng = np.random.default_rng(1)
    links = [
        link_between(truth, i, j, error=tuple(rng.normal(0, 1.5, 2)), sigma=2.5)
        for i in range(6)
        for j in range(i + 1, min(6, i + 4))
    ]
    stage = [(100.0 + y, 90.0 + x) for y, x in rng.normal(0, 6.0, (6, 2))]
    found = solve_graph(slices_at(stage), links, 3, SETTINGS).poses
    misses = [relative_error(found, truth, i, i + 1) for i in range(5)]
    assert max(misses) < 3  # px; the stage alone misses by 23


def test_slices_without_links_stay_where_the_stage_puts_them():
    stage = slices_at([(100.0, 90.0), (103.0, 90.0), (106.0, 91.0)])
    placed = place_by_evidence(stage, [], 1, SETTINGS).slices
    assert placed[0].pose.at_yx == pytest.approx((100.0, 90.0))
    assert placed[2].source == "stage"
    assert placed[2].confidence == 0.0
    assert "no usable link to another slice" in placed[2].reasons


def test_behind_an_unreliable_step_links_decide():
    truth = {i: Pose(0.0, CENTER, (100.0 + (60.0 if i > 1 else 0.0), 90.0)) for i in range(4)}
    stage = slices_at([(100.0, 90.0)] * 4, segments=[0, 0, 1, 1])
    found = solve_graph(stage, chain(truth), 1, SETTINGS).poses
    assert found[3].at_yx[0] - found[0].at_yx[0] == pytest.approx(60.0, abs=0.1)


def test_a_slice_nothing_holds_follows_the_one_before():
    stage = slices_at([(100.0, 90.0)] * 3, segments=[0, 0, 1])
    placed = place_by_evidence(stage, [], 1, SETTINGS).slices
    assert placed[2].source == "previous"
    assert placed[2].pose.at_yx == pytest.approx(placed[1].pose.at_yx, abs=1e-6)


def test_shift_and_rotation_each_count_by_their_own_error():
    truth = {0: Pose(0.0, CENTER, (100.0, 90.0)), 1: Pose(2.0, CENTER, (102.0, 90.0))}
    stage = slices_at([(100.0, 90.0)] * 2)
    blind = replace(link_between(truth, 0, 1), sigma_deg=50.0)
    placed = place_by_evidence(stage, [blind], 0, SETTINGS).slices
    assert placed[1].source == "graph"
    assert placed[1].pose.angle_deg == pytest.approx(0.0, abs=0.5)
    loose = replace(link_between(truth, 0, 1), sigma_px=1.0)
    placed = place_by_evidence(stage, [loose], 0, SETTINGS).slices
    assert placed[1].pose.angle_deg == pytest.approx(2.0, abs=0.1)
    assert 0.5 < placed[1].pose.at_yx[0] - 100.0 < 2.0  # px: between the stage and the link


def test_a_pair_less_sure_than_the_stage_does_not_count():
    truth = {i: Pose(0.0, CENTER, (100.0 + 9.0 * i, 90.0)) for i in range(2)}
    noise = replace(link_between(truth, 0, 1), sigma_px=40.0, sigma_deg=30.0)
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 2), [noise], 0, SETTINGS)
    assert placed.slices[1].source == "stage"
    assert "less certain than the stage" in placed.links[0].reason


def test_every_link_can_be_made_to_count_by_its_own_error():
    truth = {i: Pose(0.0, CENTER, (100.0 + 9.0 * i, 90.0)) for i in range(2)}
    vague = replace(link_between(truth, 0, 1), sigma_px=10.0, sigma_deg=30.0)
    every = replace(SETTINGS, every_link=True)
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 2), [vague], 0, every)
    assert (placed.slices[1].source, placed.links[0].reason) == ("graph", "")


def test_how_far_the_stage_is_trusted_is_measured_where_tissue_is_shared():
    rng = np.random.default_rng(4)
    truth = {i: Pose(float(rng.normal(0, 0.5)), CENTER, (100.0, 90.0)) for i in range(40)}
    stage = slices_at([(100.0 + y, 90.0 + x) for y, x in rng.normal(0, 3.0, (40, 2))])
    links = chain(truth, span=1)
    found = measured_trust(stage, links, SETTINGS)
    assert found.stage_sigma_px == pytest.approx(3.0, rel=0.25)
    assert found.angle_sigma_deg == pytest.approx(0.5, rel=0.3)
    blind = [replace(link, distance_planes=20.0) for link in links]
    assert measured_trust(stage, blind, SETTINGS) == SETTINGS


def test_likeness_of_different_tissue_counts_only_where_a_stage_could_be():
    truth = {i: Pose(0.0, CENTER, (100.0 + 30.0 * i, 90.0)) for i in range(2)}
    far = replace(link_between(truth, 0, 1, sigma=1.0), distance_planes=18.0, sigma_deg=5.0)
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 2), [far], 0, SETTINGS)
    assert placed.slices[1].source == "stage"
    assert "beyond 8 sigma" in placed.links[0].reason


@pytest.mark.parametrize(("known", "source"), [(2, "graph"), (12, "stage")])
def test_few_steps_do_not_say_how_far_a_stage_may_be_off(known, source):
    """Two pairs on a stage that happens to look good turn down no likeness that many would."""
    truth = {i: Pose(0.0, CENTER, (100.0 + 11.0 * (i > known), 90.0)) for i in range(known + 2)}
    links = chain(truth, span=1)[:known]
    last = link_between(truth, known, known + 1, sigma=1.0)
    links.append(replace(last, distance_planes=18.0, sigma_deg=5.0))
    wobble = [(100.0 + 1.5 * (-1) ** i, 90.0 + 1.5 * (-1) ** i) for i in range(known + 2)]
    placed = place_by_evidence(slices_at(wobble), links, 0, SETTINGS)
    assert placed.slices[known + 1].source == source


def test_across_a_gap_a_stage_that_slipped_does_not_outvote_likeness():
    """Many slices hang on either side, each of which the stage put where the others are."""
    slip, upper = (4.0, -9.0), 6
    at = [(100.0, 90.0)] * upper + [(100.0 + slip[0], 90.0 + slip[1])] * 10
    truth = {i: Pose(0.0, CENTER, place) for i, place in enumerate(at)}
    links = chain(truth, span=1)
    bridge = links[upper - 1]
    links[upper - 1] = replace(bridge, distance_planes=22.0, sigma_px=1.0, sigma_deg=5.0)
    stage = np.random.default_rng(2).normal(0, 1.5, (len(at), 2)) + at[0]
    found = place_by_evidence(slices_at(stage), links, upper, SETTINGS).slices
    step = np.subtract(found[upper].pose.at_yx, found[upper - 1].pose.at_yx)
    assert math.dist(step, slip) < 5.0  # px, of 9.8: most of it is what likeness says


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_one_wrong_shift_in_ten_moves_no_neighbour_far(seed):
    rng = np.random.default_rng(seed)
    truth = {
        i: Pose(float(rng.normal(0, 0.5)), CENTER, (100.0 + y, 90.0 + x))
        for i, (y, x) in enumerate(rng.normal(0, 3, (12, 2)))
    }
    links = chain(truth)
    # Two of the three links of a slice at the end could not be outvoted by anything.
    for number in (7, 13, 22):
        one = links[number]
        error = tuple(rng.uniform(10, 60, 2) * rng.choice([-1, 1], 2))
        links[number] = link_between(truth, one.fixed_id, one.moving_id, error=error)
    found = solve_graph(slices_at([(100.0, 90.0)] * 12), links, 6, SETTINGS).poses
    assert max(relative_error(found, truth, i, i + 1) for i in range(11)) < 0.5  # px


@pytest.mark.parametrize("n", [2, 3, 150])
def test_a_step_is_as_certain_as_what_measured_it(n):
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(n)}
    links = [link_between(truth, i, i + 1, sigma=0.05) for i in range(n - 1) if i != n // 2]
    solution = solve_graph(slices_at([(100.0, 90.0)] * n), links, 0, SETTINGS)
    sure = [sigma for i, sigma in solution.step_sigma_px.items() if i != n // 2 + 1]
    assert all(sigma < 0.2 for sigma in sure)
    if n // 2 + 1 < n:
        # The stage alone joins the two sides: no better than its error, over all their slices.
        assert solution.step_sigma_px[n // 2 + 1] > 0.3


def test_a_single_slice_is_placed():
    placed = place_by_evidence(slices_at([(5.0, 6.0)]), [], 0, SETTINGS).slices
    assert placed[0].source == "reference"
    assert placed[0].pose.at_yx == pytest.approx((5.0, 6.0))


def test_both_numbers_of_the_decision_are_recorded():
    truth = {i: Pose(0.0, CENTER, (100.0 + 2 * i, 90.0)) for i in range(5)}
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 5), chain(truth), 2, SETTINGS).slices
    evidence = placed[1].evidence
    assert evidence["loop_error_graph_px"] < 0.2 < evidence["loop_error_stage_px"]
    assert (evidence["held_out_correlation_stage"], evidence["held_out_correlation_graph"]) == (
        0.5,
        0.8,
    )


def test_links_that_contradict_each_other_give_way_to_the_stage():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(5)}
    rng = np.random.default_rng(0)
    links = [
        link_between(truth, link.fixed_id, link.moving_id, error=tuple(rng.normal(0, 15, 2)))
        if 2 in (link.fixed_id, link.moving_id)
        else link
        for link in chain(truth)
    ]
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 5), links, 0, SETTINGS).slices
    miss = math.dist(placed[2].pose.at_yx, (100.0, 90.0))
    assert miss < 3  # px, of links that miss by 20


@given(
    st.integers(0, 4),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.floats(-4, 4),
)
@settings(max_examples=15, deadline=None)
def test_a_locked_slice_lies_where_it_was_given_whatever_links_say(which, shift, angle):
    truth = {i: Pose(0.2 * i, CENTER, (100.0 + 3 * i, 90.0)) for i in range(5)}
    stage = slices_at([(100.0 + i, 90.0 - i) for i in range(5)])
    pose = GivenPose(which, shift, angle, 1.0, lock=True)
    found = place_by_evidence(stage, chain(truth), 2, SETTINGS, {which: pose}).slices
    at = np.add(stage[which].stage_yx, shift)
    assert found[which].pose.at_yx == pytest.approx(tuple(at), abs=0.01)  # px
    assert found[which].pose.angle_deg == pytest.approx(angle, abs=0.01)
    assert found[which].evidence["moved_from_stage_px"] == pytest.approx(shift, abs=0.01)
    assert found[which].source == "manual"
    if which != 2:  # the reference still holds the whole
        assert found[2].pose.at_yx == pytest.approx(stage[2].stage_yx)
        assert found[2].pose.angle_deg == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("sigma", "moved"), [(0.01, 6.0), (50.0, 0.0)])
def test_a_given_place_counts_by_its_sigma_against_the_links(sigma, moved):
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(5)}
    stage = slices_at([(100.0, 90.0)] * 5)
    pose = GivenPose(4, (6.0, 0.0), None, sigma)
    found = solve_graph(stage, chain(truth), 2, SETTINGS, {4: pose}).poses
    assert found[4].at_yx[0] - 100.0 == pytest.approx(moved, abs=0.1)  # px


def test_given_places_hold_against_each_other_when_the_reference_itself_is_given():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(4)}
    stage = slices_at([(100.0, 90.0)] * 4)
    poses = {
        2: GivenPose(2, (4.0, 0.0), 1.0, 1.0),
        3: GivenPose(3, (0.0, 7.0), 0.5, 1.0, lock=True),
    }
    found = solve_graph(stage, [], 2, SETTINGS, poses).poses
    assert found[3].at_yx == pytest.approx((100.0, 97.0))
    assert found[3].angle_deg == pytest.approx(0.5)
    free = solve_graph(stage, chain(truth), 2, SETTINGS, poses).poses
    assert free[3].at_yx == pytest.approx((100.0, 97.0))
