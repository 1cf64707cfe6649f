import numpy as np
import pytest

from mosaicflow.formats import FormatError, open_file, write_topology_file

TSI = """version 1.1
box 50 60 70

vertex 4
0 1 2 3
1 4 5 6
3 10 11 12
2 7 8 9
triangle 2
0 0 1 2
1 1 3 2
inclusion 1
0 5 2 0 1
exclusion 1
0 3 0.5
"""
Q = "50 60 70\n4\n0 1 2 3 0\n1 4 5 6 0\n2 7 8 9 1\n3 10 11 12 0\n2\n0 0 1 2 1\n1 1 3 2 1\n"
POINTS = np.arange(1, 13).reshape(4, 3)
FACES = [[0, 1, 2], [1, 3, 2]]


def test_tsi_sections_are_read_by_id(text_file):
    entity = open_file(text_file("a.tsi", TSI))[0]
    np.testing.assert_array_equal(entity.vertices, POINTS)
    assert entity.faces.tolist() == FACES
    inclusion = entity.vertex_properties.get_property("inclusion")
    assert inclusion.tolist() == [0, 0, 5, 0]


def test_q_is_the_same_without_keywords(text_file):
    entity = open_file(text_file("a.q", Q))[0]
    np.testing.assert_array_equal(entity.vertices, POINTS)
    assert entity.faces.tolist() == FACES
    assert entity.vertex_properties.properties == []


def test_without_an_inclusion_section_there_is_no_such_property(text_file):
    text = TSI.partition("inclusion")[0].removeprefix("version 1.1\n")
    assert open_file(text_file("a.tsi", text))[0].vertex_properties.properties == []


@pytest.mark.parametrize("tsi_format", [True, False])
@pytest.mark.parametrize("with_ids", [True, False])
def test_a_written_topology_reads_back(tmp_path, tsi_format, with_ids):
    ids = np.arange(4)[:, None]
    vertices = np.hstack([ids, POINTS + 0.25, ids * 0]) if with_ids else POINTS + 0.25
    faces = np.hstack([ids[:2], FACES]) if with_ids else FACES
    data = {"box": [50, 60, 70], "vertices": vertices, "faces": faces}
    if tsi_format:
        data["inclusions"] = [[0, 5, 2]]
    data = {name: np.array(values) for name, values in data.items()}
    for values in data.values():
        values.flags.writeable = False
    before = dict(data)
    path = tmp_path / ("a.tsi" if tsi_format else "a.q")
    write_topology_file(path, data, tsi_format=tsi_format)
    assert list(data) == list(before)
    assert all(data[name] is values for name, values in before.items())
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.vertices, POINTS + 0.25)
    assert entity.faces.tolist() == FACES
    lines = path.read_text().splitlines()
    if tsi_format:
        assert lines[:3] == ["version 1.1", "box 50 60 70", "vertex 4"]
        assert lines[3] == "0 1.25 2.25 3.25"
        assert entity.vertex_properties.get_property("inclusion").tolist() == [0, 0, 5, 0]
    else:
        assert lines[:3] == ["50.0 60.0 70.0", "4", "0 1.25 2.25 3.25 0"]
        assert lines[7] == "0 0 1 2 0"


def test_a_topology_of_other_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="box has 2"):
        write_topology_file(tmp_path / "a.q", {"box": [1, 2], "vertices": [], "faces": []})
    with pytest.raises(ValueError, match="vertices have shape"):
        write_topology_file(tmp_path / "a.q", {"box": [1, 2, 3], "vertices": [[1]], "faces": []})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsi", "", "empty"),
        ("a.tsi", "1 2 3\n", "a section is expected"),
        ("a.tsi", "vertex 1\n0 1 2 3\n", "no section 'triangle'"),
        ("a.tsi", "vertex\n", "no count"),
        ("a.tsi", "vertex 999999999\n0 1 2 3\n", "truncated: 999999999 vertex announced, 1 rows"),
        ("a.tsi", "vertex 1\n0 1 2\ntriangle 0\n", "line 2: vertex"),
        ("a.tsi", "vertex 1\n0 1 2 x\ntriangle 0\n", "line 2: vertex"),
        ("a.tsi", "vertex 1\n0 1 2 nan\ntriangle 0\n", "line 2: vertex"),
        ("a.tsi", "vertex 1\n1 1 2 3\ntriangle 0\n", "ids are not 0 to 0"),
        ("a.tsi", "vertex 1\n0 1 2 3\nvertex 1\n0 1 2 3\n", "twice"),
        ("a.tsi", "vertex 1\n0 1 2 3\ntriangle 1\n0 0 0 1\n", "refers to vertices"),
        ("a.tsi", "vertex 1\n0 1 2 3\ntriangle 1\n0 0 0 0.5\n", "no whole number"),
        ("a.tsi", TSI.replace("0 5 2 0 1", "0 5 4 0 1"), "none of the 4 vertices"),
        ("a.tsi", "vertex 0\ntriangle 0\n", "no vertices"),
        ("a.q", "1 2 3\n", "count of the vertex rows"),
        ("a.q", "1 2 3\n1\n0 1 2 3 0\n", "count of the triangle rows"),
        ("a.q", "1 2 3\n1 1\n0 1 2 3 0\n", "no count of vertex"),
    ],
)
def test_bad_topologies_are_named(text_file, name, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file(name, text))
