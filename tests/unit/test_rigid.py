"""Rigid motions and their two spellings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.rigid import Rigid2D, parse_tfm, to_tfm

EXAMPLE = Rigid2D(0.42, (512.0, 430.5), (-3.1, 7.0))
lengths = st.floats(-500, 500)
motions = st.builds(
    Rigid2D, st.floats(-180, 180), st.tuples(lengths, lengths), st.tuples(lengths, lengths)
)


def test_the_itk_text_turns_the_other_way_and_lists_x_first():
    lines = to_tfm(EXAMPLE).splitlines()
    assert lines[:3] == [
        "#Insight Transform File V1.0",
        "#Transform 0",
        "Transform: Euler3DTransform_double_3_3",
    ]
    rx, ry, rz, tx, ty, tz = (float(v) for v in lines[3].removeprefix("Parameters: ").split())
    assert (rx, ry, tx, ty, tz) == (0, 0, 7.0, -3.1, 0)
    assert rz == pytest.approx(-0.00733, abs=5e-6)
    assert lines[4] == "FixedParameters: 430.5 512 0 0"


def test_both_spellings_move_points_alike():
    parsed = parse_tfm(to_tfm(EXAMPLE), "a.tfm")
    points = np.array([[0.0, 0.0], [100.0, 20.0]])
    # 9 significant digits of the angle, 600 px away from the centre.
    np.testing.assert_allclose(parsed.apply(points), EXAMPLE.apply(points), atol=1e-6)


def test_itk_order_gives_the_same_map():
    angle, (y, x) = -math.radians(EXAMPLE.angle_deg), (100.0, 20.0)
    dx, dy = x - 430.5, y - 512.0
    by_itk = (
        math.cos(angle) * dx - math.sin(angle) * dy + 430.5 + 7.0,
        math.sin(angle) * dx + math.cos(angle) * dy + 512.0 - 3.1,
    )
    np.testing.assert_allclose(EXAMPLE.apply((y, x)), by_itk[::-1], atol=1e-9)


def test_a_pull_translation_draws_content_on_the_other_side():
    pull = Rigid2D(0.0, (0.0, 0.0), (0.0, 7.0))
    assert pull.apply((0.0, 113.0))[1] == 120.0  # out[113] = in[120]: P = 120 is drawn at 113


@given(motions, st.tuples(lengths, lengths))
def test_the_inverse_undoes_the_motion(motion, point):
    np.testing.assert_allclose(motion.inverse().apply(motion.apply(point)), point, atol=1e-6)


@given(motions, motions, st.tuples(lengths, lengths))
def test_composition_applies_one_after_the_other(second, first, point):
    expected = second.apply(first.apply(point))
    np.testing.assert_allclose(second.after(first).apply(point), expected, atol=1e-6)


@given(motions, st.tuples(lengths, lengths), st.tuples(lengths, lengths))
def test_another_centre_describes_the_same_motion(motion, center, point):
    np.testing.assert_allclose(motion.about(center).apply(point), motion.apply(point), atol=1e-6)


def test_json_comes_back_as_it_went():
    assert Rigid2D.from_json(EXAMPLE.to_json(), "x") == EXAMPLE


def test_json_without_a_centre_is_refused():
    with pytest.raises(FormatError, match=r"t\.json: found no usable angle_deg, center_yx"):
        Rigid2D.from_json({"angle_deg": 1}, "t.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Transform: AffineTransform_double_3_3\n", "AffineTransform"),
        ("Transform: Euler3DTransform_double_3_3\nParameters: 1 2\n", "6 parameters"),
        (to_tfm(EXAMPLE).replace("Parameters: 0 0", "Parameters: 0.1 0", 1), "leaves the plane"),
    ],
)
def test_other_itk_transforms_are_refused(text, message):
    with pytest.raises(FormatError, match=message):
        parse_tfm(text, "a.tfm")
