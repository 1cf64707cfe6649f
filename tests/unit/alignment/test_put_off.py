"""Which of the pairs that registration put off are compared after all."""

import math

import pytest

from mosaicflow.alignment.links import LinkRules, SliceLink
from mosaicflow.alignment.put_off import compare_put_off
from mosaicflow.reasons import Doubt, Refusal


def link(fixed, moving, *, correlation=0.9, distance=0.0, refusal=None):
    return SliceLink(
        fixed, moving, 0.0, (0.0, 0.0), (0.0, 0.0), 0.1, 0.1, 0.9, correlation, (0.5, 0.9),
        (0.0, 1.0), distance_planes=distance, refusal=refusal,
    )  # fmt: skip


def put_off(fixed, moving):
    """What is read of a pair that was put off: 9 planes of unseen tissue a section."""
    why = Refusal.of(Doubt.DETOUR)
    return link(fixed, moving, correlation=math.nan, distance=9.0 * (moving - fixed), refusal=why)


def run(links, used, *, preset="standard", found=0.8):
    """Compare, and give the pairs in the order in which they were asked for."""
    asked = []

    def compare(fixed, moving):
        asked.append((fixed, moving))
        return link(fixed, moving, correlation=found, distance=9.0 * (moving - fixed))

    result = compare_put_off(links, used, LinkRules(preset=preset), 0.4, compare)
    assert len(result) == len(links)
    assert sum(not one.is_put_off for one in result) == len(asked) + sum(
        not one.is_put_off for one in links
    )
    return asked


def chain(*bad, n=5):
    """All pairs of n slices up to three apart; neighbours share tissue, but for the bad ones."""
    failed = Refusal(Doubt.WORSE, "it fell")
    near = [link(i, i + 1, refusal=failed if (i, i + 1) in bad else None) for i in range(n - 1)]
    return near + [put_off(i, j) for i in range(n) for j in range(i + 2, min(i + 4, n))]


def test_where_shared_tissue_joins_all_nothing_is_compared():
    assert run(chain(), range(5)) == []


def test_across_a_gap_the_nearest_pair_is_compared_and_no_farther_one():
    assert run(chain(), [0, 1, 3, 4]) == [(1, 3)]


def test_a_slice_that_matches_neither_neighbour_is_compared_with_the_next_but_one():
    asked = run(chain((1, 2), (2, 3)), range(5))
    assert set(asked) == {(0, 2), (1, 3), (2, 4)}


def test_while_what_was_compared_is_no_good_farther_pairs_are_asked():
    assert run(chain(), [0, 1, 3, 4], found=0.1) == [(1, 3), (0, 3), (1, 4)]


def test_a_pair_of_low_correlation_joins_nothing_for_certain():
    links = [link(0, 1), link(1, 2, correlation=0.2), put_off(0, 2)]
    assert run(links, range(3)) == [(0, 2)]


@pytest.mark.parametrize(("preset", "count"), [("minimal", 0), ("aggressive", 5)])
def test_a_preset_that_takes_no_pair_asks_none_and_one_that_takes_each_asks_all(preset, count):
    assert len(run(chain(), range(5), preset=preset)) == count
