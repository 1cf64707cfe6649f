import inspect
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import starfile

from mosaicflow.formats import (
    FormatError,
    GeometryData,
    VertexPropertyContainer,
    open_file,
    read_density_header,
    read_star_header,
    resolve_writer,
    write_density,
    write_geometries,
    write_meshes,
    write_star,
    write_volume,
)
from mosaicflow.formats.volumes.labels import _label_type


@dataclass
class Geometry:
    """What an application has: points in angstrom."""

    points: Any
    normals: Any = None
    quaternions: Any = None
    sampling_rate: Any = (2.0, 2.0, 2.0)
    vertex_properties: Any = field(default_factory=VertexPropertyContainer)
    model: Any = None

    def get_point_data(self):
        return self.points, self.normals, self.quaternions


FIRST = np.array([[2.0, 4, 6], [8, 10, 12]])
SECOND = np.array([[20.0, 30, 40]])


@pytest.fixture
def pair():
    area = VertexPropertyContainer({"area": np.array([0.5, 1.5]), "name": ["a b", "it's"]})
    other = VertexPropertyContainer({"area": np.array([7.0]), "name": ["c"]})
    return [
        Geometry(FIRST, normals=np.array([[0, 0, 1], [1, 0, 0]]), vertex_properties=area),
        Geometry(SECOND, quaternions=np.array([[0, 0, 2, 0]]), vertex_properties=other),
    ]


WRITABLE = (
    *("star", "tsv", "xyz", "ndjson", "obj", "stl", "ply", "tsi", "q"),
    *("mrc", "map", "em", "h5", "nii", "nrrd"),
)


def test_star_has_optics_voxels_classes_and_shared_properties(tmp_path, pair):
    path = tmp_path / "a.star"
    write_geometries(pair, path)
    blocks = starfile.read(path, always_dict=True)
    assert list(blocks) == ["optics", "particles"]
    optics = blocks["optics"]
    assert optics["rlnOpticsGroup"].tolist() == [1]
    assert optics["rlnOpticsGroupName"].tolist() == ["opticsGroup1"]
    assert optics["rlnImagePixelSize"].tolist() == [2]
    particles = blocks["particles"]
    assert particles["rlnClassNumber"].tolist() == [0, 0, 1]
    assert particles["rlnOpticsGroup"].tolist() == [1, 1, 1]
    assert particles["area"].tolist() == [0.5, 1.5, 7]
    # starfile breaks a quoted value at its apostrophe; ours must not.
    container = open_file(path)
    assert container.sampling == (2, 2, 2)
    np.testing.assert_allclose(container[0].vertices, FIRST / 2)
    np.testing.assert_allclose(container[1].vertices, SECOND / 2)
    names = container[0].vertex_properties.get_property("_name").tolist()
    assert names == ["a b", "it's"]
    np.testing.assert_allclose(container[0].normals, [[0, 0, 1], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(container[1].normals, [[0, 0, -1]], atol=1e-6)


def test_star_31_and_4_by_version_and_source(tmp_path, pair):
    path = tmp_path / "a.star"
    write_geometries(pair, path, version="# version 30001")
    assert path.read_text().count("# version 30001") == 2
    assert "rlnTomoName" not in path.read_text()
    write_geometries(pair, path, version="# version 30001", source_path="tomo 1.mrc")
    blocks = starfile.read(path, always_dict=True)
    assert blocks["optics"]["rlnTomoTiltSeriesPixelSize"].tolist() == [2]
    assert blocks["particles"]["rlnTomoName"].tolist() == ["tomo 1.mrc"] * 3
    assert open_file(path).sampling == (2, 2, 2)


def test_star_5_counts_angstrom_from_the_centre_and_reads_back_as_voxels(tmp_path, pair):
    path = tmp_path / "a.star"
    write_geometries(pair, path, relion_5_format=True, shape=(101, 80, 60))
    particles = starfile.read(path, always_dict=True)["particles"]
    assert particles["rlnTomoSizeX"].tolist() == [101] * 3
    np.testing.assert_allclose(
        particles["rlnCenteredCoordinateXAngst"], np.array([2, 8, 20]) - 50 * 2
    )
    container = open_file(path)
    np.testing.assert_allclose(container[0].vertices * container.sampling, FIRST)
    np.testing.assert_allclose(container[1].vertices * container.sampling, SECOND)
    assert read_star_header(path) == {"pixel_size": 2, "centered": True, "shape": (101, 80, 60)}


def test_the_version_of_relion_5_is_its_format(tmp_path, pair):
    paths = [tmp_path / "a.star", tmp_path / "b.star"]
    write_geometries(pair, paths[0], relion_5_format=True, shape=(101, 80, 60))
    write_geometries(pair, paths[1], version="# version 50001", shape=(101, 80, 60))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_star_5_needs_a_shape_or_infers_it_aloud(tmp_path, pair):
    records = [GeometryData(vertices=FIRST / 2, sampling=(2, 2, 2))]
    with pytest.raises(ValueError, match="give its shape"):
        write_star(records, tmp_path / "a.star", relion_5_format=True)
    with pytest.warns(UserWarning, match=r"\[11, 16, 21\] voxels"):
        write_geometries(pair, tmp_path / "a.star", relion_5_format=True)
    container = open_file(tmp_path / "a.star")
    np.testing.assert_allclose(container[0].vertices * 2, FIRST)


def test_the_largest_rate_is_taken_unless_one_is_given(tmp_path, pair):
    pair[1].sampling_rate = 4.0
    write_geometries(pair, tmp_path / "a.star")
    container = open_file(tmp_path / "a.star")
    assert container.sampling == (4, 4, 4)
    np.testing.assert_allclose(container[0].vertices * 4, FIRST)
    write_geometries(pair, tmp_path / "a.star", sampling=5)
    container = open_file(tmp_path / "a.star")
    assert container.sampling == (5, 5, 5)
    np.testing.assert_allclose(container[1].vertices * 5, SECOND, rtol=1e-6)


def test_star_has_one_pixel_size_and_says_so(tmp_path, pair):
    with pytest.warns(UserWarning, match="one pixel size, 3"):
        write_geometries(pair, tmp_path / "a.star", sampling=(1, 2, 3))
    container = open_file(tmp_path / "a.star")
    np.testing.assert_allclose(container[0].vertices * container.sampling, FIRST, rtol=1e-6)
    # No word about rounding in the last digits.
    write_geometries(pair, tmp_path / "a.star", sampling=(2, 2.000001, 2))


def test_an_entity_without_points_is_written_and_read(tmp_path):
    for extension in ("star", "tsv"):
        path = tmp_path / f"a.{extension}"
        write_geometries([GeometryData(vertices=np.empty((0, 3)))], path, format=extension)
        assert [len(entity.vertices) for entity in open_file(path)] == [0]


def test_what_was_read_from_a_star_file_can_be_written_again(tmp_path, pair):
    first, second = tmp_path / "a.star", tmp_path / "b.star"
    write_geometries(pair, first)
    once = open_file(first)
    write_geometries(list(once), second)
    twice = open_file(second)
    for one, two in zip(once, twice, strict=True):
        np.testing.assert_array_equal(one.vertices, two.vertices)
        np.testing.assert_allclose(one.quaternions, two.quaternions, atol=1e-6)
        for name in one.vertex_properties.properties:
            expected = one.vertex_properties.get_property(name).tolist()
            assert two.vertex_properties.get_property(name).tolist() == expected


def test_the_score_survives(tmp_path):
    box = VertexPropertyContainer({"pytme_score": [0.25, 0.75]})
    records = [GeometryData(vertices=FIRST, vertex_properties=box)]
    write_geometries(records, tmp_path / "a.star")
    box = open_file(tmp_path / "a.star")[0].vertex_properties
    assert box.get_property("pytme_score").tolist() == [0.25, 0.75]


def test_properties_of_several_values_become_as_many_columns(tmp_path):
    box = VertexPropertyContainer({"shift": [[1, 2], [3, 4]], "a b": [True, False]})
    write_geometries([GeometryData(vertices=FIRST, vertex_properties=box)], tmp_path / "a.star")
    box = open_file(tmp_path / "a.star")[0].vertex_properties
    assert box.get_property("_shift_1").tolist() == [2, 4]
    assert box.get_property("_a_b").tolist() == [1, 0]
    box = VertexPropertyContainer({"area": [1, 2], "_area": [3, 4]})
    with pytest.raises(ValueError, match="two columns would be called _area"):
        write_geometries([GeometryData(vertices=FIRST, vertex_properties=box)], tmp_path / "b.star")


def test_points_without_any_orientation_are_not_turned(tmp_path):
    records = [GeometryData(vertices=FIRST)]
    for extension in ("star", "tsv", "ndjson"):
        path = tmp_path / f"a.{extension}"
        write_geometries(records, path, format=extension)
        turns = open_file(path)[0].quaternions
        np.testing.assert_array_equal(np.abs(turns), [[1, 0, 0, 0]] * 2)


@pytest.mark.parametrize("extension", WRITABLE)
def test_every_writer_is_called_alike_and_ignores_what_it_has_no_use_for(tmp_path, extension):
    writer = resolve_writer(extension)
    names = ["records", "path", "sampling", "shape", "relion_5_format"]
    found = list(inspect.signature(writer).parameters.values())
    assert [parameter.name for parameter in found[:5]] == names
    assert [parameter.default for parameter in found[2:5]] == [None, None, False]
    records = [GeometryData(vertices=np.eye(3), faces=[[0, 1, 2]])]
    writer(records, tmp_path / f"a.{extension}", nothing=1, version=None)
    assert len(open_file(tmp_path / f"a.{extension}")[0].vertices) == 3


def test_tsv_and_xyz_hold_voxels(tmp_path, pair):
    write_geometries(pair, tmp_path / "a.tsv", format="tsv")
    container = open_file(tmp_path / "a.tsv")
    np.testing.assert_allclose(container[1].vertices, SECOND / 2)
    np.testing.assert_allclose(container[0].normals[1], [1, 0, 0], atol=1e-6)
    write_geometries(pair, tmp_path / "a.xyz", format="xyz")
    assert (tmp_path / "a.xyz").read_text().startswith("x,y,z\n1.0,2.0,3.0\n")
    expected = np.concatenate([FIRST, SECOND]) / 2
    np.testing.assert_allclose(open_file(tmp_path / "a.xyz")[0].vertices, expected)


def test_ndjson_holds_oriented_points(tmp_path, pair):
    path = tmp_path / "a.ndjson"
    write_geometries(pair, path, format="ndjson")
    record = json.loads(path.read_text().splitlines()[0])
    assert record["type"] == "orientedPoint"
    assert record["location"] == {"x": 1, "y": 2, "z": 3}
    entity = open_file(path)[0]
    np.testing.assert_allclose(entity.vertices, np.concatenate([FIRST, SECOND]) / 2)
    np.testing.assert_allclose(entity.normals, [[0, 0, 1], [1, 0, 0], [0, 0, -1]], atol=1e-6)


def test_records_keep_their_own_sampling_where_the_file_has_none(tmp_path):
    records = [GeometryData(vertices=FIRST, sampling=(2, 2, 2))]
    for extension in ("tsv", "xyz", "ndjson", "star"):
        path = tmp_path / f"a.{extension}"
        resolve_writer(extension)(records, path)
        np.testing.assert_array_equal(open_file(path)[0].vertices, FIRST)


def mesh_model(offset=0.0, name="triangles", **more):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) + offset
    faces = [[0, 1, 2], [0, 1, 3]]
    return SimpleNamespace(mesh=SimpleNamespace(vertices=vertices, **{name: faces}), **more)


@pytest.mark.parametrize("extension", ["obj", "stl", "ply", "tsi", "q"])
def test_meshes_of_all_models_are_joined(tmp_path, extension):
    geometries = [
        Geometry(FIRST, model=mesh_model()),
        Geometry(FIRST),
        Geometry(SECOND, model=mesh_model(5.0, "faces")),
    ]
    path = tmp_path / f"a.{extension}"
    write_geometries(geometries, path, format=extension)
    entity = open_file(path)[0]
    assert len(entity.faces) == 4
    corners = entity.vertices[entity.faces]
    np.testing.assert_allclose(corners[2], [[5, 5, 5], [6, 5, 5], [5, 6, 5]])
    assert list(tmp_path.iterdir()) == [path]


def test_a_single_model_writes_itself_where_it_can(tmp_path):
    written = []
    model = mesh_model(to_file=written.append)
    write_geometries([Geometry(FIRST, model=model)], tmp_path / "a.obj", format="obj")
    assert written == [tmp_path / "a.obj"]


def test_without_a_mesh_there_is_nothing_to_export(tmp_path, pair):
    with pytest.raises(ValueError, match=r"No geometries have a fitted mesh model to export\."):
        write_geometries(pair, tmp_path / "a.obj", format="obj")
    with pytest.raises(ValueError, match="no mesh format"):
        write_meshes([GeometryData(vertices=FIRST, model=mesh_model())], tmp_path / "a.x")


@pytest.mark.parametrize("extension", ["obj", "stl", "ply", "tsi", "q", "mrc", "em", "h5", "star"])
def test_the_format_asked_for_is_written_whatever_the_files_name(tmp_path, extension):
    records = [GeometryData(vertices=np.eye(3), faces=[[0, 1, 2]])]
    write_geometries(records, tmp_path / "a.nrrd", format=extension)
    (tmp_path / "a.nrrd").replace(tmp_path / f"b.{extension}")
    (entity,) = open_file(tmp_path / f"b.{extension}")
    found = entity.vertices[np.lexsort(entity.vertices.T)]
    np.testing.assert_array_equal(found, np.eye(3))


@pytest.mark.parametrize("faces", [[[0, 1, 2, 3]], [[0, 1, 9]], [[0, 1, -1]]])
@pytest.mark.parametrize("extension", ["obj", "stl", "ply", "tsi", "q"])
def test_faces_that_are_no_triangles_of_the_mesh_are_refused(tmp_path, extension, faces):
    model = mesh_model()
    model.mesh.triangles = faces
    path = tmp_path / f"a.{extension}"
    with pytest.raises(ValueError, match="triangle"):
        write_geometries([Geometry(FIRST, model=model)], path, format=extension)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["mrc", "em", "h5", "nii", "nrrd"])
def test_labels_are_written_at_the_nearest_voxel_and_later_ones_win(tmp_path, pair, extension):
    pair.append(Geometry(np.array([[2.4, 3.6, 6.2]])))
    path = tmp_path / f"a.{extension}"
    write_geometries(pair, path, format=extension)
    container = open_file(path)
    labels = [box.get_property("label")[0] for box in container.vertex_properties]
    assert labels == [1, 2, 3]
    assert container[0].vertices.tolist() == [[4, 5, 6]]
    assert container[2].vertices.tolist() == [[1, 2, 3]]
    # Just enough voxels: floor(max(points / sampling)) + 1.
    assert read_density_header(path) == ((11, 16, 21), (2, 2, 2))
    assert container.vertex_properties[0].get_property("label").dtype == np.int8


def test_points_outside_are_dropped_aloud(tmp_path, pair):
    with pytest.warns(UserWarning, match="1 points lie outside"):
        write_geometries(pair, tmp_path / "a.mrc", format="mrc", shape=(6, 6, 8))
    assert len(open_file(tmp_path / "a.mrc")) == 1


def test_the_type_of_labels_follows_their_number(tmp_path):
    points = np.zeros((1, 3))
    for count, dtype in [(126, "i1"), (127, "u2")]:
        records = [GeometryData(vertices=points + i) for i in range(count)]
        write_volume(records, tmp_path / "a.h5")
        box = open_file(tmp_path / "a.h5")[count - 1].vertex_properties
        assert box.get_property("label").dtype == dtype
        assert box.get_property("label").tolist() == [count]


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(126, "i1"), (127, "u2"), (65_534, "u2"), (65_535, "f4"), (2**24, "f4")],
)
def test_the_type_of_labels_holds_the_largest(count, dtype):
    assert np.dtype(_label_type(count)) == dtype
    assert _label_type(count)(count) == count
    with pytest.raises(ValueError, match="16777217 labels"):
        _label_type(2**24 + 1)


def read_only(values):
    array = np.array(values)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("extension", WRITABLE)
def test_no_writer_changes_what_it_is_given(tmp_path, extension):
    points = read_only(np.array([[2, 4, 6], [8, 10, 12], [3, 2, 1]], dtype=np.float32))
    properties = {"area": [0.5, 1.5, 2], "pytme_score": [1, 2, 3], "inclusion": [0, 1, 0]}
    box = VertexPropertyContainer(properties)
    for name in box.properties:
        box.get_property(name).flags.writeable = False
    record = GeometryData(
        vertices=points,
        normals=read_only(np.full((3, 3), 2, dtype=np.float32)),
        quaternions=read_only(np.full((3, 4), 2, dtype=np.float32)),
        faces=read_only([[0, 1, 2]]),
        vertex_properties=box,
        sampling=(2, 2, 2),
    )
    records, before = [record], dict(vars(record))
    shape, sampling = read_only([30, 30, 30]), read_only([1.0, 1, 1])
    path = tmp_path / f"a.{extension}"
    write_geometries(records, path, format=extension, shape=shape, sampling=sampling)
    resolve_writer(extension)(records, path, sampling, shape)
    assert records == [record]
    assert all(vars(record)[name] is value for name, value in before.items())
    assert {name: box.get_property(name).tolist() for name in box.properties} == properties


@pytest.mark.parametrize("extension", ["mrc", "em", "h5", "nii", "nrrd", "mrc.gz"])
@pytest.mark.parametrize("dtype", ["i4", ">f4", "f8"])
def test_writing_a_density_leaves_it_as_it_is(tmp_path, extension, dtype):
    data = read_only(np.arange(24, dtype=dtype).reshape(2, 3, 4).transpose(2, 0, 1))
    before = data.tobytes()
    write_density(data, tmp_path / f"a.{extension}", read_only([2.0, 2, 2]), read_only([1, 2, 3]))
    assert data.tobytes() == before


def test_nothing_to_write_writes_nothing(tmp_path):
    assert write_geometries([], tmp_path / "a.star") is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_geometry_is_named(tmp_path, pair):
    with pytest.raises(TypeError, match="a dict is no geometry"):
        write_geometries([{}], tmp_path / "a.star")
    with pytest.raises(TypeError, match="not iterable"):
        write_geometries(GeometryData(vertices=FIRST), tmp_path / "a.star")
    write_geometries((geometry for geometry in pair), tmp_path / "a.star")
    assert len(open_file(tmp_path / "a.star")) == 2


def test_one_file_for_each_geometry(tmp_path, pair):
    paths = [tmp_path / "a.star", str(tmp_path / "b.star")]
    write_geometries(pair, paths)
    np.testing.assert_allclose(open_file(paths[1])[0].vertices, SECOND / 2)
    with pytest.raises(ValueError, match="file_path list length 1"):
        write_geometries(pair, paths[:1])


def test_wrong_arguments_are_plain_value_errors(tmp_path, pair):
    with pytest.raises(ValueError, match="Unsupported format 'docx'") as caught:
        write_geometries(pair, tmp_path / "a", format="docx")
    assert not isinstance(caught.value, FormatError)
    with pytest.raises(ValueError, match="Unsupported format"):
        resolve_writer("x")
    with pytest.raises(ValueError, match="positive numbers"):
        write_geometries(pair, tmp_path / "a.star", sampling=0)
    for shape in [(0, 5, 5), (5, 5), (5.5, 5, 5)]:
        with pytest.raises(ValueError, match="shape"):
            write_geometries(pair, tmp_path / "a.mrc", format="mrc", shape=shape)
    # Six numbers in rows of two are not two points.
    wrong = [GeometryData(vertices=np.ones((3, 2)))]
    for extension in ("star", "tsv", "xyz", "ndjson", "mrc"):
        with pytest.raises(ValueError, match=r"vertices have shape \(3, 2\)"):
            write_geometries(wrong, tmp_path / f"a.{extension}", format=extension)
    pair[0].points = FIRST * np.nan
    with pytest.raises(ValueError, match="not finite"):
        write_geometries(pair, tmp_path / "a.star")
    assert list(tmp_path.iterdir()) == []
