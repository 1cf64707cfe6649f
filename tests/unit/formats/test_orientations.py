import numpy as np
import pytest
import starfile

from mosaicflow.formats import FormatError, OrientationsWriter, open_file

POINTS = np.array([[1.5, 2, 3], [4, 5, 6], [7, 8, 9]])
QUATERNIONS = np.array([[0.92542, -0.03015, -0.17101, -0.33682], [2, 0, 0, 0], [0, 0, 1, 0]])
ENTITIES = np.array([3, 1, 3])


@pytest.fixture
def writer():
    return OrientationsWriter(POINTS, QUATERNIONS, ENTITIES)


def check(container):
    assert len(container) == 2
    np.testing.assert_array_equal(container[0].vertices, POINTS[[1]])
    np.testing.assert_array_equal(container[1].vertices, POINTS[[0, 2]])
    unit = QUATERNIONS / np.linalg.norm(QUATERNIONS, axis=1, keepdims=True)
    overlap = np.abs(np.sum(container[1].quaternions * unit[[0, 2]], axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-6)
    assert container[1].vertex_properties.get_property("entity").tolist() == [3, 3]


def test_attributes_are_relion_angles_and_what_was_given(writer):
    np.testing.assert_array_equal(writer.points, POINTS)
    np.testing.assert_array_equal(writer.entities, ENTITIES)
    np.testing.assert_allclose(writer.rotations[0], [10, 20, 30], atol=2e-3)
    np.testing.assert_allclose(writer.rotations[1], [0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("name", ["a.star", "a.tsv", "a.star.gz", "a.tsv.gz"])
def test_a_written_file_reads_back(tmp_path, writer, name):
    writer.to_file(tmp_path / name)
    check(open_file(tmp_path / name))


def test_the_star_file_is_what_relion_and_starfile_expect(tmp_path, writer):
    path = tmp_path / "a.star"
    writer.to_file(path)
    table = starfile.read(path)
    assert list(table.columns) == [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnCoordinateZ",
        "rlnAngleRot",
        "rlnAngleTilt",
        "rlnAnglePsi",
        "rlnClassNumber",
    ]
    np.testing.assert_array_equal(table.iloc[:, :3], POINTS)
    np.testing.assert_allclose(table.iloc[0, 3:6].astype(float), [10, 20, 30], atol=2e-3)
    assert table["rlnClassNumber"].tolist() == [3, 1, 3]
    text = path.read_text()
    assert "data_particles\n\nloop_\n" in text
    assert text.rstrip().split("\n")[-1].count("\t") == 6


def test_version_5_centres_the_names_and_not_the_values(tmp_path, writer):
    path = tmp_path / "a.star"
    writer.to_file(path, version="# version 50001", source_path="my tomo.mrc")
    assert "# version 50001\n" in path.read_text()
    table = starfile.read(path)
    np.testing.assert_array_equal(table["rlnCenteredCoordinateXAngst"], POINTS[:, 0])
    assert table["rlnTomoName"].tolist() == ["my tomo.mrc"] * 3


def test_the_source_is_a_micrograph_before_relion_knew_tomograms(tmp_path, writer):
    writer.to_file(tmp_path / "a.star", source_path="a.mrc")
    assert starfile.read(tmp_path / "a.star")["rlnMicrographName"].tolist() == ["a.mrc"] * 3


def test_the_tsv_has_its_header_score_and_detail(tmp_path, writer):
    writer.to_file(tmp_path / "a.tsv")
    lines = (tmp_path / "a.tsv").read_text().splitlines()
    assert lines[0] == "x\ty\tz\teuler_x\teuler_y\teuler_z\tscore\tdetail"
    assert lines[2].split("\t")[-2:] == ["0", "1"]


@pytest.mark.parametrize("name", ["a.star", "a.tsv"])
def test_no_points_write_the_header_alone(tmp_path, name):
    path = tmp_path / name
    OrientationsWriter(np.empty((0, 3)), np.empty((0, 4)), []).to_file(path)
    container = open_file(path)
    assert len(container) == 1
    assert len(container[0].vertices) == 0


def test_an_explicit_format_works_with_any_name(tmp_path, writer):
    writer.to_file(tmp_path / "a.dat", file_format="star")
    assert len(starfile.read(tmp_path / "a.dat")) == 3
    writer.to_file(tmp_path / "b.star", file_format="tsv")
    with pytest.raises(FormatError):
        open_file(tmp_path / "b.star")
    for arguments in [(tmp_path / "c.dat",), (tmp_path / "c.star", "csv")]:
        with pytest.raises(ValueError, match="Unsupported format"):
            writer.to_file(*arguments)


def test_inputs_are_checked_at_once_and_never_modified():
    with pytest.raises(ValueError, match="3 points, 2 quaternions and 3 entities"):
        OrientationsWriter(POINTS, QUATERNIONS[:2], ENTITIES)
    with pytest.raises(ValueError, match="points have shape"):
        OrientationsWriter(POINTS[:, :2], QUATERNIONS, ENTITIES)
    with pytest.raises(ValueError, match="zero"):
        OrientationsWriter(POINTS, QUATERNIONS * 0, ENTITIES)
    with pytest.raises(ValueError, match="a point is not finite"):
        OrientationsWriter(POINTS * np.nan, QUATERNIONS, ENTITIES)
    points, quaternions, entities = POINTS.copy(), QUATERNIONS.copy(), ENTITIES.copy()
    writer = OrientationsWriter(points, quaternions, entities)
    np.testing.assert_array_equal(quaternions, QUATERNIONS)
    points[:] = 0
    np.testing.assert_array_equal(writer.points, POINTS)


def test_float32_points_come_back_bit_for_bit(tmp_path):
    points = np.random.default_rng(4).normal(0, 1e3, (500, 3)).astype(np.float32)
    quaternions = np.random.default_rng(5).normal(size=(500, 4))
    for name in ("a.star", "a.tsv"):
        OrientationsWriter(points, quaternions, np.zeros(500)).to_file(tmp_path / name)
        np.testing.assert_array_equal(open_file(tmp_path / name)[0].vertices, points)
