import numpy as np
import pytest

from mosaicflow.formats import FormatError, open_file, read_tsv

TSV = "z\tx\ty\teuler_x\teuler_y\teuler_z\tscore\tdetail\n"


def test_tsv_columns_are_found_by_name(text_file):
    path = text_file("a.tsv", TSV + "3\t1\t2\t10\t20\t30\t0.5\t7\n6\t4\t5\t0\t0\t0\t0.1\t2\n")
    container = open_file(path)
    assert len(container) == 2
    np.testing.assert_array_equal(container[1].vertices, [[1, 2, 3]])
    np.testing.assert_allclose(container[1].normals[0], [-0.2962, 0.17101, 0.93969], atol=1e-5)
    assert abs(container[1].quaternions[0, 0]) == pytest.approx(0.92542, abs=1e-5)
    box = container[1].vertex_properties
    assert box.properties == ["pytme_score", "entity"]
    assert box.get_property("pytme_score").tolist() == [0.5]
    assert box.get_property("entity").tolist() == [7]


def test_a_tsv_header_alone_is_one_empty_entity(text_file):
    container = open_file(text_file("a.tsv", TSV))
    assert len(container) == 1
    assert container[0].vertices.shape == (0, 3)


def test_a_tsv_without_euler_columns_is_a_text_table(text_file):
    path = text_file("a.tsv", "x\ty\tz\tweight\n1\t2\t3\t4\n")
    entity = read_tsv(path)[0]
    assert entity.quaternions is None
    assert entity.vertex_properties.get_property("weight").tolist() == [4]


def test_a_tsv_with_a_word_for_an_angle_is_refused(text_file):
    path = text_file("a.tsv", TSV + "3\t1\t2\ta\t20\t30\t0.5\t7\n")
    with pytest.raises(FormatError, match="line 2: euler_x is 'a'"):
        open_file(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y,z\n1,2,3\n4,5,6\n"),
        ("a.xyz", "x, y ,z\n1, 2, 3\n4,5,6\n"),
        ("a.csv", " X ,Y,Z\n1,2,3\n4,5,6\n"),
        ("a.csv", "1,2,3\n4,5,6\n"),
        ("a.txt", "1\t2\t3\n4\t5\t6\n"),
        ("a.tsv", "1\t2\t3\n4\t5\t6\n"),
        ("a.txt", "1 2   3\n4 5 6\n"),
        ("a.xyz", "1 2 3\n4 5 6\n"),
        ("a.csv", "# made by hand\nx,y,z\n# first\n1,2,3\n\n4,5,6\n"),
        ("a.csv", "z,y,x\n3,2,1\n6,5,4\n"),
        ("a.csv", '"x","y","z"\r\n"1",2,3\r\n4,5,6\r\n'),
        ("a.txt", "1 2 3 99\n4 5 6 99\n"),
    ],
)
def test_points_are_read_whatever_the_dress(text_file, name, text):
    container = open_file(text_file(name, text))
    assert len(container) == 1
    np.testing.assert_array_equal(container[0].vertices, [[1, 2, 3], [4, 5, 6]])
    assert container.sampling == (1, 1, 1)


def test_ids_are_ordered_as_numbers_when_they_are_numbers(text_file):
    path = text_file("a.csv", "x,y,z,id\n1,0,0,10\n2,0,0,9\n3,0,0,10\n")
    container = open_file(path)
    assert [entity.vertices[:, 0].tolist() for entity in container] == [[2], [1, 3]]


def test_ids_may_be_words(text_file):
    path = text_file("a.csv", "x,y,z,id\n1,0,0,b\n2,0,0,a\n")
    assert [entity.vertices[0, 0] for entity in open_file(path)] == [2, 1]


def test_normals_and_further_named_columns_are_kept(text_file):
    path = text_file("a.csv", "x,y,z,nx,ny,nz,Weight,name\n1,2,3,0,0,2,0.5,a\n4,5,6,0,3,0,1,b\n")
    entity = open_file(path)[0]
    np.testing.assert_array_equal(entity.normals, [[0, 0, 1], [0, 1, 0]])
    assert entity.vertex_properties.properties == ["Weight", "name"]
    assert entity.vertex_properties.get_property("name").tolist() == ["a", "b"]


def test_a_part_of_a_normal_is_only_a_property(text_file):
    entity = open_file(text_file("a.csv", "x,y,z,nx\n1,2,3,5\n"))[0]
    assert entity.normals is None
    assert entity.vertex_properties.get_property("nx").tolist() == [5]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "# only a comment\n\n", "no rows"),
        ("a.csv", "x,y,z\n", "line 1: a header without rows"),
        ("a.txt", "# c\n\nx y z\n# c\n", "line 3: a header without rows"),
        ("a.csv", "x,y\n1,2\n", "line 1: column z missing"),
        ("a.csv", "1,2\n3,4\n", "column z missing"),
        ("a.csv", "x,y,z\n1,2,3\n1,2\n", "line 3: 2 values, but there are 3 columns"),
        ("a.csv", "x,y,z\n1,2,3\n\n1,2,3,4\n", "line 4: 4 values"),
        ("a.csv", "x,y,z\n1,2,3\n# c\n1,word,3\n", "line 4: y is 'word'"),
        ("a.csv", "x,y,z\n1,2,nan\n", "line 2: z is nan"),
        ("a.csv", "x,y,z\n1,2,\n", "line 2: z is ''"),
        ("a.csv", "x,y,z,x\n1,2,3,4\n", "'x' is there twice"),
        ("a.csv", 'x,y,z\n1,2,"3\n1,2,3\n', "line 2"),
        ("a.txt", "a b c\n1 2 3\n", "line 1: x is 'a'"),
    ],
)
def test_bad_tables_are_named_with_the_line(text_file, name, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file(name, text))
