"""Slices of nothing but gel are told from those with a little tissue."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.slices.masks import shows_tissue


def gel(rng, level, shading):
    y, x = np.mgrid[:96, :80]
    uneven = 1 + shading * np.cos(y / 9) * np.cos(x / 7)
    return (level * uneven * rng.gamma(60, 1 / 60, y.shape)).astype(np.float32)


@given(st.floats(0.01, 1e4), st.floats(0, 0.1), st.integers(0, 99), st.booleans())
@settings(max_examples=20, deadline=None)
def test_gel_is_no_tissue_however_bright_and_uneven_it_is(level, shading, seed, known):
    image = gel(np.random.default_rng(seed), level, shading)
    assert not shows_tissue(image, np.ones(image.shape, bool), level if known else None)


@given(st.floats(0.01, 1e4), st.integers(0, 99), st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_small_piece_of_dim_tissue_is_tissue(level, seed, known):
    image = gel(np.random.default_rng(seed), level, 0.05)
    image[20:44, 30:54] *= 2
    assert shows_tissue(image, np.ones(image.shape, bool), level if known else None)


def test_only_pixels_with_data_count():
    image = gel(np.random.default_rng(0), 1.0, 0.0)
    image[:30] = 5.0
    valid = np.ones(image.shape, bool)
    assert shows_tissue(image, valid)
    valid[:42] = False
    assert not shows_tissue(image * valid, valid, 1.0)
