"""Seams and layers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.stacking.plan import DepthSpan, layers_of, plan_seams


@pytest.mark.parametrize(("moving_id", "overlap"), [(5, 40), (6, 20), (8, -20)])
def test_the_overlap_follows_from_the_ids(moving_id, overlap):
    spans = [DepthSpan(4, 0, 60), DepthSpan(moving_id, 20 * (moving_id - 4), 60)]
    (seam,) = plan_seams(spans, 10)
    assert seam.overlap == overlap
    assert seam.blend == (10 if overlap > 0 else 0)


def test_a_slice_found_one_plane_deeper_overlaps_one_plane_less():
    # Slice 5 was matched at fixed plane 25 for moving plane 4: its face lies at plane 21.
    (seam,) = plan_seams([DepthSpan(4, 0, 60), DepthSpan(5, 25 - 4, 60)], 10)
    assert (seam.overlap, seam.blend) == (39, 10)


def test_the_lower_slice_fades_in_at_its_own_top():
    spans = [DepthSpan(0, 0, 60), DepthSpan(1, 20, 60)]
    seams = plan_seams(spans, 10)
    shares = [layers_of(plane, spans, seams)[0].share for plane in range(20, 31)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.0062, abs=1e-4)
    assert shares[-1] == 1.0
    # Raised cosine: what one gains the other loses.
    assert shares[2] + shares[7] == pytest.approx(1)


def test_an_overlap_shorter_than_the_fade_shortens_it():
    spans = [DepthSpan(0, 0, 24), DepthSpan(1, 20, 24)]
    assert plan_seams(spans, 10)[0].blend == 4


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(0, 12),
)
def test_every_covered_plane_has_a_slice_and_no_other(steps, blend):
    first, spans = 0, []
    for number, (step, depth) in enumerate(steps):
        spans.append(DepthSpan(number, first, depth))
        first += step
    seams = plan_seams(spans, blend)
    for plane in range(max(span.stop for span in spans)):
        layers = layers_of(plane, spans, seams)
        covered = {k for k, span in enumerate(spans) if span.first <= plane < span.stop}
        assert {layer.index for layer in layers} == covered
        assert all(0 < layer.share <= 1 for layer in layers)
        assert [layer.index for layer in layers] == sorted(covered, reverse=True)


@pytest.mark.parametrize(("usable", "overlap", "blend"), [(60, 40, 10), (24, 4, 4), (12, -8, 0)])
def test_planes_that_not_every_column_fills_take_no_part_in_a_fade(usable, overlap, blend):
    spans = [DepthSpan(0, 0, 60, usable), DepthSpan(1, 20, 60, usable)]
    (seam,) = plan_seams(spans, 10)
    assert (seam.overlap, seam.blend) == (overlap, blend)
    # They still show where nothing lies above or below them.
    assert [layer.index for layer in layers_of(19, spans, [seam])] == [0]
