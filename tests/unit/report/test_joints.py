"""A slice is called unlike its neighbours only where the joints say which of two slices it is."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.report.joints import failed_below, joint_findings, joints_of, unlike_slices
from mosaicflow.report.records import Measured, Metric

FAILED = 0.5


def chain(*values):
    return {(i, i + 1): value for i, value in enumerate(values)}


def pair(first, second, correlation, status="ok"):
    metric = Metric("correlation", correlation, status=status)
    stem = f"z{first:02d}_z{second:02d}_transform"
    return Measured(stem, "register_pairwise", status, {"correlation": metric})


def test_a_slice_that_fits_neither_neighbour_is_told():
    assert unlike_slices(chain(0.99, 0.37, 0.41, 0.99), FAILED) == {2: "error"}
    assert unlike_slices(chain(0.99, 0.83, 0.85, 0.99), FAILED) == {2: "warning"}


def test_one_bad_joint_between_two_slices_with_good_ones_accuses_neither():
    assert unlike_slices(chain(0.99, 0.3, 0.99), FAILED) == {}


def test_the_last_slice_is_told_where_the_one_before_it_has_a_good_joint():
    assert unlike_slices(chain(0.99, 0.99, 0.3), FAILED) == {3: "error"}


def test_two_slices_alone_cannot_be_told_apart():
    assert unlike_slices(chain(0.1), FAILED) == {}


@given(st.lists(st.floats(0.7, 0.79), min_size=2, max_size=20))
def test_joints_that_are_alike_accuse_nobody_however_low(values):
    assert unlike_slices(chain(*values), FAILED) == {}


@given(st.integers(5, 15), st.data())
def test_any_single_bad_slice_is_found_and_no_other(n_slices, data):
    bad = data.draw(st.integers(0, n_slices - 1))
    values = [0.4 if bad in (i, i + 1) else 0.95 for i in range(n_slices - 1)]
    assert unlike_slices(chain(*values), FAILED) == {bad: "error"}


def test_only_neighbours_in_the_volume_that_share_tissue_count():
    measured = [
        *(pair(0, 1, 0.9), pair(0, 2, 0.8)),
        *(pair(1, 2, 0.2, "not_used"), pair(1, 3, 0.7)),
        *(pair(2, 3, None), pair(3, 4, 0.9), pair(4, 5, 0.9)),
    ]
    assert joints_of(measured, {4}) == {(0, 1): 0.9, (1, 3): 0.7}


def test_what_counts_as_failed_is_what_the_pairs_were_judged_by():
    metric = Metric("correlation", 0.6, warning_at=0.8, error_at=0.65, direction="high")
    judged = Measured("z00_z01_transform", "register_pairwise", "ok", {"correlation": metric})
    assert failed_below([pair(1, 2, 0.9), judged]) == 0.65
    assert failed_below([pair(1, 2, 0.9)]) == -math.inf


def test_the_finding_names_both_joints_and_what_is_usual():
    joints = chain(0.99, 0.37, 0.41, 0.99, 0.99)
    (found,) = joint_findings(unlike_slices(joints, FAILED), joints)
    assert "slice 2" in found.text
    assert "0.370 (1-2) and 0.410 (2-3), usual 0.990" in found.text
    assert (found.status, found.where) == ("error", "slice 2")


def test_such_a_slice_is_doubtful_in_the_verdict(sound_run):
    for first, second, value in ((1, 2, 0.37), (2, 3, 0.41)):
        sound_run.pair(first, second, value)
    record, page = sound_run.make()
    assert record["verdict"]["status"] == "warning"
    assert "slice 2 is doubtful" in record["verdict"]["sentence"]
    assert 'id="slice-2"' in page
    assert page.index('id="slice-2"') < page.index('id="slice-0"')
