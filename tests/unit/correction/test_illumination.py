import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.correction.illumination import (
    OverlapEvidence,
    OverlapPair,
    basic_flat_field,
    polynomial_flat_field,
    resize_field,
)


def rms(found, truth):
    return float(np.sqrt(np.mean((found / truth - 1) ** 2)))


def test_overlaps_alone_give_the_field_back_to_seven_thousandths(shaded):
    data = shaded()
    evidence = OverlapEvidence.of(data.pairs)
    ones = np.ones_like(data.field)
    found = evidence.fit(ones, order=4)
    assert found.mean() == pytest.approx(1, abs=1e-3)
    assert rms(found, data.field) <= 0.007
    assert evidence.residual(found) < 0.6 * evidence.residual(ones)


def test_the_true_field_leaves_only_noise(shaded):
    data = shaded(noise=0.01)
    evidence = OverlapEvidence.of(data.pairs)
    assert evidence.residual(data.field) < 0.02
    np.testing.assert_allclose(evidence.fit(data.field, order=4), data.field, atol=0.01)


def test_the_tissue_of_an_overlap_cancels():
    rng = np.random.default_rng(0)
    tissue = rng.uniform(1, 100, (1, 20, 30)).astype(np.float32)
    pair = OverlapPair(tissue[:, :, :20], tissue[:, :, 10:], (0.0, 10.0))
    evidence = OverlapEvidence.of([pair])
    np.testing.assert_allclose(evidence.log_ratio, 0, atol=1e-6)
    assert evidence.residual(np.ones((20, 20), np.float32)) < 1e-6


def test_places_without_data_are_not_compared():
    first = np.ones((1, 20, 20), np.float32)
    first[:, :5] = 0
    evidence = OverlapEvidence.of([OverlapPair(first, np.ones_like(first), (0.0, 4.0))])
    assert evidence.first[0].min() >= 5


def test_no_overlap_says_nothing():
    evidence = OverlapEvidence.of([])
    field = np.full((4, 4), 1, np.float32)
    assert np.isnan(evidence.residual(field))
    assert evidence.fit(field, order=2) is field


def test_the_common_shading_is_found_in_many_tiles(shaded):
    data = shaded(n=9, noise=0.02)
    found = rms(basic_flat_field(data.samples), data.field)
    assert found < 0.8 * rms(np.ones_like(data.field), data.field)


def test_shading_without_tissue_is_found_almost_exactly(shaded):
    data = shaded(n=6)
    levels = np.random.default_rng(0).uniform(0.5, 2, (40, 1, 1)).astype(np.float32)
    assert rms(basic_flat_field(levels * data.field), data.field) < 0.002


def test_few_tiles_are_described_by_a_second_order_surface(shaded):
    data = shaded(n=3, strength=0.35, noise=0.01)
    found = polynomial_flat_field(data.samples)
    assert found.mean() == pytest.approx(1, abs=1e-4)
    assert rms(found, data.field) < 0.6 * rms(np.ones_like(data.field), data.field)


@settings(max_examples=10)
@given(scale=st.floats(1e-3, 1e5))
def test_a_field_does_not_depend_on_the_unit_of_the_intensity(scale):
    rng = np.random.default_rng(0)
    samples = rng.uniform(0.5, 1, (6, 12, 12)).astype(np.float32)
    for estimate in (basic_flat_field, polynomial_flat_field):
        np.testing.assert_allclose(
            estimate(samples * np.float32(scale)), estimate(samples), atol=2e-3
        )


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
