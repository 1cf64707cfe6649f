"""Lateral registration against known motions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mosaicflow.alignment.coarse import correlate_masked
from mosaicflow.alignment.levels import Pyramid, tissue_correlation
from mosaicflow.alignment.pair_fit import RegistrationSettings, SlicePair, confidence
from mosaicflow.alignment.register import register_images
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.rigid import Rigid2D

SHAPE = (220, 200)
SETTINGS = RegistrationSettings()
CENTER = ((SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2)


@pytest.fixture(scope="module")
def scene():
    """A specimen with gel around it, larger than the images cut from it."""
    rng = np.random.default_rng(2)
    shape = (320, 300)
    texture = sum(gaussian_filter(rng.standard_normal(shape), s) * s for s in (1.5, 4, 10))
    y, x = np.mgrid[: shape[0], : shape[1]]
    tissue = np.hypot((y - 160) / 95, (x - 150) / 80) < 1
    bright = (texture - texture.min()) / np.ptp(texture) * gaussian_filter(tissue * 1.0, 1.0)
    return (bright + 0.02).astype(np.float32)


def cut(scene, motion):
    """Image whose pixel p shows the scene at motion(p) + 50."""
    image = affine_transform(scene, motion.matrix, motion.offset + 50, SHAPE, order=3)
    return image.astype(np.float32)


def pair_of(scene, pull, *, offset=(0.0, 0.0), noise=0.0, seed=0):
    """A fixed image, and a moving one on which `pull` maps fixed pixels as the stage places it."""
    rng = np.random.default_rng(seed)
    images = []
    for motion in (Rigid2D(0.0, CENTER, (0.0, 0.0)), pull.inverse()):
        shifted = Rigid2D(0.0, CENTER, offset) if motion.angle_deg or len(images) else motion
        image = cut(scene, motion.after(shifted))
        speckle = rng.gamma(1 / noise**2, noise**2, SHAPE) if noise else 1.0
        images.append((image * speckle).astype(np.float32))
    valid = np.ones(SHAPE, bool)
    return SlicePair(images[0], images[1], valid, valid, offset)


def miss_px(found, truth):
    points = np.array([CENTER, (40.0, 40.0), (180.0, 100.0)])
    return np.hypot(*(found.transform.apply(points) - truth.apply(points)).T).max()


@pytest.mark.parametrize("initial", ["none", "gradient", "com", "both"])
def test_a_shift_of_12_px_has_the_sign_of_a_pull(scene, initial):
    truth = Rigid2D(0.0, CENTER, (12.0, -4.0))
    settings = RegistrationSettings(initial=initial)
    found = register_images(pair_of(scene, truth), settings)
    assert not found.failure
    assert found.transform.translation_yx == pytest.approx((12.0, -4.0), abs=0.1)  # px


@pytest.mark.parametrize("angle", [-5.0, -1.3, 2.0, 4.9])
def test_rotation_and_shift_under_speckle_are_found_to_a_tenth_of_a_px(scene, angle):
    truth = Rigid2D(angle, CENTER, (-9.3, 14.6))
    pair = pair_of(scene, truth, offset=(3.0, -2.0), noise=0.15, seed=7)
    found = register_images(pair, RegistrationSettings(max_rotation_deg=5.5))
    assert not found.failure
    assert miss_px(found, truth) < 0.15  # px, the target between neighbouring slices
    assert found.held_out.refined > found.held_out.stage
    assert found.sigma_px < 0.2


def loosened(pair, rng, *, sigma_px, n=4):
    """Shift each of 4 x 4 tiles of the moving image alone, and empty every second one."""
    moving, valid = pair.moving.copy(), pair.moving_valid.copy()
    edges = [np.linspace(0, length, n + 1).astype(int) for length in SHAPE]
    for row, column in np.ndindex(n, n):
        y, x = (slice(*edge[i : i + 2]) for edge, i in zip(edges, (row, column), strict=True))
        if (row + column) % 2:
            moving[y, x], valid[y, x] = 0, False
            continue
        off = rng.normal(0, sigma_px, 2)
        moved = affine_transform(pair.moving, np.eye(2), off, order=3, mode="nearest")
        moving[y, x] = moved[y, x]
    return replace(pair, moving=moving, moving_valid=valid)


def test_a_slice_of_loose_tiles_is_known_as_well_as_its_tiles_agree(scene):
    still = Rigid2D(0.0, CENTER, (0.0, 0.0))
    firm = pair_of(scene, still, noise=0.3)
    ratios = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found = register_images(loosened(firm, rng, sigma_px=1.0), SETTINGS)
        ratios += list(np.array(found.transform.translation_yx) / found.sigma_px)
    # Eight tiles say little of their own spread: single ratios may be large, their rms may not.
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2


def test_errors_of_pairs_are_as_large_as_noise_makes_them(scene):
    rng, shifts, turns = np.random.default_rng(3), [], []
    for seed in range(8):
        truth = Rigid2D(rng.normal(0, 0.5), CENTER, tuple(rng.normal(0, 2, 2)))
        found = register_images(pair_of(scene, truth, noise=0.3, seed=seed), SETTINGS)
        off = found.transform.apply(np.array([CENTER])) - truth.apply(np.array([CENTER]))
        shifts += list(off[0] / found.sigma_px)
        turns.append((found.transform.angle_deg - truth.angle_deg) / found.sigma_deg)
    # Interpolation and shadows, which the errors hold too, are not in these images.
    assert 0.45 < np.sqrt(np.mean(np.square(shifts))) < 1.4
    assert 0.45 < np.sqrt(np.mean(np.square(turns))) < 1.6


def test_a_registration_says_by_how_much_it_beats_the_stage(scene):
    moved = Rigid2D(0.0, CENTER, (3.0, -2.0))
    gained = register_images(pair_of(scene, moved, noise=0.3), SETTINGS).held_out
    assert gained.advantage > 3
    still = Rigid2D(0.0, CENTER, (0.0, 0.0))
    for seed in range(4):
        kept = register_images(pair_of(scene, still, noise=0.3, seed=seed), SETTINGS)
        # Interpolation smooths the speckle of what is moved, which alone looks like a gain.
        assert (kept.rejected or kept).held_out.advantage < gained.advantage / 2


def test_an_exact_stage_is_a_link_though_nothing_is_gained(scene):
    still = Rigid2D(0.0, CENTER, (0.0, 0.0))
    seeds = (0, 15, 16)
    found = [register_images(pair_of(scene, still, noise=0.3, seed=k), SETTINGS) for k in seeds]
    assert not any(one.failure for one in found)
    assert all(miss_px(one, still) < 0.3 and one.sigma_px < 0.15 for one in found)
    at_stage = [one for one in found if one.transform.translation_yx == (0.0, 0.0)]
    assert at_stage  # the held-out parts liked it better than the fit
    assert all(one.held_out.refined == one.held_out.stage for one in at_stage)


def test_different_tissue_of_one_outline_confirms_no_stage(scene):
    still = Rigid2D(0.0, CENTER, (0.0, 0.0))
    pair = pair_of(scene, still, noise=0.3)
    other = pair_of(scene[::-1, ::-1].copy(), still, noise=0.3, seed=5)
    unlike = replace(pair, moving=other.moving)
    found = register_images(unlike, SETTINGS)
    assert found.failure or found.transform.translation_yx != (0.0, 0.0)
    assert tissue_correlation(Pyramid(pair), pair.stage_motion) > 0.6
    assert abs(tissue_correlation(Pyramid(unlike), pair.stage_motion)) < 0.3


def test_a_pair_that_only_shifts_is_not_turned(scene):
    truth = Rigid2D(0.0, CENTER, (2.5, 3.25))
    found = register_images(pair_of(scene, truth), RegistrationSettings("translation"))
    assert found.transform.angle_deg == 0.0
    assert miss_px(found, truth) < 0.05


def test_a_shift_beyond_the_limit_is_no_result(scene):
    truth = Rigid2D(0.0, CENTER, (25.0, 0.0))
    settings = RegistrationSettings(max_translation_px=10)
    found = register_images(pair_of(scene, truth), settings)
    # The truth is out of reach: whatever was found must not pass for it.
    assert found.failure or found.confidence < 0.6
    assert math.hypot(*found.transform.translation_yx) <= 10


def test_noise_alone_gives_no_confidence():
    rng = np.random.default_rng(0)
    images = [rng.random(SHAPE).astype(np.float32) for _ in range(2)]
    valid = np.ones(SHAPE, bool)
    found = register_images(SlicePair(*images, valid, valid, (0.0, 0.0)), RegistrationSettings())
    assert found.confidence < 0.4


def test_images_without_data_fail_with_a_reason():
    empty, nothing = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    found = register_images(
        SlicePair(empty, empty, nothing, nothing, (0.0, 0.0)), RegistrationSettings()
    )
    assert found.failure == Refusal.of(Doubt.FEW_PIXELS)
    assert found.transform.translation_yx == (0.0, 0.0)
    assert found.confidence == 0.0


def test_confidence_follows_its_formula():
    settings = RegistrationSettings(max_translation_px=200, max_rotation_deg=5)
    assert confidence(0.8, 20, 0.5, settings) == pytest.approx(0.85)


def test_a_small_correction_alone_earns_no_confidence():
    settings = RegistrationSettings()
    assert confidence(0.0, 0.0, 0.0, settings) == pytest.approx(0.2)
    assert confidence(-0.5, 0.0, 0.0, settings) == pytest.approx(0.2)


def test_masked_correlation_is_one_where_the_valid_parts_agree():
    rng = np.random.default_rng(4)
    fixed = rng.standard_normal((40, 50)).astype(np.float32)
    moving = np.zeros((56, 66), np.float32)
    moving[8 + 3 : 48 + 3, 8 - 2 : 58 - 2] = fixed
    there = np.zeros(moving.shape, bool)
    there[11:40, 6:56] = True  # the lower part is missing
    surface = correlate_masked(fixed, moving * there, np.ones((40, 50), bool), there, 8)
    assert np.unravel_index(surface.argmax(), surface.shape) == (8 + 3, 8 - 2)
    assert surface.max() == pytest.approx(1.0, abs=1e-3)  # float32 transforms
