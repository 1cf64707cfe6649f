"""Coordinate transformations come down to a pitch and an offset per axis, or are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr.metadata import parse_multiscale
from mosaicflow.io.zarr.transforms import axis_transform

lengths = st.floats(0.01, 1000)
vectors = st.lists(lengths, min_size=3, max_size=3)
transforms = st.one_of(
    vectors.map(lambda v: {"type": "scale", "scale": v}),
    vectors.map(lambda v: {"type": "translation", "translation": v}),
    st.just({"type": "identity"}),
    st.permutations([0, 1, 2]).map(lambda v: {"type": "mapAxis", "mapAxis": v}),
)


def applied(transforms, point):
    for transform in transforms:
        match transform["type"]:
            case "scale":
                point = point * np.array(transform["scale"])
            case "translation":
                point = point + np.array(transform["translation"])
            case "mapAxis":
                point = point[transform["mapAxis"]]
    return point


@given(st.lists(transforms, max_size=5), vectors, st.booleans())
def test_any_sequence_leads_every_voxel_where_its_parts_lead_it(parts, index, is_nested):
    whole = [{"type": "sequence", "transformations": parts}] if is_nested else parts

    found = axis_transform(whole, 3)

    if found is None:
        assert not {part["type"] for part in parts} & {"scale", "translation"}
        return
    place = np.empty(3)
    for axis, target in enumerate(found.order):
        shift = found.translation[axis] if found.translation else 0
        place[target] = index[axis] * found.scale[axis] + shift
    np.testing.assert_allclose(place, applied(parts, np.array(index)), rtol=1e-9)
    assert found.left_out == ""


@given(st.floats(0.001, 6.28), vectors)
def test_a_rotation_keeps_the_pitch_of_every_axis_and_is_told(angle, pitch):
    pitch[1] = pitch[2]
    cos, sin = math.cos(angle), math.sin(angle)
    turn = [[1, 0, 0], [0, cos, -sin], [0, sin, cos]]
    parts = [{"type": "scale", "scale": pitch}, {"type": "rotation", "rotation": turn}]

    found = axis_transform(parts, 3)

    np.testing.assert_allclose(found.scale, pitch)
    assert found.left_out.startswith(("a rotation", "a reflection"))


@pytest.mark.parametrize(
    ("transform", "named"),
    [
        ({"type": "displacements", "path": "d"}, "'displacements' is not supported"),
        ({"type": "affine", "path": "a"}, "kept in an array"),
        ({"type": "affine", "affine": [[1, 0.5, 0], [0, 1, 0]]}, "shear"),
        ({"type": "scale", "scale": [1, 2, 3]}, "for 2 axes"),
    ],
)
def test_what_no_pitch_can_say_is_refused_by_name(transform, named):
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [transform]}]

    with pytest.raises(FormatError, match=named):
        parse_multiscale({"multiscales": [{"axes": axes, "datasets": datasets}]}, "x")


def test_transformations_beyond_the_intrinsic_system_do_not_change_the_pitch():
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "yx"]
    scale = {"type": "scale", "scale": [2, 3], "input": "0", "output": "own"}
    entry = {
        "coordinateSystems": [{"name": "world", "axes": []}, {"name": "own", "axes": axes}],
        "coordinateTransformations": [{"type": "scale", "scale": [9, 9], "output": "world"}],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }

    found = parse_multiscale({"ome": {"version": "0.6", "multiscales": [entry]}}, "x")

    assert found.datasets[0].scale == (2000, 3000)
    assert [axis.unit for axis in found.axes] == ["millimeter"] * 2
