"""What overlaps tell beyond one shift: how far to trust it, and what the lens did."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from mosaicflow.mosaic.features import common_pattern, log_image
from mosaicflow.mosaic.lens import lens_share
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.link_error import LinkError
from mosaicflow.mosaic.loops import believable
from mosaicflow.mosaic.overlap import BroydenSteps, CutOverlap
from mosaicflow.mosaic.windows import window_scatter


def scene(shape, seed):
    rng = np.random.default_rng(seed)
    return np.exp(0.8 * gaussian_filter(rng.standard_normal(shape), 2.0) / 0.15)


def pair(seed, *, shift=(2.0, 60.0), size=90, noise=0.1, bend_px=0.0):
    """Two noisy tiles (1, y, x) of one scene as logarithms; the second one may be bent."""
    rng = np.random.default_rng(seed + 1000)
    world = scene((size + 30, 2 * size + 30), seed)
    y, x = np.mgrid[:size, :size].astype(float)
    bent = bend_px * ((2 * y / size - 1) ** 2 - 1 / 3)
    tiles = []
    for at, bend in (((10.0, 10.0), 0.0), ((10.0 + shift[0], 10.0 + shift[1]), bent)):
        image = map_coordinates(world, [y + at[0], x + at[1] + bend], order=3)
        tiles.append(np.maximum(image, 1e-3) * np.exp(rng.normal(0, noise, image.shape)))
    return [log_image(tile[None].astype(np.float32)) for tile in tiles]


def measured(tiles, start=(2, 60)):
    overlap = CutOverlap.at(*tiles, start)
    got = overlap.refined(0)
    return got, window_scatter(overlap, got.shift_px)


def test_parts_of_an_overlap_scatter_as_much_as_the_whole_errs():
    """Their scatter is the factor that the noise of pixels must be multiplied by, squared."""
    found = [measured(pair(seed)) for seed in range(40)]
    errors = np.array([(got.shift_px[0] - 2, got.shift_px[1] - 60) for got, _ in found])
    claimed = np.array([got.sigma_px for got, _ in found])
    factor = np.sqrt(np.median([scatter for _, scatter in found]) / 0.839)
    true = np.sqrt(np.mean(np.square(errors / claimed[:, None])))
    assert factor == pytest.approx(true, rel=0.4)


def edge_pair(seed, angle_deg, *, noise=0.05, size=70, shift=(1, 40)):
    """Two noisy tiles of a border of tissue, at an angle to the rows, that hardly shows more."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size + shift[0], : size + shift[1]].astype(float)
    angle = np.deg2rad(angle_deg)
    across = np.cos(angle) * (y - 35) + np.sin(angle) * (x - 55)
    world = 0.5 * np.tanh(across / 2) + 0.3 * gaussian_filter(rng.standard_normal(y.shape), 2.0)
    tiles = []
    for top, left in ((0, 0), shift):
        image = world[top : top + size, left : left + size]
        tiles.append(np.exp(image + rng.normal(0, noise, image.shape)))
    return [log_image(tile[None].astype(np.float32)) for tile in tiles]


@pytest.mark.parametrize("angle_deg", [0.0, 35.0, 90.0])
def test_along_an_edge_less_is_claimed_than_across_it(angle_deg):
    """Noise has slopes along the edge too, which hold nothing."""
    across = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])
    along = np.array([-across[1], across[0]])
    rows = []
    for seed in range(40):
        got, _ = measured(edge_pair(seed, angle_deg), (1, 40))
        link_ = Link((0, 0), (0, 1), got.shift_px, got.ncc, 3.0,
                     sigma_px=got.sigma_px, lean=got.lean)  # fmt: skip
        claimed = LinkError(1.0, 0.0).covariance_px2([link_])[0]
        off = np.subtract(got.shift_px, (1, 40))
        rows.append([(off @ axis, np.sqrt(axis @ claimed @ axis)) for axis in (across, along)])
    (error_across, sigma_across), (error_along, sigma_along) = np.moveaxis(rows, 0, 2)
    assert np.median(sigma_along / sigma_across) > 2
    # Noise that filters have spread is not each pixel's own: both are off by that factor.
    ratio = np.std(error_along / sigma_along) / np.std(error_across / sigma_across)
    assert 0.6 < ratio < 1.6


def test_a_bent_tile_shows_in_its_parts():
    straight = np.median([measured(pair(seed))[1] for seed in range(6)])
    bent = np.median([measured(pair(seed, bend_px=1.0))[1] for seed in range(6)])
    assert bent > 5 * straight


def test_links_of_a_strip_know_their_error_without_a_loop():
    links = []
    for seed in range(12):
        got, scatter = measured(pair(seed))
        links.append(
            Link((0, seed), (0, seed + 1), got.shift_px, got.ncc, 3.0,
                 sigma_px=got.sigma_px, lean=got.lean, scatter=scatter)
        )  # fmt: skip
    off = np.array([np.subtract(k.shift_px, (2, 60)) for k in links])
    covariance = LinkError.of(links).covariance_px2(links)
    scaled = off / np.sqrt(np.trace(covariance, axis1=1, axis2=2) / 2)[:, None]
    assert 0.5 < np.sqrt(np.mean(scaled**2)) < 1.8


@pytest.mark.parametrize(("overlap", "share"), [(0.1, 0.75), (0.2, 0.3), (0.4, -0.2)])
def test_a_lens_moves_links_by_a_share_of_what_their_middles_show(overlap, share):
    assert lens_share((300, 300), (0.0, 300 * (1 - overlap)), 1) == pytest.approx(share, abs=0.05)
    assert lens_share((300, 300), (-300 * (1 - overlap), 2.0), 0) == pytest.approx(share, abs=0.05)


def test_without_an_overlap_there_is_no_lens_to_see():
    assert lens_share((300, 300), (0.0, 320.0), 1) == 0
    assert lens_share((300, 300), (0.0, 0.0), 1) == 0


def link(a, b, shift, **changes):
    given = {"evidence": 20.0, "peak_ratio": 3.0, "misfit": 0.01, "ncc": 0.9, **changes}
    return Link(a, b, shift, **given)


def grid_links(**changes):
    """Links of 3 x 3 tiles 100 px apart; changes by pair of tiles."""
    found = {}
    for iy in range(3):
        for ix in range(3):
            if iy < 2:
                found[(iy, ix), (iy + 1, ix)] = link((iy, ix), (iy + 1, ix), (100.0, 0.0))
            if ix < 2:
                found[(iy, ix), (iy, ix + 1)] = link((iy, ix), (iy, ix + 1), (0.0, 100.0))
    return found


CORNER = ((2, 1), (2, 2)), ((1, 2), (2, 2))


def test_a_match_that_leaves_a_difference_is_not_believed_alone():
    found = grid_links()
    found[CORNER[0]] = link(*CORNER[0], (0.0, 70.0), misfit=0.03)
    kept = {(k.a, k.b) for k in believable(list(found.values()), 4.0)}
    assert CORNER[0] not in kept
    assert len(kept) == len(found) - 1


def test_what_closes_a_loop_may_leave_a_difference():
    found = grid_links()
    found[CORNER[0]] = link(*CORNER[0], (0.0, 100.5), misfit=0.03, evidence=2.0)
    assert len(believable(list(found.values()), 4.0)) == len(found)


@pytest.mark.parametrize(
    ("changes", "off_px", "believed"),
    [
        ({}, 0.1, True),
        ({}, 1.0, False),  # the loop is closed to whole pixels only
        ({"peak_ratio": 1.5}, 0.1, False),  # a rival that a period of the tissue may be
        ({"evidence": 6.0}, 0.1, False),
    ],
)
def test_a_noisy_corner_tile_is_believed_where_both_its_links_have_no_rival(
    changes, off_px, believed
):
    found = grid_links()
    for pair_, shift in zip(CORNER, ((off_px, 100.0), (100.0, 0.0)), strict=True):
        found[pair_] = link(*pair_, shift, misfit=0.2, **changes)
    kept = {(k.a, k.b) for k in believable(list(found.values()), 4.0)}
    assert (set(CORNER) <= kept) == believed


@pytest.mark.parametrize(
    ("changes", "off_px", "believed"),
    [
        ({}, 0.1, True),
        ({}, 1.0, False),
        ({"peak_ratio": 1.5}, 0.1, False),
        ({"misfit": 0.03}, 0.1, False),  # a wrong shift leaves more
    ],
)
def test_a_corner_tile_of_little_evidence_is_believed_where_its_links_leave_no_more_than_others(
    changes, off_px, believed
):
    found = grid_links()
    for pair_, shift in zip(CORNER, ((off_px, 100.0), (100.0, 0.0)), strict=True):
        found[pair_] = link(*pair_, shift, **{"evidence": 2.5, **changes})
    kept = {(k.a, k.b) for k in believable(list(found.values()), 4.0)}
    assert (set(CORNER) <= kept) == believed


def test_two_ambiguous_links_do_not_confirm_each_other():
    """A tile moved by one period of its tissue closes its loop."""
    found = grid_links()
    for pair_, shift in zip(CORNER, ((0.0, 114.0), (100.0, 14.0)), strict=True):
        found[pair_] = link(*pair_, shift, peak_ratio=1.02)
    kept = {(k.a, k.b) for k in believable(list(found.values()), 4.0)}
    assert not set(CORNER) & kept


def test_tissue_is_no_common_pattern_and_dust_is():
    rng = np.random.default_rng(2)
    dust = np.zeros((60, 60), np.float32)
    dust[20:23, 30:33] = -1.0
    tiles = [
        (gaussian_filter(rng.standard_normal((60, 60)), 1.0) + dust).astype(np.float32)[None]
        for _ in range(16)
    ]
    found = common_pattern(tiles)[0]
    assert found[21, 31] < -0.7
    away = np.abs(found[:, :15])
    assert away.std() < 0.4 * np.median(np.stack(tiles), axis=0)[0, :, :15].std()


def test_lost_lines_leave_no_more_of_a_difference_than_the_rest_of_the_overlap():
    """The misfit tells wrong shifts of alike tissue; a tile that breaks off is not one."""
    rng = np.random.default_rng(5)
    tissue = gaussian_filter(rng.standard_normal((120, 170)), 1.5)
    noise = 0.02 * rng.standard_normal((2, 120, 100))
    first, second = (
        tissue[None, :, at : at + 100] + n for at, n in zip((0, 70), noise, strict=True)
    )
    broken = second.copy()  # nothing is known of its last lines
    broken[..., 100:, :] = 0.0
    sound, lost, wrong = (
        overlap.refined(0)
        for overlap in (
            CutOverlap.at(first.astype(np.float32), second.astype(np.float32), (0, 70)),
            CutOverlap.at(first.astype(np.float32), broken.astype(np.float32), (0, 70)),
            CutOverlap.at(first.astype(np.float32), second.astype(np.float32), (0, 64)),
        )
    )
    assert lost.shift_px == pytest.approx((0, 70), abs=0.05)
    assert lost.misfit < 2 * sound.misfit
    assert wrong is None or wrong.misfit > 10 * sound.misfit


@pytest.mark.parametrize("share", [(0.2, 0.6), (0.9, 0.1), (1.2, 0.8)])
def test_steps_that_go_a_part_of_the_way_are_lengthened(share):
    goal, at, steps = np.array([0.4, -0.7]), np.zeros(2), BroydenSteps()
    for _ in range(7):
        at = at + steps.step(share * (goal - at))
    assert at == pytest.approx(goal, abs=2e-3)


def test_no_step_leads_back_to_where_the_match_is_worst():
    """On the far side of a hill steps grow; the place where they vanish is its top."""
    top, at, steps = np.array([-0.1, 0.05]), np.zeros(2), BroydenSteps()
    for _ in range(5):
        ahead = at + steps.step(0.8 * (at - top))
        assert np.linalg.norm(ahead - top) > np.linalg.norm(at - top)
        at = ahead
