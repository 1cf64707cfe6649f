import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.slices.masks import agarose_mask, log_otsu, tissue_fraction


@pytest.fixture
def projection():
    """No data left, gel in the middle, tissue right; a fifth, two fifths, two fifths."""
    rng = np.random.default_rng(0)
    image = np.where(np.arange(100) < 60, 1.0, 6.0) * rng.uniform(0.8, 1.2, (80, 100))
    image[:, :20] = 0
    return image


@given(scale=st.floats(1e-6, 1e6), contrast=st.floats(2, 100))
def test_the_threshold_lies_between_gel_and_tissue_in_any_unit(scale, contrast):
    rng = np.random.default_rng(0)
    image = scale * rng.uniform(0.9, 1.1, (20, 40))
    image[:, 20:] *= contrast
    assert image[:, :20].max() <= log_otsu(image) <= image[:, 20:].min()


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.full((4, 4), 3.0), np.zeros((0, 0))])
def test_there_may_be_nothing_to_split(image):
    assert log_otsu(image) == 0


def test_the_share_of_tissue_counts_the_whole_canvas(projection):
    assert tissue_fraction(projection) == pytest.approx(0.4, abs=0.01)
    assert tissue_fraction(np.zeros((5, 5))) == 0


def test_gel_is_what_is_dark_and_has_data(projection):
    gel = agarose_mask(projection, erosion_px=0)
    assert gel[:, 25:55].all()
    assert not gel[:, :20].any()
    assert not gel[:, 60:].any()


def test_the_rim_of_the_gel_is_left_out(projection):
    gel = agarose_mask(projection, erosion_px=3)
    assert gel[5:-5, 25:50].all()
    assert not gel[:, :23].any()
    assert not gel[:3].any()


def test_an_empty_canvas_has_no_gel():
    assert not agarose_mask(np.zeros((10, 10))).any()
