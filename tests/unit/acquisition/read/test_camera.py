import numpy as np

from mosaicflow.acquisition.read.camera import find_marker, without_marker


def image(marker_at=None, factor=3.0):
    rng = np.random.default_rng(0)
    values = rng.uniform(80, 120, (6, 50)).astype(np.float32)
    if marker_at is not None:
        values[0, marker_at] = factor * 120
    return values


def test_a_lone_bright_line_in_the_first_scan_is_the_marker():
    assert find_marker(image(17)).aline == 17


def test_a_bright_vessel_is_not():
    assert find_marker(image(17, factor=1.3)) is None
    assert find_marker(image()) is None


def test_rolling_back_hides_the_marker():
    values = image(17)

    back = without_marker(values, find_marker(values))

    np.testing.assert_array_equal(back[:, 1:], np.roll(values, -17, axis=1)[:, 1:])
    assert back[0, 0] == back[0, 1]
    np.testing.assert_array_equal(back[1:, 0], values[1:, 17])
