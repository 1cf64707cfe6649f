import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from mosaicflow.mosaic.lattice_shading import BinnedImage, bin_side, lattice_shading

PERIOD = (120.0, 110.0)
CORNERS = {(iy, ix): (PERIOD[0] * iy, PERIOD[1] * ix) for iy in range(6) for ix in range(6)}


def slice_of(size, seed):
    """Tissue of all scales, with a shading of standard deviation `size` left in every tile."""
    rng = np.random.default_rng(seed)
    shape = (int(6.2 * PERIOD[0]), int(6.2 * PERIOD[1]))
    tissue = sum(
        0.05 * part / part.std()
        for part in (gaussian_filter(rng.standard_normal(shape), s) for s in (4, 20, 60))
    )
    y, x = np.meshgrid(
        *(np.arange(n) % p / p for n, p in zip(shape, PERIOD, strict=True)), indexing="ij"
    )
    bowl = np.cos(2 * np.pi * y) + np.cos(2 * np.pi * x)
    return np.asarray(100 * np.exp(tissue + size * bowl), np.float32)


def measured(image, corners=CORNERS):
    binned = BinnedImage(image.shape, bin_side(PERIOD))
    for y in range(0, image.shape[0], 64):
        for x in range(0, image.shape[1], 100):
            region = (slice(y, min(y + 64, image.shape[0])), slice(x, min(x + 100, image.shape[1])))
            binned.add(region, image[region])
    return lattice_shading(binned, corners, PERIOD)


@pytest.mark.parametrize("size", [0.03, 0.1])
def test_shading_that_repeats_with_the_tiles_is_measured(size):
    found = measured(slice_of(size, 1))
    assert found.n_tiles >= 30
    # The smoothing takes a tenth of the bowl.
    assert found.residual == pytest.approx(size, rel=0.35)
    assert found.residual > max(1.3 * found.chance, found.chance_at_most)


@pytest.mark.parametrize("seed", range(3))
def test_tissue_alone_leaves_what_chance_leaves(seed):
    found = measured(slice_of(0.0, seed))
    assert found.residual < 1.5 * found.chance
    assert found.chance < found.chance_at_most


def test_of_few_tiles_what_the_specimen_leaves_by_chance_is_no_shading():
    few = {tile: corner for tile, corner in CORNERS.items() if max(tile) < 4}
    found = [measured(slice_of(0.0, seed), few) for seed in range(8)]
    assert all(one.residual <= one.chance_at_most for one in found)
    assert all(one.chance_at_most > 1.3 * one.chance for one in found)


def test_too_few_full_tiles_say_nothing():
    image = slice_of(0.1, 2)
    image[:, 200:] = 0
    assert measured(image) is None
    assert measured(np.zeros_like(image)) is None


@given(side=st.integers(1, 9), step=st.integers(1, 40))
def test_bins_hold_the_means_however_the_image_comes(side, step):
    image = np.random.default_rng(1).uniform(1, 2, (53, 47)).astype(np.float32)
    binned = BinnedImage(image.shape, side)
    for y in range(0, 53, step):
        region = (slice(y, min(y + step, 53)), slice(0, 47))
        binned.add(region, image[region])
    whole = BinnedImage(image.shape, side)
    whole.add((slice(0, 53), slice(0, 47)), image)
    np.testing.assert_allclose(binned.image, whole.image, rtol=1e-12)
    assert binned.image[0, 0] == pytest.approx(image[:side, :side].mean(), rel=1e-6)
