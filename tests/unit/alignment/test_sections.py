"""Section thickness against known thicknesses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.alignment.links import SliceLink
from mosaicflow.alignment.sections import DepthRules, solve_depths

RULES = DepthRules(use_expected=False, interval_um=200.0, plane_um=10.0)


def link(i, j, drift_um, sigma_um=0.5):
    return SliceLink(
        fixed_id=i,
        moving_id=j,
        angle_deg=0.0,
        fixed_yx=(0.0, 0.0),
        moving_yx=(0.0, 0.0),
        sigma_px=0.05,
        sigma_deg=0.01,
        confidence=0.9,
        correlation=0.9,
        held_out=(0.5, 0.8),
        drift=(drift_um, sigma_um),
    )


def test_expected_depths_are_kept_where_they_are_asked_for():
    found = solve_depths([0, 1, 2], [link(0, 1, 30.0)], DepthRules(True, 200.0, 10.0))
    assert found.depth_um == {0: 0.0, 1: 200.0, 2: 400.0}
    assert {one.source for one in found.sections.values()} == {"assumed"}


def test_an_absent_slice_leaves_its_section_open():
    found = solve_depths([4, 5, 8], [], RULES)
    assert found.depth_um == {4: 0.0, 5: 200.0, 8: 800.0}
    # Three sections that nothing measured are less certain than one.
    assert found.sections[8].sigma_um == pytest.approx(3**0.5 * found.sections[5].sigma_um)


@given(st.lists(st.floats(-12, 12), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_measured_sections_add_up_to_the_length_of_the_stack(off):
    ids = list(range(len(off) + 1))
    links = [link(i, i + 1, drift) for i, drift in enumerate(off)]
    found = solve_depths(ids, links, RULES)
    truth = np.concatenate([[0.0], np.cumsum(200.0 + np.array(off))])
    np.testing.assert_allclose(list(found.depth_um.values()), truth, atol=0.3 * len(off))
    assert {one.source for one in found.sections.values()} == {"measured"}


def test_what_is_not_measured_says_so_and_follows_the_interval():
    links = [link(0, 1, 6.0), link(1, 2, 0.0, math.inf), link(2, 3, -4.0)]
    found = solve_depths([0, 1, 2, 3], links, RULES)
    assert [found.sections[i].source for i in (1, 2, 3)] == ["measured", "assumed", "measured"]
    assert found.sections[2].thickness_um == pytest.approx(200.0, abs=1.0)
    assert found.sections[2].sigma_um > 5 * found.sections[1].sigma_um


def test_sections_of_25_nm_are_not_said_to_be_uncertain_by_micrometres():
    thin = DepthRules(use_expected=False, interval_um=0.025, plane_um=0.025)
    sigma_um = [one.sigma_um for one in solve_depths([0, 1, 2], [], thin).sections.values()]
    assert sigma_um == pytest.approx([0.0075] * 2)  # 0.3 planes, as of 10 um planes 3 um


def test_a_contradicted_depth_is_outvoted():
    links = [link(i, i + 1, 0.0) for i in range(5)] + [link(i, i + 2, 0.0) for i in range(4)]
    links[2] = link(2, 3, 60.0)
    found = solve_depths(list(range(6)), links, RULES)
    assert found.sections[3].thickness_um == pytest.approx(200.0, abs=3.0)


def test_errors_are_as_large_as_the_sections_say():
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(20):
        off, sigma = rng.normal(0, 5, 9), rng.uniform(0.3, 2.0, 9)
        links = [link(i, i + 1, off[i] + rng.normal(0, sigma[i]), sigma[i]) for i in range(9)]
        found = solve_depths(list(range(10)), links, RULES)
        ratios += [
            (found.sections[i + 1].thickness_um - 200 - off[i]) / found.sections[i + 1].sigma_um
            for i in range(9)
        ]
    assert 0.7 < np.sqrt(np.mean(np.square(ratios))) < 1.5


@pytest.mark.parametrize("n", [1, 2, 150])
def test_any_number_of_slices_has_faces(n):
    links = [link(i, i + 1, 3.0) for i in range(n - 1)]
    found = solve_depths(list(range(n)), links, RULES)
    assert found.depth_um[n - 1] == pytest.approx(203.0 * (n - 1), abs=0.05 * n)
    assert len(found.sections) == n - 1
