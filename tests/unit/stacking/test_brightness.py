"""Factors of planes, display range, even seams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.stacking.brightness import Display, PlaneTone, even_seams, with_gains
from mosaicflow.stacking.plan import DepthSpan, plan_seams

SPANS = [DepthSpan(0, 0, 30), DepthSpan(1, 20, 30), DepthSpan(2, 40, 30)]


def plain():
    return [PlaneTone.plain(30) for _ in SPANS]


@given(steps=st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=2), blend=st.integers(1, 6))
def test_seams_become_even_and_nothing_changes_away_from_them(steps, blend):
    seams = plan_seams(SPANS, blend)
    tones = even_seams(plain(), seams, steps)
    for index, (seam, step) in enumerate(zip(seams, steps, strict=True)):
        upper, lower = tones[index].factor, tones[index + 1].factor
        face = seam.moving.first - seam.fixed.first
        both = slice(face, face + blend)
        np.testing.assert_allclose(np.log(upper[both] / lower[:blend]), -step, atol=1e-9)
        np.testing.assert_allclose(lower[2 * blend + 1 : 18 - blend], 1)
        # No jump on the way: at most one part in `blend` of half the step per plane, and both ends.
        assert np.abs(np.diff(np.log(lower[: 2 * blend + 2]))).max() <= abs(step) / 2 / blend + 1e-9
    np.testing.assert_allclose(tones[0].factor[: 20 - blend - 1], 1)


def test_unknown_steps_and_hard_cuts_change_nothing():
    for blend, step in ((5, np.nan), (0, 0.2)):
        tones = even_seams(plain(), plan_seams(SPANS, blend), [step, step])
        assert all((tone.factor == 1).all() for tone in tones)


def test_gains_multiply_every_plane():
    tones = with_gains(plain(), [1.0, 2.0, 0.5])
    assert [tone.factor[7] for tone in tones] == [1.0, 2.0, 0.5]


@pytest.mark.parametrize("display", [Display(), Display(100.0, 900.0)])
def test_no_data_stays_zero_and_nothing_else_becomes_it(display):
    image = np.array([0, 100, 900, 50, 1200], np.float32)
    shown = display.apply(image.copy())
    assert (shown == 0).tolist() == [True, False, False, False, False]
    if display.white == 900:
        np.testing.assert_allclose(shown, [0, 1e-6, 1, -0.0625, 1.375], rtol=1e-5)
    else:
        np.testing.assert_array_equal(shown, image)
