import numpy as np
import pytest

from mosaicflow.optics.illumination_choice import choose_flat_field


def rms(found, truth):
    return float(np.sqrt(np.mean((found / truth - 1) ** 2)))


@pytest.mark.parametrize(
    ("n", "strength", "limit"),
    [(6, 0.15, 0.007), (4, 0.15, 0.007), (3, 0.15, 0.02), (4, 0.35, 0.01)],
)
def test_tiles_and_overlaps_give_a_field_close_to_the_truth(shaded, n, strength, limit):
    data = shaded(n=n, strength=strength)
    choice = choose_flat_field(data.samples, data.pairs)
    assert choice.accepted
    assert rms(choice.field, data.field) <= limit
    assert choice.residual_after < 0.95 * choice.residual_before


@pytest.mark.parametrize("n", [2, 4, 6])
def test_without_shading_the_tiles_stay_as_they_are(shaded, n):
    data = shaded(n=n, strength=0.0, noise=0.1)
    # The lens of strength 0 still tilts by 5 %: take that out.
    pairs = [type(p)(p.first / data.field, p.second / data.field, p.offset_px) for p in data.pairs]
    choice = choose_flat_field(data.samples / data.field, pairs)
    assert not choice.accepted
    assert (choice.field == 1).all()
    assert choice.residual_after == choice.residual_before


def test_without_overlaps_nothing_can_be_judged(shaded):
    data = shaded(n=4)
    choice = choose_flat_field(data.samples, [])
    assert choice.method == "none"
    assert np.isnan(choice.residual_before)
    assert (choice.field == 1).all()


def test_a_shading_that_is_tissue_is_not_believed(shaded):
    """All tiles show the same structure, but their overlaps do not see it move with the lens."""
    data = shaded(n=4, noise=0.02)
    flat = [type(p)(p.first / data.field, p.second / data.field, p.offset_px) for p in data.pairs]
    choice = choose_flat_field(data.samples, flat)
    assert rms(choice.field, np.ones_like(choice.field)) < 0.02


def test_the_same_data_gives_the_same_field(shaded):
    data = shaded(n=3)
    first, second = (choose_flat_field(data.samples, data.pairs) for _ in range(2))
    np.testing.assert_array_equal(first.field, second.field)
    assert first.error == second.error
