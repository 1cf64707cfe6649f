"""Properties of every text format: what is written reads back, and no text breaks a reader."""

import base64
import gzip
import json
import runpy
import warnings
from pathlib import Path

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
from mosaicflow.formats.reader import _READERS

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
@given(mesh=meshes(), shift=st.tuples(*[st.integers(-99, 99)] * 3))
def test_gltf_of_text_reads_what_was_spelled_out(tmp_path, mesh, shift):
    points = mesh.vertices.astype("<f4").tobytes()
    data = points + mesh.faces.astype("<u4").tobytes()
    views = [{"buffer": 0, "byteLength": len(points)}]
    views.append({"buffer": 0, "byteOffset": len(points), "byteLength": len(data) - len(points)})
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": shift}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"uri": f"data:;base64,{base64.b64encode(data).decode()}"}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": len(mesh.vertices)},
            {"bufferView": 1, "componentType": 5125, "type": "SCALAR", "count": mesh.faces.size},
        ],
    }
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    entity = open_file(tmp_path / "a.gltf")[0]
    expected = (mesh.vertices.astype(float) + shift).astype(np.float32)
    np.testing.assert_array_equal(entity.vertices, expected)
    np.testing.assert_array_equal(entity.faces, mesh.faces)


@QUICK
@given(mesh=meshes(), noise=st.sampled_from(["", " name", " name of two"]))
def test_stl_of_text_reads_what_was_spelled_out(tmp_path, mesh, noise):
    facets = "".join(
        "facet normal 0 0 0\n outer loop\n"
        + "".join(f"  vertex {x!r} {y!r} {z!r}\n" for x, y, z in corners)
        + " endloop\nendfacet\n"
        for corners in mesh.vertices[mesh.faces].tolist()
    )
    (tmp_path / "a.stl").write_text(f"solid{noise}\n{facets}endsolid{noise}\n")
    entity = open_file(tmp_path / "a.stl")[0]
    np.testing.assert_array_equal(entity.vertices[entity.faces], mesh.vertices[mesh.faces])


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


DRIVER = Path(__file__).resolve().parents[2] / "fuzz" / "fuzz_formats.py"
SOUND = runpy.run_path(str(DRIVER))["text_seeds"]()


def test_there_is_a_sound_text_of_every_text_format():
    # A detached NRRD header is text, but says nothing without the file beside it.
    binary = {"mrc", "map", "em", "h5", "nrrd", "nhdr", "nii", "glb", "fbx", "vtp"}
    assert set(SOUND) == set(_READERS) - binary


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
@example(damage=[("replace", 0.75, "1e300")], pack=False)  # a normal beyond float32
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
    for extension in SOUND:
        path = tmp_path / f"a.{extension}"
        path.write_text(SOUND[extension])
        plain = open_file(path)[0]
        assert len(plain.vertices) > 0
        packed = tmp_path / f"a.{extension}.gz"
        packed.write_bytes(gzip.compress(SOUND[extension].encode()))
        np.testing.assert_array_equal(open_file(packed)[0].vertices, plain.vertices)
