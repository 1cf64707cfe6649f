"""Drawing one plane from several slices."""

import numpy as np
import pytest

from mosaicflow.stacking.brightness import PlaneTone
from mosaicflow.stacking.compose import SampledSlice, compose_plane
from mosaicflow.stacking.plan import Layer
from mosaicflow.stacking.sampling import LateralMap, Sampler, Window

SHAPE = (4, 5)


def constant(value, *, covered=slice(None), gain=1.0, signal=1.0):
    image = np.zeros(SHAPE, np.float32)
    image[:, covered] = value
    window = Window((0, SHAPE[0]), (0, SHAPE[1]))
    lateral = LateralMap(np.eye(2), np.zeros(2), SHAPE)
    tone = PlaneTone(np.full(10, gain), np.full(10, signal))
    return SampledSlice(Sampler(lateral, window, window, image != 0), lambda _: image, tone)


def draw(parts, *layers):
    found = compose_plane([Layer(*layer) for layer in layers], lambda i: parts[i], 20)
    return found.reshape(SHAPE)


def test_a_full_slice_hides_what_is_above_it():
    np.testing.assert_array_equal(draw([constant(1), constant(2)], (1, 0, 1.0), (0, 9, 1.0)), 2)


def test_a_fading_slice_mixes():
    found = draw([constant(1), constant(2)], (1, 0, 0.25), (0, 9, 1.0))
    np.testing.assert_allclose(found, 1.25)


def test_where_the_lower_slice_has_no_data_the_upper_one_shows():
    found = draw([constant(1), constant(2, covered=slice(0, 3))], (1, 0, 1.0), (0, 9, 1.0))
    np.testing.assert_allclose(found[:, :3], 2)
    np.testing.assert_allclose(found[:, 3:], 1)


def test_where_only_a_fading_slice_has_data_it_counts_in_full():
    found = draw([constant(1, covered=slice(0, 2)), constant(2)], (1, 0, 0.25), (0, 9, 1.0))
    np.testing.assert_allclose(found[:, 2:], 2, rtol=1e-6)
    np.testing.assert_allclose(found[:, :2], 1.25)


def test_three_layers_share_by_what_is_left():
    parts = [constant(1), constant(2), constant(4)]
    found = draw(parts, (2, 0, 0.5), (1, 0, 0.5), (0, 0, 1.0))
    np.testing.assert_allclose(found, 0.5 * 4 + 0.25 * 2 + 0.25 * 1)


def test_gains_multiply():
    np.testing.assert_allclose(draw([constant(2, gain=1.5)], (0, 0, 1.0)), 3)


def test_a_slice_of_less_signal_counts_less_where_it_fades():
    parts = [constant(1), constant(2, signal=0.25)]
    np.testing.assert_allclose(draw(parts, (1, 0, 0.5), (0, 9, 1.0)), (2 * 0.25 + 1) / 1.25)
    # Where it hides the slice above there is nothing to weigh.
    np.testing.assert_allclose(draw(parts, (1, 0, 1.0), (0, 9, 1.0)), 2)


def test_signals_of_one_size_change_no_share():
    parts = [constant(1, signal=7.0), constant(2, signal=7.0)]
    np.testing.assert_allclose(draw(parts, (1, 0, 0.25), (0, 9, 1.0)), 1.25, rtol=1e-6)


@pytest.mark.parametrize("layers", [[], [(0, 0, 1.0)]])
def test_nothing_gives_zero(layers):
    assert not draw([None], *layers).any()
