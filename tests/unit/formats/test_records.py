import numpy as np
import pytest

from mosaicflow.formats import GeometryData, GeometryDataContainer, VertexPropertyContainer

POINTS = np.array([[1.0, 2, 3], [4, 5, 6]])


def test_an_empty_record_has_unit_sampling_and_nothing_else():
    record = GeometryData()
    assert record.sampling == (1, 1, 1)
    names = ("vertices", "normals", "faces", "quaternions", "vertex_properties", "shape", "model")
    assert all(getattr(record, name) is None for name in names)


def test_an_entity_carries_the_containers_shape_and_sampling():
    container = GeometryDataContainer([POINTS], shape=(10, 20, 30), sampling=(2, 3, 4))
    entity = container[0]
    np.testing.assert_array_equal(entity.shape, [10, 20, 30])
    assert entity.sampling == (2, 3, 4)
    assert len(container) == len(list(container)) == 1


def test_what_is_not_given_is_none_for_each_entity():
    container = GeometryDataContainer([POINTS, POINTS[:1]])
    assert container.normals == [None, None]
    assert container.quaternions == [None, None]
    assert container.faces is None
    assert [len(box) for box in container.vertex_properties] == [0, 0]
    assert container[1].faces is None


def test_dtypes_are_those_of_the_convention():
    container = GeometryDataContainer(
        [POINTS.tolist()],
        normals=[[[0, 0, 2], [0, 3, 0]]],
        faces=[[[0, 1, 0]]],
        quaternions=[[[1, 0, 0, 0]] * 2],
    )
    assert container.vertices[0].dtype == np.float32
    assert container.normals[0].dtype == np.float32
    assert container.quaternions[0].dtype == np.float32
    assert container.faces[0].dtype == np.int64


def test_normals_become_unit_length_and_those_without_length_point_up():
    normals = [[0, 0, 2], [1e-13, 0, 0]]
    container = GeometryDataContainer([POINTS], normals=[normals])
    np.testing.assert_allclose(container.normals[0], [[0, 0, 1], [0, 0, 1]])


def test_without_shape_it_is_the_largest_coordinate_of_all_entities():
    container = GeometryDataContainer([POINTS, [[9, 0, 0]]])
    np.testing.assert_array_equal(container.shape, [9, 5, 6])
    np.testing.assert_array_equal(GeometryDataContainer([]).shape, [0, 0, 0])
    np.testing.assert_array_equal(GeometryDataContainer([np.empty((0, 3))]).shape, [0, 0, 0])


@pytest.mark.parametrize(
    ("name", "items", "message"),
    [
        ("normals", [], "normals are given for 0"),
        ("faces", [None, None], "faces are given for 2"),
        ("quaternions", [None, None], "quaternions are given for 2"),
        ("vertex_properties", [], "vertex_properties are given for 0"),
        ("normals", [[[0, 0, 1]]], "1 normals are given for 2 vertices"),
        ("quaternions", [[[1, 0, 0, 0]] * 3], "3 quaternions are given for 2"),
        ("vertex_properties", [VertexPropertyContainer({"a": [1]})], "1 values for 2"),
    ],
)
def test_unequal_lengths_are_refused(name, items, message):
    with pytest.raises(ValueError, match=message):
        GeometryDataContainer([POINTS], **{name: items})


@pytest.mark.parametrize(
    "vertices",
    [
        [["a", "b", "c"]],
        [[1, 2]],
        [[1, 2, 3], [4, 5]],
        3.0,
        None,
        np.array([[1j, 0, 0]]),
        [[1e300, 0, 0]],
    ],
)
def test_vertices_that_are_no_points_are_refused(vertices):
    with pytest.raises(ValueError, match="vertices"):
        GeometryDataContainer([vertices])


@pytest.mark.parametrize("faces", [[[0, 1, 0.5]], [[0, 1, np.nan]], [[0, 1]], [["a", "b", "c"]]])
def test_faces_that_are_no_triples_of_whole_numbers_are_refused(faces):
    with pytest.raises(ValueError, match="faces"):
        GeometryDataContainer([POINTS], faces=[faces])


def test_the_callers_lists_and_arrays_stay_as_they_are():
    normals = np.array([[0, 0, 5], [0, 0, 0]], dtype=np.float32)
    lists = [normals, None]
    before = normals.copy()
    GeometryDataContainer([POINTS, POINTS], normals=lists)
    np.testing.assert_array_equal(normals, before)
    assert lists[0] is normals
    assert lists[1] is None
