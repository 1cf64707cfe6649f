import numpy as np
import pytest

from mosaicflow.optics.background import background_image, contrast_residual, signal_only
from mosaicflow.optics.illumination import OverlapPair
from mosaicflow.optics.illumination_choice import choose_flat_field
from mosaicflow.optics.shading import Shading


def disagreement(images, truth):
    """Part of the contrast of `truth` that images miss, whatever their scale and offset."""
    a, b = images.ravel() - images.mean(), truth.ravel() - truth.mean()
    return float(np.sqrt(1 - (a @ b) ** 2 / ((a @ a) * (b @ b))))


def test_an_offset_under_the_flat_field_is_found_and_both_are_recovered(on_dark_ground):
    data = on_dark_ground()
    choice = choose_flat_field(data.samples, data.pairs)
    assert abs(float(choice.offset.mean())) <= 1e-2 * float(background_image(data.samples).mean())
    assert choice.method.startswith("offset+")
    assert choice.residual_after < 0.5 * choice.offset_residuals["log ratio flat field"]
    relative = choice.field / data.field
    assert np.std(relative) <= 0.02
    corrected = Shading(choice.field, choice.offset).remove(data.samples.copy())
    assert (corrected > 0).all()
    multiplied = data.samples / data.field
    assert disagreement(corrected, data.scenes) <= 0.03
    assert disagreement(multiplied, data.scenes) >= 3 * disagreement(corrected, data.scenes)


def test_without_an_offset_none_is_used_even_on_a_plain_ground(on_dark_ground):
    """What the ground shows is the flat field again: an offset would explain nothing more."""
    data = on_dark_ground(offset=0.0, ground=0.3)
    choice = choose_flat_field(data.samples, data.pairs)
    assert background_image(data.samples) is not None
    assert set(choice.offset_residuals) == {
        f"{measure} {name}"
        for measure in ("log ratio", "contrast")
        for name in ("flat field", "with offset")
    }
    assert choice.accepted
    assert not choice.method.startswith("offset")
    assert not choice.offset.any()


def test_tiles_full_of_tissue_have_no_background(shaded):
    data = shaded(n=6)
    assert background_image(data.samples) is None
    assert choose_flat_field(data.samples, data.pairs).offset_residuals == {}


def test_few_tiles_or_tiles_with_holes_have_no_background(on_dark_ground):
    samples = on_dark_ground().samples
    assert background_image(samples[:29]) is None
    holed = samples.copy()
    holed[29:, 0, 0] = 0
    assert background_image(holed) is None


def test_what_is_too_dark_to_tell_of_the_lens_is_blanked(on_dark_ground):
    data = on_dark_ground()
    background = background_image(data.samples)
    samples, pairs = signal_only(data.samples, data.pairs, background)
    blank = data.scenes == 0
    assert (samples[blank] == 0).mean() > 0.99
    assert (samples[data.scenes > 0.5] > 0).mean() > 0.99
    assert len(pairs) == len(data.pairs)
    assert pairs[0].offset_px == data.pairs[0].offset_px


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (3.0, 0.0), (1.0, 50.0), (0.1, 7.0)])
def test_the_contrast_residual_ignores_scale_and_offset(scale, offset):
    rng = np.random.default_rng(0)
    first = rng.random((1, 20, 20)).astype(np.float32) + 1
    second = first + rng.normal(0, 0.1, first.shape).astype(np.float32)
    plain, changed = (
        contrast_residual([OverlapPair(f, s, (0.0, 0.0))])
        for f, s in ((first, second), (first * scale + offset, second * scale + offset))
    )
    assert changed == pytest.approx(plain, rel=1e-3)
    assert plain == pytest.approx(0.08 / 0.25, rel=0.15)  # E|N(0, 0.1)| over E|U(1, 2) - 1.5|


def test_without_overlaps_there_is_no_contrast_residual():
    assert np.isnan(contrast_residual([]))
    even = np.ones((1, 8, 8), np.float32)
    assert np.isnan(contrast_residual([OverlapPair(even, even, (0.0, 0.0))]))
