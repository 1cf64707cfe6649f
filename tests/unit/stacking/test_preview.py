"""Pictures of a volume."""

import numpy as np

from mosaicflow.stacking.preview import orthogonal_montage


def test_three_planes_lie_side_by_side_true_to_scale():
    planes = [np.ones(shape, np.float32) for shape in ((40, 60), (10, 60), (10, 40))]
    picture = orthogonal_montage(*planes, z_over_lateral=2.0)
    assert picture.dtype == np.uint8
    assert picture.shape == (20 + 8 + 20, 60 + 8 + 60)


def test_a_large_volume_is_thinned_out():
    planes = [np.ones((500, 700), np.float32)] * 3
    assert max(orthogonal_montage(*planes, longest_px=300).shape) <= 300


def test_an_empty_volume_is_black():
    planes = [np.zeros((4, 4), np.float32)] * 3
    assert not orthogonal_montage(*planes).any()


def test_a_volume_of_one_plane_is_shown_without_its_sides():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert orthogonal_montage(plane, plane[:1], plane[:1, :3]).shape == (3, 4)
