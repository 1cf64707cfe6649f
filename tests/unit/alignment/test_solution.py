"""Canvas, faces and the alignment file."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.alignment.solution import (
    AlignedSlice,
    Alignment,
    Gap,
    LeftOut,
    Section,
    SliceFrame,
    fit_canvas,
)
from mosaicflow.errors import FormatError, QualityError
from mosaicflow.rigid import Rigid2D

FRAME = SliceFrame((10, 40, 30), (1.0, 1.0))


def placed(slice_id, y, x, angle=0.0, plane=0):
    transform = Rigid2D(angle, FRAME.center_yx, (y, x))
    return AlignedSlice(slice_id, transform, (1.0, 1.0), plane, 0.8, "graph", ("r",), {"n": 1})


@given(st.floats(0, 5000))
def test_a_face_lies_in_its_nearest_plane_and_the_rest_is_kept(plane):
    one = placed(0, 0.0, 0.0, plane=plane)
    assert one.first_plane + one.sunk_planes == pytest.approx(plane)
    assert -0.5 <= one.sunk_planes <= 0.5


def test_the_canvas_holds_all_slices_and_keeps_the_reference_on_whole_pixels():
    slices = [placed(0, 0.0, 0.0), placed(1, -3.4, 2.7), placed(2, 1.0, 1.0, angle=3.0)]
    moved, shape = fit_canvas(slices, dict.fromkeys(range(3), FRAME), 0)
    for one in moved:
        corners = one.transform.apply(FRAME.corners)
        assert (corners >= -0.5 - 1e-6).all()
        assert (corners <= np.array(shape) - 0.5 + 1e-6).all()
    assert moved[0].transform.translation_yx == pytest.approx(
        np.round(moved[0].transform.translation_yx)
    )
    assert shape[0] <= 40 + 4 + 1 + 6


def test_one_slice_alone_has_a_canvas_of_its_own_size():
    moved, shape = fit_canvas([placed(0, 17.3, -4.2)], {0: FRAME}, 0)
    assert shape == (40, 30)
    assert moved[0].transform.translation_yx == pytest.approx((0.0, 0.0))


def test_shifts_in_a_wrong_unit_are_caught():
    slices = [placed(0, 0.0, 0.0), placed(1, 400.0, 300.0)]
    with pytest.raises(QualityError, match="times the largest slice"):
        fit_canvas(slices, dict.fromkeys(range(2), FRAME), 0)


def test_the_file_comes_back_as_it_went():
    lower = placed(5, 1.25, 2.5, angle=0.5, plane=20.25)
    lower = replace(lower, section=Section(202.5, 0.75, "measured"))
    alignment = Alignment(
        reference_id=4,
        pitch_um=(10.0, 10.0, 10.0),
        canvas_yx=(41, 31),
        n_planes=30,
        interval_planes=20.0,
        slices=(placed(4, 1.0, 2.0), lower),
        left_out=(LeftOut(6, "failed", "why", "stitch_3d"),),
        gaps=(Gap(12, 20, 4, 5, 1.5, 7.1),),
        depths="measured",
    )
    assert Alignment.from_json(alignment.to_json(), "alignment.json") == alignment


def test_transforms_are_forward_and_in_the_documented_form():
    one = replace(placed(1, 5.0, -2.0, angle=90.0)).to_json()
    center, shift = np.array(one["center_yx"]), np.array(one["translation_yx"])
    angle = np.deg2rad(one["angle_deg"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    point = np.array([3.0, 4.0])
    np.testing.assert_allclose(
        turn @ (point - center) + center + shift, placed(1, 5.0, -2.0, 90.0).transform.apply(point)
    )


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(FormatError, match=r"alignment\.json: expected an alignment of schema 1"):
        Alignment.from_json({"schema": 9}, "alignment.json")
    with pytest.raises(FormatError, match="cannot be read"):
        Alignment.from_json({"schema": 1}, "alignment.json")
