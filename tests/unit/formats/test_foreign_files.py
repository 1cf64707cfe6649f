"""Meshes and maps as other programs write them: the right values, or what is not read is named."""

import base64
import bz2
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.formats import FormatError, open_file, read_mesh

FOREIGN = Path("/work/shared/data/foreign_files")
for parent in Path(__file__).parents:
    if (parent / "shared" / "data" / "foreign_files").is_dir():
        FOREIGN = parent / "shared" / "data" / "foreign_files"
needs_shared = pytest.mark.skipif(not FOREIGN.is_dir(), reason="the shared data is not here")

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.uint16)


def sizes(container):
    return [len(entity.vertices) for entity in container]


@needs_shared
@pytest.mark.parametrize(
    "name", ["F01/mask.mrc", "F02/TE1.mrc", "F02/TE1_float.mrc", "N02/seg.nhdr"]
)
def test_labels_of_other_programs_are_two_of_eighteen_voxels(name):
    assert sizes(open_file(FOREIGN / name)) == [18, 18]


@needs_shared
@pytest.mark.parametrize("name", ["noword", "glued", "coff", "blank", "same"])
def test_every_spelling_of_off_has_four_vertices_and_two_faces(name):
    (mesh,) = read_mesh(FOREIGN / "M06" / f"{name}.off")

    assert (len(mesh.vertices), len(mesh.faces)) == (4, 2)


@needs_shared
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("M01/draco.glb", "KHR_draco_mesh_compression"),
        ("M01/meshopt.glb", "EXT_meshopt_compression"),
        ("N02/vec.nrrd", "3 axes are expected"),
        ("N02/dup.nrrd", "Duplicate header field: space"),
    ],
)
def test_what_is_not_read_is_named(name, named):
    with pytest.raises(FormatError, match=named):
        open_file(FOREIGN / name)


def mrc(path, stored, *, imod_flags=None, mark=b"MAP ", limits=(0.0, 0.0)):
    head = bytearray(1024)
    nz, ny, nx = stored.shape
    struct.pack_into("<10i6f3i3f2i", head, 0, nx, ny, nz, 0, 0, 0, 0, nx, ny, nz,
                     nx, ny, nz, 90, 90, 90, 1, 2, 3, *limits, 0, 1, 0)  # fmt: skip
    head[208:212], head[212:216] = mark, b"\x44\x44\0\0"
    if imod_flags is not None:
        struct.pack_into("<2i", head, 152, 1146047817, imod_flags)
    path.write_bytes(bytes(head) + stored.tobytes())
    return path


LABELS = np.zeros((3, 4, 5), np.uint8)
LABELS[1, 1, 1:3], LABELS[2, 2, 2] = 1, 200


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        ((LABELS ^ 0x80), {"imod_flags": 1}),
        (LABELS, {"imod_flags": 0}),
        (LABELS, {"limits": (0.0, 200.0)}),
    ],
)
def test_bytes_of_an_mrc_are_what_its_writer_meant(tmp_path, stored, options):
    assert sizes(open_file(mrc(tmp_path / "a.mrc", stored, **options))) == [2, 1]


def test_shifted_bytes_without_a_mark_are_no_labels(tmp_path):
    with pytest.raises(FormatError, match=r"most voxels are -128.*16-bit integers"):
        open_file(mrc(tmp_path / "a.mrc", LABELS ^ 0x80))


def test_an_mrc_without_its_mark_must_have_the_length_its_header_says(tmp_path):
    path = mrc(tmp_path / "a.mrc", LABELS, mark=b"\x9a\x11\x7c\x01")
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(FormatError, match=r"not 'MAP ', and it has 1085 bytes, not the 1084"):
        open_file(path)


def gltf(path, position, data, extra=None):
    """Write a scene of two triangles whose positions are stored in some way."""
    buffer = FACES.tobytes() + data
    views = [{"buffer": 0, "byteOffset": 0, "byteLength": 12}, *position.pop("views")]
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **(extra or {})}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "accessors": [
            {"componentType": 5123, "count": 6, "type": "SCALAR", "bufferView": 0}, position,
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(buffer)}],
    }  # fmt: skip
    if path.suffix == ".gltf":
        uri = f"data:application/octet-stream;base64,{base64.b64encode(buffer).decode()}"
        document["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(document))
        return path
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    buffer += b"\0" * (-len(buffer) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer), b"BIN\0") + buffer
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path


@pytest.mark.parametrize("suffix", ["glb", "gltf"])
@pytest.mark.parametrize("has_base", [True, False])
def test_a_sparse_accessor_is_decoded(tmp_path, suffix, has_base):
    base = POINTS.tobytes() if has_base else b""
    data = base + struct.pack("<HH", 1, 3) + np.float32([[5, 6, 7], [8, 9, 10]]).tobytes()
    start = 12 + len(base)
    views = [
        {"buffer": 0, "byteOffset": 12, "byteLength": max(len(base), 4)},
        {"buffer": 0, "byteOffset": start, "byteLength": 4},
        {"buffer": 0, "byteOffset": start + 4, "byteLength": 24},
    ]
    position = {
        "componentType": 5126, "count": 4, "type": "VEC3", "views": views,
        "sparse": {"count": 2, "indices": {"bufferView": 2, "componentType": 5123},
                   "values": {"bufferView": 3}},
    }  # fmt: skip
    if has_base:
        position["bufferView"] = 1
    expected = POINTS.copy() if has_base else np.zeros_like(POINTS)
    expected[[1, 3]] = [[5, 6, 7], [8, 9, 10]]

    (mesh,) = read_mesh(gltf(tmp_path / f"a.{suffix}", position, data))

    np.testing.assert_allclose(mesh.vertices, expected)


@pytest.mark.parametrize("is_normalized", [True, False])
@pytest.mark.parametrize(("dtype", "kind"), [("<i2", 5122), ("<u2", 5123), ("i1", 5120)])
def test_quantized_positions_are_lengths(tmp_path, dtype, kind, is_normalized):
    largest = np.iinfo(dtype).max
    stored = np.zeros((4, 4), dtype)
    stored[:, :3] = POINTS * largest
    views = [{"buffer": 0, "byteOffset": 12, "byteLength": stored.nbytes,
              "byteStride": 4 * stored.itemsize}]  # fmt: skip
    position = {"componentType": kind, "count": 4, "type": "VEC3", "bufferView": 1,
                "normalized": is_normalized, "views": views}  # fmt: skip
    path = gltf(tmp_path / "a.glb", position, stored.tobytes(), {"scale": [2, 2, 2]})

    (mesh,) = read_mesh(path)

    np.testing.assert_allclose(mesh.vertices, 2 * POINTS * (1 if is_normalized else largest))


@given(st.binary(max_size=60).filter(lambda text: b"\0" not in text))
def test_a_binary_stl_is_binary_whatever_its_header_says(tmp_path_factory, words):
    header = b"solid facet normal endsolid " + words[:40]
    facet = struct.pack("<12fH", 0, 0, 1, *POINTS[:3].ravel(), 0)
    path = tmp_path_factory.mktemp("stl") / "a.stl"
    path.write_bytes(header.ljust(80, b" ")[:80] + struct.pack("<I", 2) + 2 * facet)

    (mesh,) = read_mesh(path)

    np.testing.assert_allclose(mesh.vertices[:3], POINTS[:3])


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_comment_may_hold_the_words_that_end_a_header(tmp_path, line_end):
    lines = [
        "ply", "format ascii 1.0", "comment after end_header come rows", "element vertex 3",
        "property float x", "property float y", "property float z", "element face 1",
        "property list uchar int vertex_indices", "end_header", "0 0 0", "1 0 0", "0 1 0",
        "3 0 1 2", "",
    ]  # fmt: skip
    (tmp_path / "a.ply").write_bytes(line_end.join(lines).encode())

    (mesh,) = read_mesh(tmp_path / "a.ply")

    np.testing.assert_allclose(mesh.vertices, POINTS[:3])


def test_a_mask_without_a_value_below_zero_is_not_shifted_whatever_flag_it_carries(tmp_path):
    """Programs that copy a header of IMOD's keep its stamp and flag."""
    labels = np.where(LABELS == 200, 2, LABELS).astype(np.int8)
    assert sizes(open_file(mrc(tmp_path / "a.mrc", labels, imod_flags=1))) == [2, 1]


NHDR = (
    "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 2 3 4\nendian: little\nencoding: {}\n"
    "spacings: 1 1 2\n{}\n"
)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("bz2", bz2.compress)])
@pytest.mark.parametrize("byte_skip", [0, 8])
def test_compressed_voxels_beside_their_header_are_unpacked_once(
    tmp_path, encoding, pack, byte_skip
):
    voxels = np.zeros(24, "<u2")
    voxels[[3, 4]] = 1, 2
    (tmp_path / "a.bin").write_bytes(pack(bytes(byte_skip) + voxels.tobytes()))
    told = f"byte skip: {byte_skip}\ndata file: a.bin"
    (tmp_path / "a.nhdr").write_text(NHDR.format(encoding, told))
    assert sizes(open_file(tmp_path / "a.nhdr")) == [1, 1]


@pytest.mark.parametrize("told", ["data file: LIST\na.raw\nb.raw", "datafile: %d.raw 0 3 1"])
def test_voxels_in_several_files_say_so(tmp_path, told):
    (tmp_path / "a.nhdr").write_text(NHDR.format("raw", told))
    with pytest.raises(FormatError, match="several files: join them"):
        open_file(tmp_path / "a.nhdr")
