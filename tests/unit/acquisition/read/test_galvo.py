import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mosaicflow.acquisition.read.galvo import Band, band_shift, find_band
from mosaicflow.acquisition.read.galvo_slice import vote

N_ALINES, N_EXTRA = 300, 40
TOTAL = N_ALINES + N_EXTRA


def texture(rng, contrast):
    """Tissue-like mean-over-depth image, (B-scans, A-lines)."""
    size = rng.uniform(1, 6)
    field = gaussian_filter(rng.normal(size=(20, TOTAL)), size, mode="wrap", truncate=2)
    return (100 * (1 + contrast * field / field.std())).clip(1).astype(np.float32)


@pytest.mark.parametrize("brightness", [0.7, 1.3])
def test_a_band_is_found_exactly_wherever_it_starts(brightness):
    rng = np.random.default_rng(1)
    for start in range(TOTAL):
        image = texture(rng, 0.06)
        image[:, (start + np.arange(N_EXTRA)) % TOTAL] *= brightness

        band = find_band(image, N_EXTRA)

        assert band.start == start
        assert band.shift == N_ALINES - start
        assert band.confidence > 0.6


@pytest.mark.parametrize("vessel_width", [0, 20, 30, 53, 80])
def test_texture_and_vessels_are_no_band(vessel_width):
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(500):
        image = texture(rng, rng.uniform(0.05, 0.5))
        first = rng.integers(0, TOTAL - vessel_width)
        image[:, first : first + vessel_width] *= rng.uniform(0.4, 0.7)
        false += find_band(image, N_EXTRA).confidence >= 0.6

    assert false <= 5  # of 500, the accepted 1 %


def test_shift_rolls_the_band_to_the_end():
    profile = np.zeros(TOTAL)
    profile[188 : 188 + N_EXTRA] = 1

    rolled = np.roll(profile, band_shift(188, N_ALINES, N_EXTRA))

    assert rolled[:N_ALINES].sum() == 0
    assert band_shift(N_ALINES, N_ALINES, N_EXTRA) == 0


def test_no_return_means_no_band():
    assert find_band(np.ones((4, 50), np.float32), 0).confidence == 0
    assert find_band(np.ones((0, 50), np.float32), 5).confidence == 0


def test_a_vote_needs_agreement():
    agreeing = [Band(100, 200, 0.9)] * 4 + [Band(300, 0, 0.1)]
    quarrelling = [Band(10 * n, 50 * n, 0.9) for n in range(5)]

    assert vote(agreeing, N_EXTRA).shift == 200
    assert vote(agreeing, N_EXTRA).confidence == pytest.approx(0.9 * 0.8**0.5)
    assert vote(quarrelling, N_EXTRA).confidence < 0.6
