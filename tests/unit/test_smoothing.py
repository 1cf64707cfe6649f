"""Smoothing by products of matrices is that of scipy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mosaicflow.smoothing import gaussian


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (33, 31), (64, 65), (130, 20), (2, 3, 40, 70)])
@pytest.mark.parametrize("beyond", ["constant", "nearest", "reflect"])
@pytest.mark.parametrize(("sigma", "truncate"), [(0.6, 4.0), (1.0, 3.0), (5.0, 3.0), (12.5, 4.0)])
def test_images_are_smoothed_as_by_scipy(shape, beyond, sigma, truncate):
    images = np.random.default_rng(1).normal(3, 1, shape).astype(np.float32)
    sigmas = (*(0,) * (len(shape) - 2), sigma, sigma)
    expected = gaussian_filter(images, sigmas, mode=beyond, truncate=truncate)
    found = gaussian(images, sigma, beyond=beyond, truncate=truncate)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_parts_of_images_and_turned_ones_are_taken():
    image = np.random.default_rng(2).normal(0, 1, (90, 80)).astype(np.float32)
    for part in (image[5:70, ::2], image.T, image[::-1]):
        np.testing.assert_allclose(gaussian(part, 2.0), gaussian_filter(part, 2.0), atol=2e-6)


def test_what_is_known_already_stays_as_it_is():
    image = np.full((70, 40), 3, np.float32)
    before = image.copy()
    np.testing.assert_allclose(gaussian(image, 4.0), 3, rtol=1e-6)
    np.testing.assert_array_equal(image, before)
