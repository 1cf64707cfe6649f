"""Sub-plane settling of the block face."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicflow.slices.face import settle_face
from mosaicflow.slices.surface import Surface


@pytest.mark.parametrize("fraction", [-0.5, -0.2, 0.0, 0.3, 0.5])
def test_a_ramp_is_read_at_its_true_depth(fraction):
    ramp = np.broadcast_to(np.arange(10, 30, dtype=np.float32)[:, None, None], (20, 3, 4))
    settled = settle_face(ramp.copy(), np.full((3, 4), fraction, np.float32))
    np.testing.assert_allclose(settled[1:-1], ramp[1:-1] + fraction, rtol=1e-6)


def test_voxels_beside_missing_data_keep_their_value():
    data = np.ones((6, 2, 2), np.float32)
    data[3:] = 0
    settled = settle_face(data.copy(), np.full((2, 2), 0.4, np.float32))
    np.testing.assert_array_equal(settled, data)


def test_a_surface_comes_back_from_its_record():
    coefficients = np.array([[7.5, 0.25], [-1.0, 0.0]])
    surface = Surface(coefficients, (100, 80), 0.1, "plane")
    again = Surface.from_record(surface.record(), (100, 80))
    whole = slice(0, 100), slice(0, 80)
    np.testing.assert_array_equal(again.depth(*whole), surface.depth(*whole))
    assert Surface.from_record(None, (100, 80)) is None
