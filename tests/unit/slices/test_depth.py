import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.slices.depth import band_edges, band_means, interface_plane


@pytest.mark.parametrize("plane", [10, 20, 33])
def test_the_face_is_where_the_profile_rises_most(plane):
    z = np.arange(60)
    profile = np.where(z < plane, 1.0, 8.0 * np.exp(-(z - plane) / 30))
    assert interface_plane(profile) == pytest.approx(plane, abs=1)


def test_too_few_planes_show_no_face():
    assert interface_plane(np.arange(7.0)) == 0


@given(n_planes=st.integers(1, 300), first=st.integers(0, 400), most=st.integers(1, 8))
def test_bands_cover_every_plane_below_the_face_once(n_planes, first, most):
    bands = band_edges(n_planes, first, most=most)
    assert 1 <= len(bands) <= most
    assert bands[0][0] == min(first, n_planes - 1)
    assert bands[-1][1] == n_planes
    assert all(stop > start for start, stop in bands)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bands))


def test_bands_are_plain_means():
    tile = np.arange(24, dtype=np.float32).reshape(6, 2, 2)
    found = band_means(tile, [(0, 2), (2, 6)])
    np.testing.assert_array_equal(found, [tile[:2].mean(axis=0), tile[2:].mean(axis=0)])


def test_a_brighter_layer_below_the_face_is_not_the_face():
    profile = np.concatenate([np.full(20, 1.0), np.full(40, 10.0), np.full(40, 22.0)])
    assert interface_plane(profile) in (19, 20)


def test_neither_a_faint_edge_of_the_gel_nor_the_end_of_the_tissue_is_the_face():
    profile = np.concatenate([np.full(20, 1.0), np.full(20, 3.0), np.full(40, 12.0), np.zeros(20)])
    assert interface_plane(profile) in (39, 40)
    assert interface_plane(profile[::-1][:20]) == 0
