import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.mosaic.sampling import Span, TileWarp, sample_tile
from mosaicflow.optics.focal import curvature_terms, focal_planes

SHAPE = (48, 40)


def bowl_um(depth_um, shape=SHAPE):
    y, x = (np.linspace(-1 + 1 / n, 1 - 1 / n, n) for n in shape)
    return np.asarray(depth_um * (y[:, None] ** 2 + x[None] ** 2) / 2, np.float32)


@given(depth_um=st.floats(0.5, 60), plane_um=st.floats(1, 10))
def test_whole_planes_and_the_rest_are_the_curvature(depth_um, plane_um):
    planes = focal_planes(curvature_terms(bowl_um(depth_um)), SHAPE, plane_um)
    true = (bowl_um(depth_um) - bowl_um(depth_um).min()) / plane_um
    assert planes.part.min() >= 0
    assert planes.part.max() < 1
    # A fiftieth of a plane is not worth an interpolation.
    np.testing.assert_allclose(planes.whole + planes.part, true, atol=0.021)


def test_a_curvature_is_the_same_at_every_pitch():
    fine = focal_planes(curvature_terms(bowl_um(30, (96, 80))), (96, 80), 1.0)
    coarse = focal_planes(curvature_terms(bowl_um(30, (96, 80))), SHAPE, 2.0)
    means = (fine.whole + fine.part).reshape(48, 2, 40, 2).mean(axis=(1, 3)) / 2
    means -= means.min()
    np.testing.assert_allclose(coarse.whole + coarse.part, means, atol=0.05)


@pytest.mark.parametrize("depth_um", [4.0, 12.0])
def test_a_flat_face_is_flat_again(depth_um):
    # Brightness says the depth below the face; the field shows it lower towards the corners.
    tile = 50 + np.arange(40, dtype=np.float32)[:, None, None] - bowl_um(depth_um)
    planes = focal_planes(curvature_terms(bowl_um(depth_um)), SHAPE, 1.0)
    lifted = planes.lifted(tile)
    assert len(lifted) == 40 - planes.deepest
    spans = (Span.of(0.0, 48, slice(0, 48)), Span.of(0.0, 40, slice(0, 40)))
    straight = sample_tile(lifted, spans, TileWarp(None, planes.part)).planes(0, len(lifted) - 1)
    left = straight - straight.mean(axis=(1, 2), keepdims=True)
    assert np.abs(left).max() < 0.03  # planes
    # Nothing is made up at the bottom.
    assert straight.max() <= tile.max()
