import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mosaicflow.formats import FormatError, open_file

POINT = '{"location": {"x": 1, "y": 2, "z": 3}}'


def line(x, **more):
    return json.dumps({"type": "point", "location": {"x": x, "y": 2, "z": 3}, **more})


def test_plain_points_are_one_entity(text_file):
    container = open_file(text_file("a.ndjson", f"{line(1)}\n\n{line(4)}\n"))
    assert len(container) == 1
    np.testing.assert_array_equal(container[0].vertices, [[1, 2, 3], [4, 2, 3]])
    assert container[0].quaternions is None


def test_instances_are_entities_in_ascending_order(text_file):
    rows = [line(1, instance_id=10), line(2, instance_id=9), line(3, instance_id=10)]
    container = open_file(text_file("a.ndjson", "\n".join(rows)))
    assert [entity.vertices[:, 0].tolist() for entity in container] == [[2], [1, 3]]
    ids = container[1].vertex_properties.get_property("instance_id")
    assert ids.tolist() == [10, 10]
    assert ids.dtype == np.int32


def test_the_first_record_decides(text_file):
    rows = [line(1), line(2, instance_id=5)]
    container = open_file(text_file("a.ndjson", "\n".join(rows)))
    assert len(container) == 1
    assert container[0].vertex_properties.properties == []


def test_a_matrix_takes_the_reference_frame_to_the_tomogram(text_file):
    turn = Rotation.from_euler("xyz", [20, 40, 60], degrees=True)
    row = line(1, xyz_rotation_matrix=turn.as_matrix().tolist(), instance_id=4)
    entity = open_file(text_file("a.ndjson", row))[0]
    np.testing.assert_allclose(entity.normals[0], turn.apply([0, 0, 1]), atol=1e-6)
    expected = np.roll(turn.as_quat(), 1)
    assert abs(entity.quaternions[0] @ expected) == pytest.approx(1, abs=1e-6)


def test_an_empty_file_is_one_entity_without_points(text_file):
    for text in ("", "\n \n"):
        container = open_file(text_file("a.ndjson", text))
        assert len(container) == 1
        assert len(container[0].vertices) == 0


IDENTITY = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(1), "{"], "line 2: broken JSON"),
        ([line(1), "[1]"], "line 2: a JSON object"),
        ([line(1), "{}"], "line 2: no location"),
        ([line(1), '{"location": {"x": 1, "y": 2}}'], "line 2: location.z is None"),
        ([line(1), line("a")], "line 2: location.x is 'a'"),
        ([line(1), line(True)], "line 2: location.x is True"),
        ([line(1), line(float("nan"))], "line 2: location.x is nan"),
        ([line(1), line(1e300)], "line 2: location.x is 1e"),
        ([line(1), line(10**400)], "line 2: location.x is too large"),
        ([line(1, xyz_rotation_matrix=IDENTITY), line(2)], "line 2: this record is point"),
        ([line(1), line(2, xyz_rotation_matrix=IDENTITY)], "line 2: this record is oriented"),
        ([line(1, xyz_rotation_matrix=IDENTITY[:2])], "not 3 rows"),
        ([line(1, xyz_rotation_matrix=[[1, 0]] * 3)], "not 3 columns"),
        ([line(1, xyz_rotation_matrix=[[2, 0, 0], [0, 1, 0], [0, 0, 1]])], "no rotation"),
        ([line(1, xyz_rotation_matrix=[[-1, 0, 0], [0, 1, 0], [0, 0, 1]])], "no rotation"),
        ([line(1, instance_id=1), line(2)], "line 2: instance_id is None"),
        ([line(1, instance_id=2**31)], "an int32 is expected"),
        (["[" * 100_000], "broken JSON"),
    ],
)
def test_bad_records_are_named_with_the_line(text_file, rows, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.ndjson", "\n".join(rows)))
