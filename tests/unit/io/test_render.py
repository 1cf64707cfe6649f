"""The picture of a volume: three planes on one page."""

import numpy as np
import pytest
from PIL import Image

from mosaicflow.io.zarr import save_omezarr
from mosaicflow.io.zarr.render import three_planes, write_screenshot


def ones(n_z, n_y, n_x):
    return tuple(np.ones(shape, np.float32) for shape in ((n_y, n_x), (n_z, n_x), (n_y, n_z)))


def test_three_planes_lie_side_by_side_true_to_scale():
    page, um_per_px = three_planes(ones(10, 40, 60), (2.0, 1.0, 1.0))
    assert page.dtype == np.uint8
    assert page.shape == (40 + 8 + 20, 60 + 8 + 20)
    assert um_per_px == 1.0


def test_a_large_volume_is_made_smaller():
    page, um_per_px = three_planes(ones(3, 5000, 7000), (1.0, 1.0, 1.0))
    assert max(page.shape) == 1000 + 8 + 1
    assert um_per_px == 7.0


def test_an_empty_volume_is_black():
    planes = tuple(np.zeros((4, 4), np.float32) for _ in range(3))
    page, _ = three_planes(planes, (1.0, 1.0, 1.0))
    assert not page[:4, :4].any()
    assert not page[12:, :4].any()


def test_a_volume_of_one_plane_is_shown_without_its_sides():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    page, _ = three_planes((plane, plane[:1], plane[:, :1]), (9.0, 1.0, 1.0))
    assert page.shape == (3, 4)


def test_the_picture_says_its_scale_and_shows_no_gap(tmp_path):
    values = np.ones((5, 30, 40), np.float32) * np.arange(5, 10)[:, None, None]
    values[2] = 0  # a slice is missing in the very middle
    save_omezarr(values, tmp_path / "a.ome.zarr", (0.03, 0.01, 0.01))
    write_screenshot(tmp_path / "a.ome.zarr", tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    shown = np.asarray(picture)
    longest = 0.4 * 1000  # um, drawn in as many px as the longest side has voxels
    assert float(picture.text["um_per_px"]) == pytest.approx(longest / 40)
    assert shown[:30, :40].all()
    assert not shown[30 + 8 + 7, :40].any()
    assert shown.shape == (30 + 8 + 15, 40 + 8 + 15)
