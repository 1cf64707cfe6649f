import base64
import lzma
import struct
import zlib

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from mosaicflow.formats import FormatError, open_file

POINTS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 2], [1, 0, 2], [1, 1, 2], [0, 1, 2]],
    dtype=float,
)


def grid(cells, points=POINTS):
    """Make a VTK grid of (type, point indices)."""
    data = vtk.vtkUnstructuredGrid()
    place = vtk.vtkPoints()
    for point in points:
        place.InsertNextPoint(*point)
    data.SetPoints(place)
    for kind, corners in cells:
        data.InsertNextCell(kind, len(corners), corners)
    scalar = vtk.vtkFloatArray()
    scalar.SetName("height")
    vector = vtk.vtkDoubleArray()
    vector.SetName("shift")
    vector.SetNumberOfComponents(2)
    for index in range(len(points)):
        scalar.InsertNextValue(index / 2)
        vector.InsertNextTuple2(index, -index)
    data.GetPointData().AddArray(scalar)
    data.GetPointData().AddArray(vector)
    return data


def write(writer, data, path, mode="Appended", compressor="ZLib", encoded=True, wide=False):
    writer.SetInputData(data)
    writer.SetFileName(str(path))
    getattr(writer, f"SetDataModeTo{mode}")()
    getattr(writer, f"SetCompressorTypeTo{compressor}")()
    writer.SetEncodeAppendedData(encoded)
    getattr(writer, f"SetHeaderTypeToUInt{64 if wide else 32}")()
    assert writer.Write() == 1
    return path


def signed_volume(entity):
    a, b, c = (entity.vertices[entity.faces[:, i]].astype(float) for i in range(3))
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def area(entity):
    a, b, c = (entity.vertices[entity.faces[:, i]].astype(float) for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


@pytest.mark.parametrize("mode", ["Ascii", "Binary", "Appended"])
@pytest.mark.parametrize("compressor", ["None", "ZLib", "LZ4", "LZMA"])
@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_every_layout_of_vtk_reads_the_same(tmp_path, mode, compressor, encoded, wide):
    data = grid([(5, [0, 1, 2]), (5, [0, 2, 3]), (9, [4, 5, 6, 7])])
    writer = vtk.vtkXMLUnstructuredGridWriter()
    path = write(writer, data, tmp_path / "a.vtu", mode, compressor, encoded, wide)
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices, POINTS)
    assert entity.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    box = entity.vertex_properties
    assert box.get_property("height").tolist() == [index / 2 for index in range(8)]
    assert box.get_property("shift").shape == (8, 2)
    assert box.get_property("shift")[3].tolist() == [3, -3]


def test_polygons_strips_pixels_points_and_lines_mix(tmp_path):
    cells = [
        (7, [0, 1, 2, 3, 7]),
        (1, [4]),
        (6, [0, 1, 3, 2]),
        (3, [0, 4]),
        (8, [4, 5, 7, 6]),
        (22, [0, 1, 2, 3, 4, 5]),
    ]
    path = write(vtk.vtkXMLUnstructuredGridWriter(), grid(cells), tmp_path / "a.vtu")
    faces = open_file(path)[0].faces.tolist()
    expected = [
        [0, 1, 3], [1, 2, 3],
        [0, 1, 2], [0, 2, 3], [0, 3, 7],
        [4, 5, 6], [4, 6, 7],
        [0, 1, 2],
    ]  # fmt: skip
    assert sorted(faces) == sorted(expected)


SOLIDS = {
    "tetra": (10, [0, 1, 3, 4]),
    "voxel": (11, [0, 1, 3, 2, 4, 5, 7, 6]),
    "hexahedron": (12, list(range(8))),
    "wedge": (13, [0, 3, 1, 4, 7, 5]),
    "pyramid": (14, [0, 1, 2, 3, 6]),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_volume_cell_is_replaced_by_its_surface(tmp_path, name):
    data = grid([SOLIDS[name]])
    path = write(vtk.vtkXMLUnstructuredGridWriter(), data, tmp_path / "a.vtu")
    entity = open_file(path)[0]
    surface = vtk.vtkDataSetSurfaceFilter()
    surface.SetInputData(data)
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputConnection(surface.GetOutputPort())
    mass = vtk.vtkMassProperties()
    mass.SetInputConnection(triangles.GetOutputPort())
    mass.Update()
    assert area(entity) == pytest.approx(mass.GetSurfaceArea(), rel=1e-5)
    # Positive: the faces look outwards.
    assert signed_volume(entity) == pytest.approx(mass.GetVolume(), rel=1e-4)


def test_the_face_between_two_volume_cells_is_no_surface(tmp_path):
    above = POINTS[4:] + np.array([0, 0, 2])
    cells = [(12, list(range(8))), (12, [4, 5, 6, 7, 8, 9, 10, 11])]
    data = grid(cells, np.concatenate([POINTS, above]))
    path = write(vtk.vtkXMLUnstructuredGridWriter(), data, tmp_path / "a.vtu")
    entity = open_file(path)[0]
    assert len(entity.faces) == 20
    assert signed_volume(entity) == pytest.approx(4)


@pytest.mark.parametrize(("kind", "sides"), [(15, 5), (16, 6)])
def test_prisms_enclose_their_volume(tmp_path, kind, sides):
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    points = np.concatenate([ring, ring + np.array([0, 0, 3])])
    data = grid([(kind, list(range(2 * sides)))], points)
    path = write(vtk.vtkXMLUnstructuredGridWriter(), data, tmp_path / "a.vtu")
    entity = open_file(path)[0]
    expected = 3 * sides / 2 * np.sin(2 * np.pi / sides)
    assert signed_volume(entity) == pytest.approx(expected, rel=1e-5)


def test_polyhedra_are_read_by_their_faces(tmp_path):
    data = grid([])
    faces = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    stream = vtk.vtkIdList()
    for value in [len(faces), *(v for face in faces for v in (len(face), *face))]:
        stream.InsertNextId(value)
    data.InsertNextCell(42, stream)
    path = write(vtk.vtkXMLUnstructuredGridWriter(), data, tmp_path / "a.vtu", mode="Ascii")
    assert "polyhedron_to_faces" in path.read_text()
    entity = open_file(path)[0]
    assert len(entity.faces) == 12
    assert signed_volume(entity) == pytest.approx(2)


def polyhedron(faces, points=POINTS):
    text = " ".join(map(str, points.ravel().tolist()))
    stream = " ".join(map(str, faces))
    cells = CELLS.format("0 1 2 3 4 5 6 7", "8", "42")
    cells += f'<DataArray type="Int64" Name="faces">{stream}</DataArray>'
    return vtu(points=text, n=len(points), cells=cells)


def test_polyhedra_of_older_files_are_read_by_their_stream(text_file):
    faces = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    stream = [6, *(value for face in faces for value in (4, *face))]
    entity = open_file(text_file("a.vtu", polyhedron(stream)))[0]
    assert signed_volume(entity) == pytest.approx(2)
    for broken in ([6, 4, 0, 3], [-1], [99, 3, 0, 1, 2], [1, 2, 0, 1]):
        with pytest.raises(FormatError, match="polyhedron"):
            open_file(text_file("a.vtu", polyhedron(broken)))


def vtu(arrays="", points="0 0 0 1 0 0 0 1 0", n=3, cells=None, root="", kind="UnstructuredGrid"):
    cells = cells or (
        '<DataArray type="Int64" Name="connectivity">0 1 2</DataArray>'
        '<DataArray type="Int64" Name="offsets">3</DataArray>'
        '<DataArray type="UInt8" Name="types">5</DataArray>'
    )
    piece = (
        f'<Piece NumberOfPoints="{n}"><Points><DataArray type="Float32">{points}</DataArray>'
        f"</Points><Cells>{cells}</Cells><PointData>{arrays}</PointData></Piece>"
    )
    return f'<VTKFile type="{kind}" {root}><{kind}>{piece}</{kind}></VTKFile>'


def test_pieces_are_joined(text_file):
    text = vtu()
    piece = text[text.index("<Piece") : text.index("</Unstr")]
    entity = open_file(text_file("a.vtu", text.replace(piece, piece * 2)))[0]
    assert entity.faces.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("separately", [True, False])
@pytest.mark.parametrize("pack", [zlib.compress, lzma.compress])
def test_base64_of_header_and_blocks_may_be_one_text_or_two(text_file, pack, separately):
    values = np.arange(3, dtype="<f8").tobytes()
    blocks = [pack(values[:16]), pack(values[16:])]
    header = struct.pack("<5I", 2, 16, 8, *map(len, blocks))
    parts = [header, b"".join(blocks)] if separately else [header + b"".join(blocks)]
    text = "".join(base64.b64encode(part).decode() for part in parts)
    name = "ZLib" if pack is zlib.compress else "LZMA"
    array = f'<DataArray type="Float64" Name="a" format="binary">{text}</DataArray>'
    path = text_file("a.vtu", vtu(array, root=f'compressor="vtk{name}DataCompressor"'))
    assert open_file(path)[0].vertex_properties.get_property("a").tolist() == [0, 1, 2]


def test_big_endian_files_read(text_file):
    raw = struct.pack(">I3f", 12, 1, 2, 3)
    array = (
        '<DataArray type="Float32" Name="a" format="binary">'
        f"{base64.b64encode(raw).decode()}</DataArray>"
    )
    path = text_file("a.vtu", vtu(array, root='byte_order="BigEndian"'))
    assert open_file(path)[0].vertex_properties.get_property("a").tolist() == [1, 2, 3]


def encoded(words, body=b""):
    return base64.b64encode(struct.pack(f"<{len(words)}I", *words) + body).decode()


BINARY = '<DataArray type="Float32" Name="a" format="binary">{}</DataArray>'
ZLIB = 'compressor="vtkZLibDataCompressor"'
CELLS = (
    '<DataArray type="Int64" Name="connectivity">{}</DataArray>'
    '<DataArray type="Int64" Name="offsets">{}</DataArray>'
    '<DataArray type="UInt8" Name="types">{}</DataArray>'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "broken XML"),
        ("<VTKFile", "broken XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + vtu(), "document type"),
        ("<other/>", "UnstructuredGrid is expected"),
        (vtu(kind="ImageData"), "of type 'ImageData'"),
        ('<VTKFile type="UnstructuredGrid"/>', "no Piece"),
        (vtu(n=4), "9 coordinates for 4 points"),
        (vtu(points="0 0 0 1", n=1), "4 coordinates for 1 points"),
        (vtu(points="0 0 x", n=1), "damaged"),
        (vtu(points="", n=0, cells=CELLS.format("", "", "")), "no vertices"),
        (vtu(points="0 0 0 1 0 0 0 nan 0"), "not finite"),
        (vtu(root='header_type="Int8"'), "header_type 'Int8'"),
        (vtu(root='compressor="vtkOther"'), "compressor 'vtkOther'"),
        (vtu(cells=CELLS.format("0 1 7", "3", "5")), "a triangle refers to a point"),
        (vtu(cells=CELLS.format("0 1 -1", "3", "5")), "a triangle refers to a point"),
        (vtu(cells=CELLS.format("0 1 2", "9", "5")), "offsets do not fit"),
        (vtu(cells=CELLS.format("0 1 2", "3", "5 5")), "2 cell types for 1 offsets"),
        (vtu(cells=CELLS.format("0 1 2", "3", "77")), "VTK type 77"),
        (vtu(cells=CELLS.format("0 1 2", "3", "12")), "too few points"),
        (vtu(cells=CELLS.format("0 1", "2", "7")), "polygon or strip of 2 points"),
        (vtu(cells=CELLS.format("0 1 2", "3", "42")), "polyhedra without their faces"),
        (vtu(cells=CELLS.replace("Int64", "Float32").format("0 1 2", "3", "5")), "no integers"),
        (vtu(cells="<a/>"), "lack connectivity"),
        (vtu('<DataArray type="Int8" Name="a">1 2</DataArray>'), "'a' has 2 values for 3"),
        (vtu('<DataArray type="Int8" Name="a">1 2 300</DataArray>'), "'a' is damaged"),
        (vtu('<DataArray type="Int8" Name="a">1 2 3</DataArray>' * 2), "'a' is there twice"),
        (vtu('<DataArray type="Text" Name="a">1 2 3</DataArray>'), "of type 'Text'"),
        (vtu('<DataArray type="Int8" Name="a" format="odd"/>'), "format 'odd'"),
        (vtu('<DataArray type="Int8" Name="a" format="appended" offset="5"/>'), "offset '5'"),
        (vtu(BINARY.format("!!!!")), "'a' is damaged"),
        (vtu(BINARY.format("")), "header is cut off"),
        (vtu(BINARY.format(encoded([10**9]))), "1000000000 bytes announced, 0 are there"),
        (vtu(BINARY.format(encoded([10], bytes(10)))), "ends within a value"),
        (vtu(BINARY.format(encoded([10**9, 1, 1])), root=ZLIB), "header is cut off"),
        (vtu(BINARY.format(encoded([1, 2**31, 0, 4], b"junk")), root=ZLIB), "damaged"),
        (
            vtu(BINARY.format(encoded([1, 99, 0, 11], zlib.compress(b"abc"))), root=ZLIB),
            "block 1 has 3 bytes instead of 99",
        ),
    ],
)
def test_bad_vtu_files_are_named(text_file, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.vtu", text))


def test_a_decompression_bomb_is_cut_at_what_it_announces(text_file):
    bomb = zlib.compress(bytes(50_000_000))
    path = text_file("a.vtu", vtu(BINARY.format(encoded([1, 12, 0, len(bomb)], bomb)), root=ZLIB))
    assert open_file(path)[0].vertex_properties.get_property("a").tolist() == [0, 0, 0]


def surface():
    sphere = vtk.vtkSphereSource()
    sphere.SetThetaResolution(9)
    sphere.Update()
    return sphere.GetOutput()


def test_surfaces_with_strips_read_from_vtp(tmp_path):
    strips = vtk.vtkStripper()
    strips.SetInputData(surface())
    strips.Update()
    path = write(vtk.vtkXMLPolyDataWriter(), strips.GetOutput(), tmp_path / "a.vtp")
    entity = open_file(path)[0]
    assert area(entity) == pytest.approx(vtk_area(surface()), rel=1e-5)
    assert signed_volume(entity) > 0


def vtk_area(data):
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(data)
    mass = vtk.vtkMassProperties()
    mass.SetInputConnection(triangles.GetOutputPort())
    mass.Update()
    return mass.GetSurfaceArea()


@pytest.mark.parametrize("version", [42, 51])
@pytest.mark.parametrize("binary", [True, False])
def test_legacy_surfaces_read_in_all_four_ways(tmp_path, version, binary):
    writer = vtk.vtkPolyDataWriter()
    writer.SetInputData(surface())
    writer.SetFileName(str(tmp_path / "a.vtk"))
    writer.SetFileVersion(version)
    (writer.SetFileTypeToBinary if binary else writer.SetFileTypeToASCII)()
    writer.Write()
    entity = open_file(tmp_path / "a.vtk")[0]
    expected = vtk_to_numpy(surface().GetPoints().GetData())
    np.testing.assert_allclose(entity.vertices, expected, atol=1e-5)
    assert area(entity) == pytest.approx(vtk_area(surface()), rel=1e-4)
    normals = vtk_to_numpy(surface().GetPointData().GetNormals())
    np.testing.assert_allclose(entity.normals, normals, atol=1e-4)


@pytest.mark.parametrize("version", [42, 51])
@pytest.mark.parametrize("binary", [True, False])
def test_legacy_grids_keep_point_data_and_pass_over_cell_data(tmp_path, version, binary):
    data = grid([SOLIDS["hexahedron"], (5, [0, 1, 2])])
    volume = vtk.vtkFloatArray()
    volume.SetName("volume")
    volume.InsertNextValue(2)
    volume.InsertNextValue(0)
    data.GetCellData().SetScalars(volume)
    data.GetPointData().SetActiveScalars("height")
    writer = vtk.vtkUnstructuredGridWriter()
    writer.SetInputData(data)
    writer.SetFileName(str(tmp_path / "a.vtk"))
    writer.SetFileVersion(version)
    (writer.SetFileTypeToBinary if binary else writer.SetFileTypeToASCII)()
    writer.Write()
    entity = open_file(tmp_path / "a.vtk")[0]
    np.testing.assert_array_equal(entity.vertices, POINTS)
    assert len(entity.faces) == 13
    box = entity.vertex_properties
    assert set(box.properties) == {"height", "shift"}
    assert box.get_property("height").tolist() == [index / 2 for index in range(8)]
    assert box.get_property("shift")[2].tolist() == [2, -2]


LEGACY = "# vtk DataFile Version 3.0\ntitle\nASCII\nDATASET POLYDATA\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "does not begin"),
        ("# vtk DataFile Version 3.0\n\nODD\n", "neither ASCII nor BINARY"),
        (LEGACY.replace("POLYDATA", "STRUCTURED_POINTS"), "one of POLYDATA"),
        (LEGACY, "no POINTS"),
        (LEGACY + "POINTS 0 float\n", "no vertices"),
        (LEGACY + "POINTS 1 float\n1 2\n", "3 numbers announced, 2 are there"),
        (LEGACY + "POINTS 99999999 float\n1 2\n", "truncated"),
        (LEGACY + "POINTS 1 odd\n1 2 3\n", "type 'odd'"),
        (LEGACY + "POINTS x float\n", "a count is expected"),
        (LEGACY + "POINTS 1\n", "a type is expected"),
        (LEGACY + "POINTS 1 float\n1 2 x\n", "could not convert"),
        (LEGACY + "POINTS 1 float\n1 2 3\nPOLYGONS 1 4\n3 0 0 5\n", "refers to vertices"),
        (LEGACY + "POINTS 1 float\n1 2 3\nPOLYGONS 1 4\n9 0 0 0\n", "a cell of 9 points"),
        (LEGACY + "POINTS 1 float\n1 2 3\nPOLYGONS 2 4\n3 0 0 0\n", "2 cells announced, 1"),
        (LEGACY + "POINTS 1 float\n1 2 3\nPOINT_DATA 2\nNORMALS n float\n1 0 0 1 0 0\n", "2 rows"),
        (LEGACY + "POINTS 1 float\n1 2 3\nPOINT_DATA 1\nSCALARS a int\n5\n", "LOOKUP_TABLE"),
        (LEGACY + "POINTS 1 float\n1 2 3\nCELLS 1 2\n1 0\n", "without CELL_TYPES"),
    ],
)
def test_bad_legacy_files_are_named(text_file, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.vtk", text))


CELL_FILES = {
    # points, cells, open edges, area, bounds: SOURCE.txt
    "cell_10_T_10.AVV_rh10": (727, 1450, 0, 12230.2, [157.9, 233.2, 49.1, 123.5, 42.5, 96.6]),
    "cell_14_T_22.AVV_rh3": (748, 1492, 0, 192.5, [35.8, 45.8, 7.9, 16.0, 7.2, 14.8]),
    "cell_22_T_22.AVV_rh3": (679, 1356, 2, 176.9, [14.2, 22.6, 11.2, 21.3, 0.1, 5.5]),
}


@pytest.mark.parametrize("name", CELL_FILES)
def test_real_cell_surfaces_have_what_their_source_states(shared_data, name):
    path = shared_data(f"meshes_cells/{name}.vtp")
    n_points, n_cells, n_open, surface_area, bounds = CELL_FILES[name]
    entity = open_file(path)[0]
    assert (len(entity.vertices), len(entity.faces)) == (n_points, n_cells)
    edges = np.sort(entity.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    counts = np.unique(edges, axis=0, return_counts=True)[1]
    # pyvista, which SOURCE.txt cites, counts every edge that has not two triangles.
    assert np.count_nonzero(counts != 2) == n_open
    assert area(entity) == pytest.approx(surface_area, abs=0.06)
    found = np.stack([entity.vertices.min(axis=0), entity.vertices.max(axis=0)], axis=1).ravel()
    np.testing.assert_allclose(found, bounds, atol=0.051)
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    expected = vtk_to_numpy(reader.GetOutput().GetPoints().GetData())
    np.testing.assert_array_equal(entity.vertices, expected)


def test_the_real_legacy_surface_has_what_its_source_states(shared_data):
    path = shared_data("volume_nrrd_nifti_mesh/avf.vtk")
    entity = open_file(path)[0]
    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    data = reader.GetOutput()
    assert (len(entity.vertices), data.GetNumberOfCells()) == (4754, 1900)
    np.testing.assert_allclose(
        np.stack([entity.vertices.min(axis=0), entity.vertices.max(axis=0)], axis=1).ravel(),
        [-16.0, 26.8, -33.8, 33.5, -10.1, 8.0],
        atol=0.051,
    )
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(data)
    triangles.Update()
    assert len(entity.faces) == triangles.GetOutput().GetNumberOfCells()
    assert area(entity) == pytest.approx(vtk_area(data), rel=1e-5)
    assert signed_volume(entity) == pytest.approx(signed_volume_of(triangles.GetOutput()), rel=1e-5)


def signed_volume_of(data):
    points = vtk_to_numpy(data.GetPoints().GetData()).astype(float)
    faces = vtk_to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    a, b, c = (points[faces[:, i]] for i in range(3))
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6
