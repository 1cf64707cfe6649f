"""One estimate from tiles and overlaps, and an error that can be trusted."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mosaicflow.mosaic.tile_basis import FieldBasis
from mosaicflow.optics.illumination import OverlapPair
from mosaicflow.optics.illumination_choice import choose_depth_change, choose_flat_field
from mosaicflow.optics.population import tile_population

SIDE, STEP = 48, 38
Y, X = (axis / (SIDE - 1) * 2 - 1 for axis in np.indices((SIDE, SIDE)))


def _rough(grain, seed):
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    smooth = gaussian_filter(noise, grain * SIDE, mode="reflect")
    return (smooth - smooth.mean()) / smooth.std()


def _specks(seed, n=10, radius=0.05, shade=0.25):
    """Dust that shades the same small places of all tiles."""
    log_field = np.zeros((SIDE, SIDE))
    for row, column in np.random.default_rng(seed).uniform(-0.9, 0.9, (n, 2)):
        near = np.exp(-((Y - row) ** 2 + (X - column) ** 2) / (2 * radius**2))
        log_field += np.log(1 - shade * near)
    return log_field


KINDS = {
    "vignette": -0.25 * ((Y - 0.2) ** 2 + 0.6 * (X + 0.1) ** 2),
    "tilt": 0.15 * X - 0.08 * Y,
    "strong": -0.6 * (Y**2 + X**2),
    "weak": -0.05 * (Y**2 + X**2) + 0.02 * X,
    "rough": 0.05 * _rough(0.2, 1) - 0.15 * Y**2,
    "rougher": 0.05 * _rough(0.14, 2) - 0.15 * X**2,
    "edge": -0.15 / (1 + np.exp(-8 * (X - 0.4))),
    "ring": 0.08 * np.exp(-((np.hypot(Y, X) - 0.6) ** 2) / 0.08),
    "spot": -0.2 * np.exp(-((Y + 0.3) ** 2 + (X - 0.3) ** 2) / 0.15),
    "saddle": 0.15 * Y * X + 0.1 * (Y**2 - X**2),
    "dust": -0.15 * (Y**2 + X**2) + _specks(3),
}


def mosaic(make_texture, log_field, *, n=5, gain_spread=0.03, seed=0, log_change=None):
    """Tiles (bands, y, x) of one scene, each with a brightness of its own, and their pairs."""
    rng = np.random.default_rng(seed)
    side = STEP * n + SIDE
    scene = make_texture((1, side, side), seed, sigma_px=5.0, contrast=0.35)[0]
    depths = (-0.6, 0.0, 0.6) if log_change is not None else (0.0,)
    tiles = {}
    for iy, ix in np.ndindex(n, n):
        cut = scene[iy * STEP : iy * STEP + SIDE, ix * STEP : ix * STEP + SIDE]
        bright = np.exp(gain_spread * rng.standard_normal())
        bands = [
            cut
            * bright
            * np.exp(log_field + depth * (0 if log_change is None else log_change))
            * rng.gamma(625, 1 / 625, cut.shape)
            for depth in depths
        ]
        tiles[iy, ix] = np.asarray(bands, np.float32)
    pairs = [
        OverlapPair(
            tiles[a], tiles[b], tuple(np.subtract(b, a) * float(STEP)), (a, b), depths, (a, b)
        )
        for a in tiles
        for b in ((a[0] + 1, a[1]), (a[0], a[1] + 1))
        if b in tiles
    ]
    return tiles, pairs, depths


def rms(found, log_field):
    true = np.exp(log_field) / np.exp(log_field).mean()
    return float(np.sqrt(np.mean((found / true - 1) ** 2)))


# A step in the middle of the tile, which overlaps take for a tilt, is not in 25 tiles to be seen.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "edge"])
def test_the_reported_error_lies_within_a_factor_of_two_of_the_true_one(make_texture, kind):
    tiles, pairs, _ = mosaic(make_texture, KINDS[kind])
    choice = choose_flat_field(np.concatenate(list(tiles.values())), pairs, groups=list(tiles))
    error, none = (rms(f, KINDS[kind]) for f in (choice.field, np.ones((SIDE, SIDE))))
    assert error / 2 <= choice.error <= 2 * error
    assert error <= none
    if kind in ("vignette", "tilt", "strong", "weak", "saddle"):
        assert choice.accepted
        assert error <= 0.01


def test_dust_hides_neither_the_field_nor_that_it_stays(make_texture):
    smooth = -0.15 * (Y**2 + X**2)
    log_field = smooth + _specks(4)
    tiles, pairs, _ = mosaic(make_texture, log_field)
    choice = choose_flat_field(np.concatenate(list(tiles.values())), pairs, groups=list(tiles))
    assert choice.accepted
    # The vignette is found beside the specks, which no smooth term can tell: they are what is left.
    specks = np.std(log_field - smooth)
    assert rms(choice.field, log_field) <= 1.2 * specks
    assert 0.5 * specks <= choice.error <= 2 * specks


@pytest.mark.parametrize("seed", range(4))
def test_nine_tiles_are_never_worse_than_no_correction(make_texture, seed):
    for log_field in (KINDS["weak"], 0 * Y, KINDS["rough"]):
        tiles, pairs, _ = mosaic(make_texture, log_field, n=3, seed=seed)
        choice = choose_flat_field(np.concatenate(list(tiles.values())), pairs, groups=list(tiles))
        assert rms(choice.field, log_field) <= rms(np.ones((SIDE, SIDE)), log_field) + 1e-9


def test_a_field_that_changes_with_depth_is_found_and_one_that_does_not_is_left(make_texture):
    change = 0.08 * (Y**2 - 0.33) + 0.05 * X
    for true, used in ((change, True), (0 * change, False)):
        tiles, pairs, depths = mosaic(make_texture, KINDS["vignette"], log_change=true)
        found = choose_depth_change(
            list(tiles.values()), [depths] * len(tiles), pairs, groups=list(tiles)
        )
        assert bool(found.change.any()) is used
        assert np.std(found.change - true) <= max(0.01, 2 * found.error)
        assert found.at == pytest.approx(0)


def test_one_band_says_nothing_of_depth(make_texture):
    tiles, pairs, depths = mosaic(make_texture, KINDS["vignette"], n=2)
    stacks = list(tiles.values())
    assert choose_depth_change(stacks, [depths] * 4, pairs, groups=list(tiles)) is None


def test_terms_have_mean_square_one_and_no_constant():
    images = FieldBasis(4, (60, 90)).images()
    assert len(images) == 14
    np.testing.assert_allclose((images**2).mean(axis=1), 1, atol=0.02)
    np.testing.assert_allclose(images.mean(axis=1), 0, atol=0.01)


def test_tiles_that_share_tissue_count_as_one():
    rng = np.random.default_rng(0)
    logs = np.repeat(rng.standard_normal((10, 12, 12)), 6, axis=0)
    known = np.ones(logs.shape, bool)
    basis = FieldBasis(2, (12, 12))
    labels = np.repeat(np.arange(10), 6).tolist()
    once = tile_population(logs[::6], known[::6], basis, list(range(10)))
    grouped = tile_population(logs, known, basis, labels)
    assert grouped.n_groups == 10
    np.testing.assert_allclose(grouped.variance, once.variance, rtol=1e-9)
    few = tile_population(logs[:24], known[:24], basis, labels[:24])
    assert np.isinf(few.variance).all()
