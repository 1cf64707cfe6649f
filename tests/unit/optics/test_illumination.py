import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.optics.illumination import (
    OverlapEvidence,
    OverlapPair,
    resize_field,
)


def test_the_true_field_leaves_only_noise(shaded):
    data = shaded(noise=0.01)
    for pair in data.pairs[:4]:
        left = OverlapEvidence.of(pair, most=200).left(np.log(data.field))
        assert np.abs(left).mean() < 0.012


def test_the_tissue_of_an_overlap_cancels():
    rng = np.random.default_rng(0)
    tissue = rng.uniform(1, 100, (1, 20, 30)).astype(np.float32)
    pair = OverlapPair(tissue[:, :, :20], tissue[:, :, 10:], (0.0, 10.0))
    evidence = OverlapEvidence.of(pair, most=1000)
    assert evidence.log_ratio.size == 200
    np.testing.assert_allclose(evidence.log_ratio, 0, atol=1e-6)


def test_places_are_means_over_blocks_that_hold_all_pixels():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(1, 2, (2, 3, 20, 20)).astype(np.float32)
    pair = OverlapPair(first, second, (0.0, 8.0))
    fine, coarse = (OverlapEvidence.of(pair, most=n) for n in (1000, 16))
    assert coarse.log_ratio.size <= 16
    assert fine.log_ratio.size == 240
    found = np.log(first[:, :, 8:] / second[:, :, :12]).mean()
    assert fine.log_ratio.mean() == pytest.approx(found, abs=1e-5)


def test_bands_can_be_weighted():
    ratios = np.array([1.0, 2.0, 4.0])
    first = np.ones((3, 10, 10), np.float32) * ratios[:, None, None].astype(np.float32)
    pair = OverlapPair(first, np.ones_like(first), (0.0, 4.0))
    slope = OverlapEvidence.of(pair, most=50, weights=[-0.5, 0.0, 0.5])
    np.testing.assert_allclose(slope.log_ratio, np.log(4) / 2, rtol=1e-6)


def test_places_without_data_are_not_compared():
    first = np.ones((1, 20, 20), np.float32)
    first[:, :5] = 0
    pair = OverlapPair(first, np.ones_like(first), (0.0, 4.0))
    assert OverlapEvidence.of(pair, most=1000).first[0].min() >= 5


@given(height=st.integers(8, 90), width=st.integers(8, 90))
def test_a_resized_field_keeps_its_mean_and_its_shape(height, width):
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40), indexing="ij")
    field = (1 + 0.2 * y - 0.1 * x).astype(np.float32)
    found = resize_field(field, (height, width))
    assert found.shape == (height, width)
    assert found.mean() == pytest.approx(1, abs=1e-4)
    assert found[0, 0] == pytest.approx(0.9, abs=0.06)
    assert found[-1, 0] == pytest.approx(1.3, abs=0.06)


def test_a_field_of_the_right_shape_is_left_alone(shaded):
    field = shaded(n=2).field
    assert resize_field(field, field.shape) is field
