"""The pose graph against known poses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.alignment.align import DepthRules, place_by_evidence, solve_depths
from mosaicflow.alignment.graph import GraphSettings, GraphSlice, Pose, solve_graph
from mosaicflow.alignment.links import Link

CENTER = (50.0, 40.0)
SETTINGS = GraphSettings()


def slices_at(stage, segments=None):
    kinds = segments or [0] * len(stage)
    return [GraphSlice(i, CENTER, tuple(map(float, p)), kinds[i]) for i, p in enumerate(stage)]


def link_between(poses, i, j, *, error=(0.0, 0.0), use="full", confidence=0.9, sigma=0.05):
    """The link that an exact registration of two known poses gives."""
    first, second = poses[i].transform, poses[j].transform
    point = (60.0, 30.0)
    there = second.inverse().about((0.0, 0.0)).apply(first.apply(point)) + error
    return Link(
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
        use=use,
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
    found, _ = solve_graph(stage, chain(truth), len(moves) // 2, SETTINGS)
    for i in range(len(moves) - 1):
        # The stage prior, 30 times as loose as a link, pulls by a thousandth of its error.
        assert relative_error(found, truth, i, i + 1) < 0.05  # px


def test_the_reference_stays_where_the_stage_has_it():
    truth = {i: Pose(1.0 + i, CENTER, (100.0 + 5 * i, 90.0)) for i in range(4)}
    found, _ = solve_graph(slices_at([(100.0, 90.0)] * 4), chain(truth), 2, SETTINGS)
    assert found[2].angle_deg == pytest.approx(0.0, abs=1e-9)
    assert found[2].at_yx == pytest.approx((100.0, 90.0))


def test_a_wrong_link_is_outvoted():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(6)}
    links = [link for link in chain(truth) if link.name != "2-3"]
    links.append(link_between(truth, 2, 3, error=(12.0, -7.0)))
    found, loops = solve_graph(slices_at([(100.0, 90.0)] * 6), links, 3, SETTINGS)
    assert relative_error(found, truth, 2, 3) < 0.3  # px, of an error of 14
    assert loops[-1].by_graph_px > 10


def test_the_stage_keeps_a_chain_of_biased_links_from_drifting():
    truth = {i: Pose(0.0, CENTER, (100.0, 90.0)) for i in range(40)}
    links = [link_between(truth, i, i + 1, error=(0.3, 0.0)) for i in range(39)]
    found, _ = solve_graph(slices_at([(100.0, 90.0)] * 40), links, 20, SETTINGS)
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
    found, _ = solve_graph(slices_at(stage), links, 3, SETTINGS)
    misses = [relative_error(found, truth, i, i + 1) for i in range(5)]
    assert max(misses) < 3  # px; the stage alone misses by 23


def test_slices_without_links_stay_where_the_stage_puts_them():
    stage = slices_at([(100.0, 90.0), (103.0, 90.0), (106.0, 91.0)])
    placed = place_by_evidence(stage, [], 1, SETTINGS)
    assert placed[0].pose.at_yx == pytest.approx((100.0, 90.0))
    assert placed[2].source == "stage"
    assert placed[2].confidence == 0.0
    assert "no usable link to another slice" in placed[2].reasons


def test_behind_an_unreliable_step_links_decide():
    truth = {i: Pose(0.0, CENTER, (100.0 + (60.0 if i > 1 else 0.0), 90.0)) for i in range(4)}
    stage = slices_at([(100.0, 90.0)] * 4, segments=[0, 0, 1, 1])
    found, _ = solve_graph(stage, chain(truth), 1, SETTINGS)
    assert found[3].at_yx[0] - found[0].at_yx[0] == pytest.approx(60.0, abs=0.1)


def test_a_slice_nothing_holds_follows_the_one_before():
    stage = slices_at([(100.0, 90.0)] * 3, segments=[0, 0, 1])
    placed = place_by_evidence(stage, [], 1, SETTINGS)
    assert placed[2].source == "previous"
    assert placed[2].pose.at_yx == pytest.approx(placed[1].pose.at_yx, abs=1e-6)


def test_a_rotation_only_link_turns_and_leaves_the_position_to_the_stage():
    truth = {0: Pose(0.0, CENTER, (100.0, 90.0)), 1: Pose(2.0, CENTER, (120.0, 90.0))}
    link = link_between(truth, 0, 1, use="rotation", confidence=0.4)
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 2), [link], 0, SETTINGS)
    assert placed[1].source == "rotation"
    assert placed[1].pose.angle_deg == pytest.approx(2.0, abs=0.05)
    assert placed[1].pose.at_yx == pytest.approx((100.0, 90.0), abs=1e-6)


def test_a_single_slice_is_placed():
    placed = place_by_evidence(slices_at([(5.0, 6.0)]), [], 0, SETTINGS)
    assert placed[0].source == "reference"
    assert placed[0].pose.at_yx == pytest.approx((5.0, 6.0))


def test_both_numbers_of_the_decision_are_recorded():
    truth = {i: Pose(0.0, CENTER, (100.0 + 2 * i, 90.0)) for i in range(5)}
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 5), chain(truth), 2, SETTINGS)
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
    placed = place_by_evidence(slices_at([(100.0, 90.0)] * 5), links, 0, SETTINGS)
    miss = math.dist(placed[2].pose.at_yx, (100.0, 90.0))
    assert miss < 3  # px, of links that miss by 20


def link_with_drift(i, j, drift_um, sigma_um=5.0):
    poses = {k: Pose(0.0, CENTER, (0.0, 0.0)) for k in (i, j)}
    base = link_between(poses, i, j)
    return Link(**{**{f: getattr(base, f) for f in base.__slots__}, "drift": (drift_um, sigma_um)})


def test_expected_depths_are_kept_unless_measured_ones_are_asked_for():
    links = [link_with_drift(0, 1, 30.0)]
    assert set(solve_depths([0, 1, 2], links, DepthRules(True, 5, 10.0)).values()) == {0.0}


def test_one_deep_slice_is_corrected_and_a_common_drift_is_not():
    ids = list(range(7))
    one_deep = [link_with_drift(i, i + 1, {2: 30.0, 3: -30.0}.get(i, 0.0)) for i in range(6)]
    found = solve_depths(ids, one_deep, DepthRules(False, 5, 10.0))
    assert round(found[3] - (found[2] + found[4]) / 2) == 3
    steady = [link_with_drift(i, i + 1, 10.0) for i in range(6)]
    found = solve_depths(ids, steady, DepthRules(False, 5, 10.0))
    assert abs(found[6] - found[0]) < 1  # plane: the volume keeps its length
