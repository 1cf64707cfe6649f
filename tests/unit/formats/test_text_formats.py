"""Properties of every text format: what is written reads back, and no text breaks a reader."""

import gzip
import json
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mosaicflow.formats import (
    FormatError,
    GeometryData,
    GeometryDataContainer,
    VertexPropertyContainer,
    open_file,
    write_geometries,
    write_topology_file,
)

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
number = st.floats(-1e6, 1e6, width=32)
clouds = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=number)
quaternion = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
# Any text without line breaks; NUL would make the file binary, and both kinds of quotes before
# blanks cannot be written.
words = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\n\r'"), max_size=12
)


@st.composite
def oriented(draw):
    points = draw(clouds)
    count = len(points)
    quaternions = draw(st.lists(quaternion, min_size=count, max_size=count))
    names = draw(st.lists(words, min_size=count, max_size=count))
    scores = draw(hnp.arrays(np.float64, count, elements=st.floats(-1e300, 1e300)))
    return GeometryData(
        vertices=points,
        quaternions=np.array(quaternions),
        vertex_properties=VertexPropertyContainer({"_name": names, "_score": scores}),
    )


@st.composite
def meshes(draw):
    points = draw(clouds.filter(lambda c: len(c) >= 3))
    corner = st.integers(0, len(points) - 1)
    faces = draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=9))
    return GeometryData(vertices=points, faces=np.array(faces))


def same_turns(found, expected):
    unit = np.asarray(expected) / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(np.sum(found * unit, axis=1)), 1, atol=1e-5)


def as_numbers(texts):
    """Texts that are all numbers become numbers when read: that is the rule of the format."""
    try:
        if any("_" in text for text in texts):
            return texts
        return [float(text) for text in texts]
    except ValueError:
        return texts


@QUICK
@given(records=st.lists(oriented(), min_size=1, max_size=3))
def test_star_round_trip(tmp_path, records):
    path = tmp_path / "a.star"
    write_geometries(records, path)
    container = open_file(path)
    names = [name for record in records for name in record.vertex_properties.get_property("_name")]
    expected_names = iter(as_numbers([str(name) for name in names]))
    assert len(container) == len(records)
    for entity, record in zip(container, records, strict=True):
        np.testing.assert_array_equal(entity.vertices, record.vertices)
        same_turns(entity.quaternions, record.quaternions)
        box = entity.vertex_properties
        scores = record.vertex_properties.get_property("_score")
        assert box.get_property("_score").tolist() == scores.tolist()
        found = box.get_property("_name").tolist()
        np.testing.assert_equal(found, [next(expected_names) for _ in found])


@QUICK
@given(records=st.lists(oriented(), min_size=1, max_size=3), extension=st.sampled_from(["tsv"]))
def test_tsv_round_trip(tmp_path, records, extension):
    path = tmp_path / "a.tsv"
    write_geometries(records, path, format=extension)
    for entity, record in zip(open_file(path), records, strict=True):
        np.testing.assert_array_equal(entity.vertices, record.vertices)
        same_turns(entity.quaternions, record.quaternions)


@QUICK
@given(record=oriented())
def test_ndjson_and_xyz_round_trip(tmp_path, record):
    for extension in ("ndjson", "xyz"):
        path = tmp_path / f"a.{extension}"
        write_geometries([record], path, format=extension)
        entity = open_file(path)[0]
        np.testing.assert_array_equal(entity.vertices, record.vertices)
        if extension == "ndjson":
            same_turns(entity.quaternions, record.quaternions)


@QUICK
@given(points=clouds, data=st.data(), extension=st.sampled_from(["csv", "txt", "xyz", "tsv"]))
def test_text_tables_whatever_separator_header_and_order(tmp_path, points, data, extension):
    order = data.draw(st.permutations(["x", "y", "z", "weight"]))
    mark = data.draw(st.sampled_from([" ", {"csv": ",", "xyz": ","}.get(extension, "\t")]))
    rows = [dict(zip("xyz", p, strict=True), weight=i) for i, p in enumerate(points.tolist())]
    lines = [mark.join(order)] + [mark.join(repr(row[name]) for name in order) for row in rows]
    path = tmp_path / f"a.{extension}"
    path.write_text("\n".join(lines), encoding="utf-8")
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices, points)
    weights = entity.vertex_properties.get_property("weight")
    assert weights.tolist() == list(range(len(points)))


@QUICK
@given(mesh=meshes(), extension=st.sampled_from(["obj", "tsi", "q", "ply", "stl"]))
def test_meshes_round_trip(tmp_path, mesh, extension):
    path = tmp_path / f"a.{extension}"
    write_geometries([mesh], path, format=extension)
    entity = open_file(path)[0]
    expected = mesh.vertices[mesh.faces]
    np.testing.assert_array_equal(entity.vertices[entity.faces], expected)
    if extension != "stl":
        np.testing.assert_array_equal(entity.faces, mesh.faces)


@QUICK
@given(mesh=meshes())
def test_off_ascii_ply_vtu_and_vtk_read_what_was_spelled_out(tmp_path, mesh):
    points = "\n".join(" ".join(map(repr, p)) for p in mesh.vertices.tolist())
    faces = "\n".join("3 " + " ".join(map(str, f)) for f in mesh.faces.tolist())
    n, m = len(mesh.vertices), len(mesh.faces)
    texts = {
        "off": f"OFF\n{n} {m} 0\n{points}\n{faces}\n",
        "ply": f"ply\nformat ascii 1.0\nelement vertex {n}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {m}\nproperty list uchar int vertex_indices\n"
        f"end_header\n{points}\n{faces}\n",
        "vtk": f"# vtk DataFile Version 3.0\nt\nASCII\nDATASET POLYDATA\nPOINTS {n} float\n"
        f"{points}\nPOLYGONS {m} {4 * m}\n{faces}\n",
        "vtu": vtu(points, mesh.faces, n),
    }
    for extension, text in texts.items():
        path = tmp_path / f"a.{extension}"
        path.write_text(text, encoding="utf-8")
        entity = open_file(path)[0]
        np.testing.assert_array_equal(entity.vertices, mesh.vertices)
        np.testing.assert_array_equal(entity.faces, mesh.faces)


def vtu(points, faces, count):
    corners = " ".join(map(str, faces.ravel().tolist()))
    ends = " ".join(str(3 * (i + 1)) for i in range(len(faces)))
    return (
        f'<VTKFile type="UnstructuredGrid"><UnstructuredGrid><Piece NumberOfPoints="{count}">'
        f'<Points><DataArray type="Float32">{points}</DataArray></Points><Cells>'
        f'<DataArray type="Int64" Name="connectivity">{corners}</DataArray>'
        f'<DataArray type="Int64" Name="offsets">{ends}</DataArray>'
        f'<DataArray type="UInt8" Name="types">{"5 " * len(faces)}</DataArray></Cells></Piece>'
        "</UnstructuredGrid></VTKFile>"
    )


@QUICK
@given(
    atoms=st.lists(st.tuples(*[st.floats(-999, 9999)] * 3), min_size=1, max_size=9),
    digits=st.integers(3, 6),
)
def test_structures_read_what_was_spelled_out(tmp_path, atoms, digits):
    pdb = "".join(
        f"ATOM  {i:5d}  CA  GLY A{i:4d}    " + "".join(f"{v:8.3f}" for v in atom) + "\n"
        for i, atom in enumerate(atoms)
    )
    width = digits + 5
    gro = f"t\n{len(atoms)}\n" + "".join(
        f"{i:5d}GLY     CA{i:5d}" + "".join(f"{v:{width}.{digits}f}" for v in atom) + "\n"
        for i, atom in enumerate(atoms)
    )
    cif = "data_a\nloop_\n_atom_site.Cartn_z\n_atom_site.Cartn_x\n_atom_site.group_PDB\n"
    cif += "_atom_site.Cartn_y\n" + "".join(f"{z!r} {x!r} ATOM {y!r}\n" for x, y, z in atoms)
    for name, text, precision in [
        ("a.pdb", pdb, 6e-4),
        ("a.gro", gro + "1 1 1\n", 0.6 * 10.0**-digits),
        ("a.cif", cif, 1e-30),  # float32 has no smaller numbers
    ]:
        (tmp_path / name).write_text(text)
        found = open_file(tmp_path / name)[0].vertices
        np.testing.assert_allclose(found, atoms, rtol=1e-6, atol=precision)


@QUICK
@given(mesh=meshes(), types=st.lists(st.integers(1, 9), min_size=3, max_size=3), tsi=st.booleans())
def test_topologies_round_trip(tmp_path, mesh, types, tsi):
    inclusions = [[i, kind, i] for i, kind in enumerate(types)]
    path = tmp_path / ("a.tsi" if tsi else "a.q")
    data = {"box": [1, 2, 3], "vertices": mesh.vertices, "faces": mesh.faces}
    write_topology_file(path, {**data, "inclusions": inclusions}, tsi_format=tsi)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices, mesh.vertices)
    np.testing.assert_array_equal(entity.faces, mesh.faces)
    if tsi:
        found = entity.vertex_properties.get_property("inclusion")
        assert found[:3].tolist() == types


SOUND = {
    "star": "data_optics\nloop_\n_rlnImagePixelSize\n2\n\ndata_particles\n\nloop_\n"
    "_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnClassNumber\n_n\n"
    "1 2 3 1 'a b'\n4 5 6 2 c\n",
    "tsv": "x\ty\tz\teuler_x\teuler_y\teuler_z\tscore\tdetail\n1\t2\t3\t4\t5\t6\t7\t8\n",
    "txt": "1 2 3\n4 5 6\n",
    "xyz": "x,y,z\n1,2,3\n",
    "csv": "x,y,z,nx,ny,nz,id,n\n1,2,3,0,0,1,1,a\n4,5,6,0,0,1,2,b\n",
    "ndjson": json.dumps(
        {"location": {"x": 1, "y": 2, "z": 3}, "xyz_rotation_matrix": np.eye(3).tolist()}
    ),
    "obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf 1//1 2//1 -1//1\n",
    "off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "ply": "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
    "property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
    "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "stl": "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n"
    "vertex 0 1 0\nendloop\nendfacet\nendsolid a\n",
    "gltf": '{"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{}]}',
    "tsi": "version 1.1\nbox 1 1 1\nvertex 3\n0 0 0 0\n1 1 0 0\n2 0 1 0\ntriangle 1\n0 0 1 2\n"
    "inclusion 1\n0 1 2 0 1\n",
    "q": "1 1 1\n3\n0 0 0 0 0\n1 1 0 0 0\n2 0 1 0 0\n1\n0 0 1 2 1\n",
    "vtu": vtu("0 0 0 1 0 0 0 1 0", np.array([[0, 1, 2]]), 3),
    "vtk": "# vtk DataFile Version 3.0\nt\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n"
    "0 0 0 1 0 0 0 1 0\nPOLYGONS 1 4\n3 0 1 2\nPOINT_DATA 3\nSCALARS a float\n"
    "LOOKUP_TABLE default\n1 2 3\n",
    "pdb": "ATOM      1  N   GLY A   1       1.000   2.000   3.000\n",
    "cif": "data_X\nloop_\n_atom_site.group_PDB\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
    "_atom_site.Cartn_z\nATOM 1 2 3\n",
    "gro": "t\n1\n    1SOL     OW    1   1.000   2.000   3.000\n1 1 1\n",
}


def read_or_refuse(path):
    """Read a file; anything but a sound container or a FormatError rises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            container = open_file(path)
    except FormatError as error:
        if path.name not in str(error):
            raise AssertionError("the message does not name the file") from error
        return
    assert isinstance(container, GeometryDataContainer)
    for entity in container:
        assert np.all(np.isfinite(entity.vertices))


@pytest.mark.parametrize("extension", SOUND)
@QUICK
@given(text=st.text(max_size=200))
@example(text="\ufeff")
@example(text="\x1c1\x1c2\x1c3\x85")
def test_any_text_is_read_or_refused(tmp_path, extension, text):
    path = tmp_path / f"a.{extension}"
    path.write_text(text, encoding="utf-8", newline="", errors="replace")
    read_or_refuse(path)


@st.composite
def injuries(draw):
    kind = draw(st.sampled_from(["replace", "remove", "double", "swap"]))
    extra = st.sampled_from(
        ["-1", "nan", "inf", "1e999", "1e300", "99999999999", "", "'", '"', "#", "\t"]
    )
    return kind, draw(st.floats(0, 1)), draw(extra)


@pytest.mark.parametrize("extension", SOUND)
@QUICK
@given(damage=st.lists(injuries(), min_size=1, max_size=4), pack=st.booleans())
def test_damaged_text_is_read_or_refused(tmp_path, extension, damage, pack):
    words = SOUND[extension].replace("\n", " \n ").split(" ")
    for kind, place, extra in damage:
        index = min(int(place * len(words)), len(words) - 1)
        if kind == "replace":
            words[index] = extra
        elif kind == "double":
            words.insert(index, words[index])
        elif kind == "swap":
            words[index], words[-index] = words[-index], words[index]
        elif len(words) > 1:
            del words[index]
    content = " ".join(words).replace(" \n ", "\n").encode()
    path = tmp_path / f"a.{extension}"
    path.write_bytes(gzip.compress(content) if pack else content)
    read_or_refuse(path)


def test_the_sound_texts_are_sound(tmp_path):
    for extension in set(SOUND) - {"gltf"}:
        path = tmp_path / f"a.{extension}"
        path.write_text(SOUND[extension])
        plain = open_file(path)[0]
        assert len(plain.vertices) > 0
        packed = tmp_path / f"a.{extension}.gz"
        packed.write_bytes(gzip.compress(SOUND[extension].encode()))
        np.testing.assert_array_equal(open_file(packed)[0].vertices, plain.vertices)
