import base64
import gzip
import json
import struct

import numpy as np
import pytest
import trimesh

from mosaicflow.formats import (
    FormatError,
    GeometryData,
    VertexPropertyContainer,
    open_file,
    write_meshes,
)

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0], [0.5, 1, 3]], dtype=np.float32)
TRIANGLES = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])


def signed_volume(vertices, faces):
    a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


@pytest.fixture
def pyramid():
    return trimesh.Trimesh(POINTS, TRIANGLES, process=False)


@pytest.mark.parametrize("extension", ["obj", "ply", "stl", "off", "glb"])
def test_a_mesh_of_trimesh_keeps_its_triangles(tmp_path, pyramid, extension):
    path = tmp_path / f"a.{extension}"
    pyramid.export(path)
    container = open_file(path)
    assert len(container) == 1
    entity = container[0]
    assert entity.faces.dtype == np.int64
    np.testing.assert_allclose(entity.vertices[entity.faces], POINTS[TRIANGLES], atol=1e-6)
    if extension != "stl":
        np.testing.assert_allclose(entity.vertices, POINTS, atol=1e-6)


@pytest.mark.parametrize("extension", ["obj", "ply", "stl"])
def test_our_meshes_read_back_here_and_in_trimesh(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    write_meshes([GeometryData(vertices=POINTS, faces=TRIANGLES)], path)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices[entity.faces], POINTS[TRIANGLES])
    other = trimesh.load_mesh(path, process=False)
    np.testing.assert_allclose(np.asarray(other.triangles), POINTS[TRIANGLES])


def test_obj_polygons_become_fans_and_relative_indices_count_back(text_file):
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in POINTS.tolist())
    path = text_file(
        "a.obj", f"o a\n{vertices}f 1 2 3 4\nf -1 -2 -3\no b\nv 9 9 9 # late\nf 1 2 6\n"
    )
    entity = open_file(path)[0]
    assert entity.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 3, 2], [0, 1, 5]]
    assert len(entity.vertices) == 6
    assert entity.normals is None


def values_of(entity):
    box = entity.vertex_properties
    return {name: box.get_property(name).tolist() for name in box.properties}


def test_obj_colors_are_read_when_every_vertex_has_one(text_file):
    text = "v 0 0 0 1 0.5 0\nv 1 0 0 0 1 0.25\nv 0 1 0 0 0 1\nf 1 2 3\n"
    expected = {"red": [1, 0, 0], "green": [0.5, 1, 0], "blue": [0, 0.25, 1]}
    path = text_file("a.obj", text)
    assert values_of(open_file(path)[0]) == expected
    found = trimesh.load_mesh(path, process=False).visual.vertex_colors[:, :3]
    np.testing.assert_allclose(found / 255, np.transpose(list(expected.values())), atol=1 / 255)
    for change in [(" 0 0 1\n", "\n"), (" 0 0 1\n", " 1\n"), (" 0 0 1\n", " 0 0\n")]:
        assert values_of(open_file(text_file("b.obj", text.replace(*change)))[0]) == {}
    with pytest.raises(FormatError, match=r"line 2: '0 x 0\.25' are no numbers"):
        open_file(text_file("c.obj", text.replace("0 1 0.25", "0 x 0.25")))


def test_the_fourth_number_of_an_obj_color_is_alpha_and_a_single_one_a_weight(text_file):
    entity = open_file(text_file("a.obj", "v 0 0 0 1 0.5 0 0.75\n"))[0]
    assert values_of(entity) == {"red": [1], "green": [0.5], "blue": [0], "alpha": [0.75]}
    assert values_of(open_file(text_file("b.obj", "v 0 0 0 1.0\n"))[0]) == {}


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("COFF", "{} 9 8 7 255"),
        ("CNOFF", "{} 0 0 2 9 8 7 255"),
        ("STCNOFF", "{} 0 0 2 9 8 7 255 1 1"),
    ],
)
def test_off_colors_lie_between_normals_and_texture(text_file, head, row):
    rows = "\n".join(row.format(place) for place in ("0 0 0", "1 0 0", "0 1 0"))
    entity = open_file(text_file("a.off", f"{head}\n3 1 0\n{rows}\n3 0 1 2\n"))[0]
    expected = {"red": [9] * 3, "green": [8] * 3, "blue": [7] * 3, "alpha": [255] * 3}
    assert values_of(entity) == expected
    assert (entity.normals is None) == ("N" not in head)


def test_ply_colors_keep_name_and_type(tmp_path):
    colors = np.arange(20, dtype=np.uint8).reshape(5, 4)
    path = tmp_path / "a.ply"
    trimesh.Trimesh(POINTS, TRIANGLES, vertex_colors=colors, process=False).export(path)
    box = open_file(path)[0].vertex_properties
    assert box.properties == ["red", "green", "blue", "alpha"]
    for column, name in zip(colors.T, box.properties, strict=True):
        np.testing.assert_array_equal(box.get_property(name), column)
        assert box.get_property(name).dtype == np.uint8


def test_gltf_colors_are_read_when_all_meshes_have_them(tmp_path, pyramid):
    colors = np.arange(20, dtype=np.uint8).reshape(5, 4)
    scene = trimesh.Scene([trimesh.Trimesh(POINTS, TRIANGLES, vertex_colors=colors, process=False)])
    path = tmp_path / "a.glb"
    scene.export(path)
    found = values_of(open_file(path)[0])
    assert list(found) == ["red", "green", "blue", "alpha"]
    np.testing.assert_array_equal(list(found.values()), colors.T)
    scene.add_geometry(pyramid)
    scene.export(path)
    assert values_of(open_file(path)[0]) == {}
    trimesh.Scene([trimesh.PointCloud(POINTS)]).export(path)
    assert values_of(open_file(path)[0]) == {}


@pytest.fixture
def painted():
    """A mesh with normals, colours and further properties."""
    box = VertexPropertyContainer(
        {
            "red": np.array([255, 0, 51, 1, 2], dtype=np.uint8),
            "green": np.array([0, 255, 51, 1, 2], dtype=np.uint8),
            "blue": np.array([0, 0, 51, 1, 2], dtype=np.uint8),
            "mean curvature": np.linspace(-1, 1, 5),
            "id": np.arange(5) * 10**6,
            "huge": np.arange(5) * 10**12,
            "on": np.array([True, False] * 2 + [True]),
            "name": list("abcde"),
            "shift": np.zeros((5, 2)),
        }
    )
    normals = np.tile([0.0, 0, 2], (5, 1))
    return GeometryData(vertices=POINTS, faces=TRIANGLES, normals=normals, vertex_properties=box)


def test_ply_keeps_normals_and_every_single_number_of_a_vertex(tmp_path, painted):
    path = tmp_path / "a.ply"
    write_meshes([painted, painted], path)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.normals, [[0, 0, 1]] * 10)
    box = entity.vertex_properties
    names = ["red", "green", "blue", "mean_curvature", "id", "on"]
    assert box.properties == names
    for name, dtype in zip(names, ["u1", "u1", "u1", "f8", "i4", "u1"], strict=True):
        expected = painted.vertex_properties.get_property(name.replace("_", " "))
        np.testing.assert_array_equal(box.get_property(name), np.tile(expected, 2))
        assert box.get_property(name).dtype == dtype
    colors = trimesh.load_mesh(path, process=False).visual.vertex_colors
    np.testing.assert_array_equal(colors[:3, :3], [[255, 0, 0], [0, 255, 0], [51, 51, 51]])


def test_obj_keeps_normals_and_colors_as_fractions(tmp_path, painted):
    path = tmp_path / "a.obj"
    write_meshes([painted], path)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.normals, [[0, 0, 1]] * 5)
    assert entity.faces.tolist() == TRIANGLES.tolist()
    assert values_of(entity)["red"][:3] == [1, 0, 0.2]
    colors = trimesh.load_mesh(path, process=False).visual.vertex_colors
    np.testing.assert_array_equal(colors[:3, :3], [[255, 0, 0], [0, 255, 0], [51, 51, 51]])


def test_what_not_all_meshes_have_is_not_written(tmp_path, painted):
    bare = GeometryData(vertices=POINTS, faces=TRIANGLES)
    for extension in ("ply", "obj"):
        write_meshes([painted, bare], tmp_path / f"a.{extension}")
        entity = open_file(tmp_path / f"a.{extension}")[0]
        assert entity.normals is None
        assert values_of(entity) == {}
    with pytest.raises(ValueError, match="1 normals for 5 vertices"):
        write_meshes([GeometryData(POINTS, [[0, 0, 1]], TRIANGLES)], tmp_path / "b.ply")


def test_tsi_keeps_the_inclusions(tmp_path):
    box = VertexPropertyContainer({"inclusion": [0, 3, 0, 0, 1]})
    record = GeometryData(vertices=POINTS, faces=TRIANGLES, vertex_properties=box)
    write_meshes([record], tmp_path / "a.tsi")
    entity = open_file(tmp_path / "a.tsi")[0]
    assert values_of(entity) == {"inclusion": [0, 3, 0, 0, 1]}


def test_obj_normals_are_read_when_every_corner_has_one(text_file):
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in POINTS.tolist())
    text = vertices + "vn 0 0 1\nvn 0 1 0\nvt 0 0\nf 1//1 2/1/1 3/1/1\nf 4//2 \\\n5//2 1//1\n"
    entity = open_file(text_file("a.obj", text))[0]
    expected = [[0, 0, 1]] * 3 + [[0, 1, 0]] * 2
    np.testing.assert_allclose(entity.normals, expected)
    partly = text_file("b.obj", text.replace("4//2", "4"))
    assert open_file(partly)[0].normals is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("garbage\n", "no vertices"),
        ("v 1 2\n", "line 1: '1 2' are not three numbers"),
        ("v 1 2 x\n", "line 1"),
        ("v 0 0 0\nf 1 1\n", "line 2: a face with 2 corners"),
        ("v 0 0 0\nf 1 1 0\n", "line 2: index 0 of 1"),
        ("v 0 0 0\nf 1 1 -2\n", "line 2: index -2 of 1"),
        ("v 0 0 0\nf 1 1 2\n", "triangle 0 refers to vertices"),
        ("v 0 0 0\nf 1 1 a\n", "line 2: 'a' is no index"),
        ("v 0 0 nan\n", "vertex 0 is .*not finite"),
        ("v 0 0 1e300\n", "not finite"),
        ("v 0 0 0\nvn 0 0 1\nf 1//2 1//2 1//2\n", "normal 2 is used"),
    ],
)
def test_bad_obj_files_are_named(text_file, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.obj", text))


def test_off_polygons_normals_and_comments(text_file):
    rows = "".join(f"{x} {y} {z} 0 0 2\n" for x, y, z in POINTS.tolist())
    path = text_file("a.off", f"NOFF # with normals\n5 2 0\n{rows}4 0 1 2 3\n3 0 1 4 255 0 0\n")
    entity = open_file(path)[0]
    assert entity.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]
    np.testing.assert_array_equal(entity.normals, [[0, 0, 1]] * 5)
    path = text_file("b.off", "OFF 3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert open_file(path)[0].faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 1 0\n", "truncated: 3 vertices and 1 faces"),
        ("OFF\n", "counts of vertices and faces are missing"),
        ("OFF\na b\n", "no counts"),
        ("OFF\n-1 0\n", "negative count"),
        ("OFF\n2 1 0\n0 0 0\n", "truncated: 2 vertices and 1 faces announced, 1 rows"),
        ("OFF\n99999999999 0 0\n0 0 0\n", "truncated"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0\n", "is no face"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0 1\n", "refers to vertices"),
        ("OFF\n1 0 0\n0 0\n", "vertex with 2 coordinates"),
        ("OFF\n0 0 0\n", "no vertices"),
        ("4OFF\n0 0 0\n", "three dimensions"),
    ],
)
def test_bad_off_files_are_named(text_file, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.off", text))


def ply_header(order, faces):
    return (
        f"ply\nformat {order} 1.0\ncomment c\nelement vertex 5\nproperty float x\n"
        "property float y\nproperty float z\nproperty float nx\nproperty float ny\n"
        "property float nz\nproperty uchar quality\n"
        f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    )


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("faces", [[[0, 1, 4], [1, 2, 4]], [[0, 1, 2, 3], [0, 1, 4]]])
def test_ply_mixes_polygons_and_keeps_scalars_and_normals(tmp_path, order, faces):
    content = ply_header(order, len(faces)).encode()
    mark = "<" if "little" in order else ">"
    if order == "ascii":
        rows = [" ".join(map(str, [*p, 0, 0, 2, i])) for i, p in enumerate(POINTS.tolist())]
        rows += [" ".join(map(str, [len(face), *face])) for face in faces]
        content += "\n".join(rows).encode()
    else:
        for i, point in enumerate(POINTS.tolist()):
            content += struct.pack(mark + "6fB", *point, 0, 0, 2, i)
        for face in faces:
            content += struct.pack(f"{mark}B{len(face)}i", len(face), *face)
    path = tmp_path / "a.ply"
    path.write_bytes(content)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices, POINTS)
    np.testing.assert_array_equal(entity.normals, [[0, 0, 1]] * 5)
    assert entity.vertex_properties.properties == ["quality"]
    assert entity.vertex_properties.get_property("quality").tolist() == list(range(5))
    fans = [[f[0], f[i], f[i + 1]] for f in faces for i in range(1, len(f) - 1)]
    assert entity.faces.tolist() == fans


def test_ply_triangle_strips_keep_their_orientation(text_file):
    rows = "\n".join(" ".join(map(str, p)) for p in POINTS.tolist())
    header = (
        "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nelement tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    )
    entity = open_file(text_file("a.ply", f"{header}{rows}\n8 0 1 3 2 -1 0 1 4\n"))[0]
    assert entity.faces.tolist() == [[0, 1, 3], [1, 2, 3], [0, 1, 4]]


def test_a_ply_without_faces_is_a_point_cloud(text_file):
    header = "ply\nformat ascii 1.0\nelement vertex 1\n"
    header += "".join(f"property double {axis}\n" for axis in "xyz")
    entity = open_file(text_file("a.ply", f"{header}end_header\n1 2 3\n"))[0]
    np.testing.assert_array_equal(entity.vertices, [[1, 2, 3]])
    assert entity.faces.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ply\n", "plx\n"), "no PLY header"),
        (("end_header", "end"), "no PLY header"),
        (("format ascii 1.0\n", ""), "names no format"),
        (("vertex 5", "vertex 99999999999"), "truncated"),
        (("vertex 5", "vertex -5"), "line 4: header statement"),
        (("property float y", "property float x"), "'x' is there twice"),
        (("property float y", "property quaternion y"), "line 6: header statement"),
        (("property float z\n", "property float w\n"), "x, y and z"),
        (("3 0 1 4", "3 0 1 5"), "refers to vertices"),
        (("3 0 1 4", "2 0 1"), "corners|truncated"),
        (("3 0 1 4", "9999999 0 1 4"), "truncated"),
        (("3 0 1 4", "-3 0 1 4"), "no length of a list"),
        (("3 0 1 4", "3 0 1 1.5"), "property 'vertex_indices'"),
        (("1.0 0.0 0.0", "1.0 a 0.0"), "property 'y'"),
    ],
)
def test_bad_ply_files_are_named(text_file, change, message):
    rows = "\n".join(" ".join(map(str, [*p, 0, 0, 1, 7])) for p in POINTS.tolist())
    text = f"{ply_header('ascii', 1)}{rows}\n3 0 1 4\n".replace(*change, 1)
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.ply", text))


def test_ascii_stl_and_a_binary_one_that_begins_with_solid(text_file, tmp_path, pyramid):
    text = trimesh.exchange.stl.export_stl_ascii(pyramid)
    entity = open_file(text_file("a.stl", text))[0]
    np.testing.assert_allclose(entity.vertices[entity.faces], POINTS[TRIANGLES])
    assert entity.normals is None
    content = trimesh.exchange.stl.export_stl(pyramid)
    path = tmp_path / "b.stl"
    path.write_bytes(b"solid name".ljust(80) + content[80:])
    assert len(open_file(path)[0].faces) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too few"),
        (b"garbage", "too few"),
        (bytes(84), "no triangles"),
        (bytes(80) + (2**31).to_bytes(4, "little"), "truncated: 2147483648 triangles"),
        (b"solid a\nendsolid a\n", "no triangles"),
        (b"solid a\nfacet normal 0 0 1\n", "endsolid"),
        (b"solid a\nfacet\nvertex 0 0 0\nendfacet\nendsolid", "1 vertices in 1 facets"),
        (b"solid a\nfacet\n" + b"vertex 0 0 q\n" * 3 + b"endfacet\nendsolid", "three numbers"),
    ],
)
def test_bad_stl_files_are_named(tmp_path, content, message):
    path = tmp_path / "a.stl"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        open_file(path)


def test_a_scene_is_flattened_with_its_transforms(tmp_path, pyramid):
    scene = trimesh.Scene()
    scene.add_geometry(pyramid)
    shift = trimesh.transformations.translation_matrix([10, 20, 30])
    mirror = np.diag([-1.0, 1, 1, 1])
    scene.add_geometry(pyramid, transform=shift)
    scene.add_geometry(pyramid, transform=mirror)
    path = tmp_path / "a.glb"
    scene.export(path)
    entity = open_file(path)[0]
    packed = tmp_path / "a.glb.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(open_file(packed)[0].vertices, entity.vertices)
    assert len(entity.vertices) == 15
    assert len(entity.faces) == 12
    parts = [entity.vertices[5 * i : 5 * i + 5] for i in range(3)]
    lowest = sorted(tuple(part.min(axis=0).tolist()) for part in parts)
    assert lowest == [(-1, 0, 0), (0, 0, 0), (10, 20, 30)]
    # A mirrored body must not turn inside out.
    volumes = [
        signed_volume(part - part.mean(axis=0), entity.faces[4 * i : 4 * i + 4] - 5 * i)
        for i, part in enumerate(parts)
    ]
    assert np.ptp(volumes) < 1e-4


def test_gltf_keeps_stored_normals_and_only_those(tmp_path):
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
    normals = np.array([[0, 1, 0]] * 3, dtype="<f4")
    document = gltf_document(triangle.tobytes() + normals.tobytes())
    path = tmp_path / "a.gltf"
    path.write_text(json.dumps(document))
    np.testing.assert_allclose(open_file(path)[0].normals, normals)
    del document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]
    path.write_text(json.dumps(document))
    entity = open_file(path)[0]
    assert entity.normals is None
    np.testing.assert_array_equal(entity.vertices, triangle)


def gltf_document(data, uri=None):
    uri = uri or "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    view = {"buffer": 0, "byteLength": 36}
    accessor = {"componentType": 5126, "count": 3, "type": "VEC3", "min": [0] * 3, "max": [1] * 3}
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}}]}],
        "buffers": [{"uri": uri, "byteLength": len(data)}],
        "bufferViews": [view, {**view, "byteOffset": 36}],
        "accessors": [{**accessor, "bufferView": 0}, {**accessor, "bufferView": 1}],
    }


def test_gltf_buffers_beside_the_file_are_read_and_others_are_not(tmp_path):
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]] * 2, dtype="<f4").tobytes()
    (tmp_path / "part.bin").write_bytes(data)
    path = tmp_path / "a.gltf"
    path.write_text(json.dumps(gltf_document(data, "part.bin")))
    assert len(open_file(path)[0].faces) == 1
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    for uri in ("../x", " ../x", "/etc/hostname", "http://localhost/part.bin", "link.bin"):
        path.write_text(json.dumps(gltf_document(data, uri)))
        with pytest.raises(FormatError, match="outside"):
            open_file(path)
    path.write_text(json.dumps(gltf_document(data, "absent.bin")))
    with pytest.raises(FormatError, match="missing"):
        open_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}]}, "accessor"),
        ({"accessors": [{}]}, "broken glTF document"),
        ({"nodes": [{"children": [0]}]}, "cycle"),
        ({"nodes": [{"children": [1]}, {}, {"children": [1]}]}, "two parents"),
        ({"meshes": []}, "no readable glTF|no vertices"),
        ({"nodes": 5}, "broken glTF document"),
    ],
)
def test_bad_gltf_documents_are_named(tmp_path, change, message):
    path = tmp_path / "a.gltf"
    path.write_text(json.dumps({**gltf_document(bytes(72)), **change}))
    with pytest.raises(FormatError, match=message):
        open_file(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.glb", b"nothing", "no GLB header"),
        ("a.glb", b"glTF" + bytes(8) + b"\xff\xff\xff\x7f" + bytes(9), "truncated"),
        ("a.gltf", b"{", "broken JSON"),
        ("a.gltf", b"[]", "JSON object"),
        ("a.fbx", b"anything", "no maintained Python library reads fbx"),
    ],
)
def test_other_bad_meshes_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        open_file(path)
