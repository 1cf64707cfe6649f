import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mosaicflow.formats.ground import rotations

angle = st.floats(-180, 180)
triples = st.tuples(angle, st.floats(0, 180), angle)


def turn(angles):
    """Rotation of a particle by definition: the transpose of Rz(rot) Ry(tilt) Rz(psi)."""
    return Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()


def test_the_worked_example_of_the_convention():
    quaternion = rotations.quaternions_from_euler([[10, 20, 30]])
    expected = np.array([0.92542, -0.03015, -0.17101, -0.33682])
    np.testing.assert_allclose(quaternion[0], expected, atol=1e-5)
    normal = rotations.normals_from_quaternions(quaternion)
    np.testing.assert_allclose(normal[0], [-0.29620, 0.17101, 0.93969], atol=1e-5)


@given(angles=triples)
def test_angles_are_relions_inverse_rotation(angles):
    matrix = rotations.matrices_from_quaternions(rotations.quaternions_from_euler([angles]))[0]
    np.testing.assert_allclose(matrix, turn(angles), atol=1e-9)


@given(angles=triples)
def test_normals_follow_the_closed_formula(angles):
    _, tilt, psi = np.radians(angles)
    expected = [-np.sin(tilt) * np.cos(psi), np.sin(tilt) * np.sin(psi), np.cos(tilt)]
    normal = rotations.normals_from_quaternions(rotations.quaternions_from_euler([angles]))[0]
    np.testing.assert_allclose(normal, expected, atol=1e-9)


@given(angles=st.one_of(triples, st.tuples(angle, st.sampled_from([0.0, 180.0]), angle)))
def test_writing_angles_inverts_reading_them_even_at_gimbal_lock(angles):
    quaternion = rotations.quaternions_from_euler([angles])
    again = rotations.euler_from_quaternions(quaternion)[0]
    assert 0 <= again[1] <= 180
    assert -180 <= again[0] <= 180
    np.testing.assert_allclose(turn(again), turn(angles), atol=1e-7)


@given(angles=triples)
def test_matrices_and_quaternions_agree(angles):
    quaternion = rotations.quaternions_from_matrices([turn(angles)])[0]
    expected = rotations.quaternions_from_euler([angles])[0]
    assert abs(quaternion @ expected) == pytest.approx(1, abs=1e-9)


@given(direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_a_normal_is_reached_by_the_shortest_rotation(direction):
    normal = np.array(direction) / np.linalg.norm(direction)
    quaternion = rotations.quaternions_from_normals([normal])
    np.testing.assert_allclose(rotations.normals_from_quaternions(quaternion)[0], normal, atol=1e-9)
    # The angle of the rotation is that between the two vectors.
    angle = 2 * np.arccos(np.clip(abs(quaternion[0, 0]), 0, 1))
    assert angle == pytest.approx(np.arccos(np.clip(normal[2], -1, 1)), abs=1e-6)


def test_the_opposite_normal_is_half_a_turn_about_y():
    quaternion = rotations.quaternions_from_normals([[0, 0, -1]])
    np.testing.assert_allclose(quaternion, [[0, 0, 1, 0]], atol=1e-15)


def test_a_quaternion_without_length_is_refused():
    with pytest.raises(ValueError, match="zero"):
        rotations.unit_quaternions([[0, 0, 0, 0]])
    with pytest.raises(ValueError, match="shape"):
        rotations.unit_quaternions([[1, 0, 0]])
