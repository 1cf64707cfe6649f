from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.mosaic.lattice import fit_lattice, neighbours
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.placement import held_out_residuals, solve_placement
from mosaicflow.mosaic.stage_model import fit_stage_model, stage_model_error

seeds = st.integers(0, 1000)
lattices = st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda n: n[0] * n[1] > 1)


def rotation(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s], [s, c]])


def stage(n_iy, n_ix, step=80.0):
    return {(iy, ix): (iy * step, ix * step) for iy in range(n_iy) for ix in range(n_ix)}


def jittered(positions, sigma_px, seed):
    rng = np.random.default_rng(seed)
    return {tile: np.add(p, rng.normal(0, sigma_px, 2)) for tile, p in positions.items()}


def links_of(truth, noise_px=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Link(a, b, tuple(np.subtract(truth[b], truth[a]) + rng.normal(0, noise_px, 2)), 0.9, 2.0)
        for a, b in neighbours(truth)
    ]


def errors(placement, truth):
    """Distance of each tile from the truth, which is known up to one common offset."""
    tiles = sorted(truth)
    found = np.array([placement.positions_px[tile] for tile in tiles])
    difference = found - np.array([truth[tile] for tile in tiles])
    return np.linalg.norm(difference - np.median(difference, axis=0), axis=1)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 45.0])
def test_a_link_counts_along_each_direction_by_how_well_it_knows_it(angle_deg):
    """Two borders of tissue at right angles place the corner tile that both of its links show."""
    reported = stage(4, 4)
    truth = jittered(reported, 3.0, 1)
    known = {"sigma_px": 0.02, "scatter": 0.84}
    links = [replace(one, **known) for one in links_of(truth, noise_px=0.01, seed=2)]
    weak = np.array([np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))])
    for number, one in enumerate(links):
        if (0, 0) in (one.a, one.b):
            (yy, yx), (_, xx) = np.outer(weak, weak) - 0.001 * np.eye(2)
            off = np.add(one.shift_px, 0.6 * weak)
            links[number] = replace(one, shift_px=tuple(off), sigma_px=0.4, lean=(yy - xx, 2 * yx))
            weak = np.array([weak[1], -weak[0]])
    even = [replace(one, lean=(0.0, 0.0)) for one in links]
    leaning, alike = (errors(solve_placement(some, reported), truth)[0] for some in (links, even))
    assert leaning < 0.1 < 0.3 < alike


@settings(max_examples=30)
@given(size=lattices, angle=st.floats(-1, 1), scale=st.floats(0.98, 1.02))
def test_links_that_follow_a_stage_model_are_met(size, angle, scale):
    reported = stage(*size)
    model = scale * rotation(angle)
    truth = {tile: model @ p for tile, p in reported.items()}
    placement = solve_placement(links_of(truth), reported)
    assert errors(placement, truth).max() < (0.1 if min(size) > 2 else 0.8)  # px
    assert all(link.used for link in placement.links)


@pytest.mark.parametrize("seed", range(30))
def test_few_links_do_not_throw_the_other_tiles_off(seed):
    """Three tiles in four are linked at most: a model fitted exactly would be off by 200 px."""
    truth = stage(2, 2)
    reported = jittered(truth, 4.0, seed + 1)
    rng = np.random.default_rng(seed)
    links = [link for link in links_of(truth, 0.05, seed) if rng.random() < 0.6]
    assert errors(solve_placement(links, reported), truth).max() < 25  # px, of a jitter of 4


@settings(max_examples=30)
@given(size=st.tuples(st.integers(3, 6), st.integers(3, 6)), seed=seeds)
def test_links_win_over_a_stage_that_is_off_by_two_pixels(size, seed):
    truth = stage(*size)
    placement = solve_placement(links_of(truth, 0.05, seed), jittered(truth, 2.0, seed + 1))
    assert np.median(errors(placement, truth)) < 0.25  # px; 2 px without links


def test_a_lattice_of_two_rows_is_met_although_most_links_seem_to_agree_with_the_stage():
    """Here half of the departures are small by chance: the stage must not be trusted for that."""
    truth = stage(2, 5)
    placement = solve_placement(links_of(truth, 0.05, 124), jittered(truth, 2.0, 125))
    assert errors(placement, truth).max() < 0.5  # px


def test_many_links_meet_the_target_of_eight_hundredths_of_a_pixel():
    truth = stage(8, 8)
    found = [
        np.median(
            errors(solve_placement(links_of(truth, 0.05, s), jittered(truth, 2.0, s + 50)), truth)
        )
        for s in range(10)
    ]
    assert np.median(found) < 0.15  # px, without the share that interpolation adds


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_up_to_three_wrong_links_in_ten_are_survived(share, seed):
    truth = stage(6, 6)
    rng = np.random.default_rng(seed)
    links = links_of(truth, 0.05, seed)
    wrong = set(rng.permutation(len(links))[: round(share * len(links))].tolist())
    for number in wrong:
        angle = rng.uniform(0, 2 * np.pi)
        off = rng.uniform(8, 25) * np.array([np.cos(angle), np.sin(angle)])
        links[number] = replace(links[number], shift_px=tuple(links[number].shift_px + off))
    placement = solve_placement(links, jittered(truth, 1.0, seed))
    # Islands that wrong links cut off are as good as the stage.
    found = errors(placement, truth)
    assert np.median(found) < 0.4  # px
    assert np.mean(found < 4.5) > 0.9
    dropped = {number for number, link in enumerate(placement.links) if not link.used}
    assert len(wrong - dropped) <= 1
    assert len(dropped - wrong) <= 1


@settings(max_examples=30)
@given(size=lattices, seed=seeds, offset=st.tuples(*[st.floats(-1e4, 1e4)] * 2))
def test_the_centre_of_the_slice_stays_where_the_stage_says(size, seed, offset):
    truth = {tile: np.add(p, offset) for tile, p in stage(*size).items()}
    reported = jittered(truth, 2.0, seed)
    placement = solve_placement(links_of(truth, 0.2, seed), reported, model=np.eye(2))
    centre = np.mean(list(placement.positions_px.values()), axis=0)
    np.testing.assert_allclose(centre, np.mean(list(reported.values()), axis=0), atol=1e-5)


def test_a_tile_without_links_follows_the_fitted_model():
    reported = stage(4, 4)
    model = rotation(1.0)
    truth = {tile: model @ p for tile, p in reported.items()}
    links = [link for link in links_of(truth) if (3, 3) not in (link.a, link.b)]
    placement = solve_placement(links, reported)
    assert errors(placement, truth).max() < 0.1  # px; 4 px where the stage reports it
    assert (3, 3) not in placement.residuals_px


def test_islands_of_tiles_are_held_together_by_the_stage():
    reported = {tile: p for tile, p in stage(5, 5).items() if tile[1] != 2}
    truth = jittered(reported, 1.0, 0)
    placement = solve_placement(links_of(truth), reported)
    assert errors(placement, truth).max() < 3


def test_without_links_the_stage_decides():
    reported = jittered(stage(3, 3), 2.0, 1)
    placement = solve_placement([], reported)
    for tile, position in reported.items():
        np.testing.assert_allclose(placement.positions_px[tile], position)
    assert placement.links == ()
    assert placement.residuals_px == {}
    np.testing.assert_array_equal(placement.model, np.eye(2))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_camera_turned_by_one_degree_is_seen_by_the_stage_model(share):
    reported = stage(6, 6)
    truth = {tile: rotation(1.0) @ p for tile, p in reported.items()}
    links = links_of(truth, 0.05)
    rng = np.random.default_rng(3)
    for number in rng.permutation(len(links))[: round(share * len(links))].tolist():
        shift = np.add(links[number].shift_px, rng.uniform(-15, 15, 2))
        links[number] = replace(links[number], shift_px=tuple(shift))
    model = fit_stage_model(links, reported)
    assert np.rad2deg(np.arctan2(model[1, 0], model[0, 0])) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(model, rotation(1.0), atol=2e-3)


@pytest.mark.parametrize("size", [(1, 5), (5, 1)])
def test_one_row_of_tiles_gives_turn_and_scale(size):
    reported = stage(*(8 * n - 7 for n in size))
    model = 1.02 * rotation(1.0)
    truth = {tile: model @ p for tile, p in reported.items()}
    np.testing.assert_allclose(fit_stage_model(links_of(truth), reported), model, atol=1e-3)


def test_a_stage_model_tells_how_far_it_may_be_off_at_most():
    errors, claimed = [], []
    for seed in range(30):
        reported = stage(4, 4)
        links = links_of(jittered(reported, 1.5, seed))
        model = fit_stage_model(links, reported)
        errors.append(np.linalg.norm(model, axis=0) - 1)
        claimed.append(stage_model_error(links, reported, model))
    assert 0.3 < np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(claimed))) < 1.0
    np.testing.assert_array_equal(stage_model_error([], reported, np.eye(2)), [0.02, 0.02])


def test_without_links_the_stage_model_is_the_identity():
    np.testing.assert_array_equal(fit_stage_model([], stage(2, 2)), np.eye(2))


def test_left_out_links_prefer_what_made_them():
    truth = stage(6, 6)
    turned = {tile: rotation(1.0) @ p for tile, p in truth.items()}
    # The stage is right up to a turn: solving adds only the noise of the links.
    as_stage, as_model, solved = held_out_residuals(links_of(turned, 0.1), truth)
    assert as_model < as_stage
    assert as_model < solved
    # The stage jitters: only the positions explain the links.
    as_stage, as_model, solved = held_out_residuals(links_of(turned, 0.05), jittered(truth, 2.0, 5))
    assert solved < 0.5 * as_model
    assert solved < 0.5 * as_stage


def test_without_links_nothing_can_be_left_out():
    assert np.isnan(held_out_residuals([], stage(2, 2))).all()


@given(size=st.tuples(st.integers(2, 5), st.integers(2, 5)), seed=seeds)
def test_a_lattice_is_summarised_exactly(size, seed):
    matrix = np.diag([80.0, 90.0]) + np.random.default_rng(seed).normal(0, 3, (2, 2))
    positions = {tile: tuple(matrix @ tile + (7.0, -3.0)) for tile in stage(*size)}
    np.testing.assert_allclose(fit_lattice(positions, (100, 100)), matrix, atol=1e-8)


def test_the_worked_example_of_the_lattice_comes_out():
    matrix = np.array([[79.988, -1.396], [1.396, 79.988]])
    positions = {tile: tuple(matrix @ tile) for tile in stage(4, 4)}
    found = fit_lattice(positions, (100, 100)) @ (2, 3)
    np.testing.assert_allclose(found, (155.79, 242.76), atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_a_direction_with_one_tile_steps_by_a_tile(size):
    found = fit_lattice(stage(*size), (100, 120))
    expected = [80.0 if n > 1 else length for n, length in zip(size, (100, 120), strict=True)]
    np.testing.assert_allclose(found, np.diag(expected), atol=1e-9)


ALL_TILES = [(iy, ix) for iy in range(3) for ix in range(3)]


@pytest.mark.parametrize("n_tiles", range(1, 10))
def test_whatever_tiles_are_left_of_a_slice_its_lattice_is_found(n_tiles):
    """All 511 subsets of 3 x 3 tiles; in one line, a diagonal one too, they show one step."""
    matrix = np.array([[80.0, -1.5], [1.2, 90.0]])
    for tiles in combinations(ALL_TILES, n_tiles):
        found = fit_lattice({tile: tuple(matrix @ tile) for tile in tiles}, (100, 120))
        moved = np.subtract(tiles, tiles[0])
        np.testing.assert_allclose(moved @ found.T, moved @ matrix.T, atol=1e-9)
        if np.linalg.matrix_rank(moved) == 2:
            np.testing.assert_allclose(found, matrix, atol=1e-9)
        # Where the tiles do not show it a step is about that of the other tiles, without shear.
        assert (np.abs(np.diag(found) / (90, 105) - 1) < 0.2).all()
        assert np.abs(found[[0, 1], [1, 0]]).max() < 5


@pytest.mark.parametrize("n_tiles", range(1, 10))
def test_whatever_tiles_are_left_of_a_slice_are_placed(n_tiles):
    """All 511 subsets of 3 x 3 tiles: each ends within the stage's own error of where it was."""
    truth = stage(3, 3)
    for number, tiles in enumerate(combinations(ALL_TILES, n_tiles)):
        left = {tile: truth[tile] for tile in tiles}
        reported = {tile: tuple(p) for tile, p in jittered(left, 2.0, number).items()}
        placement = solve_placement(links_of(left, 0.02, number), reported)
        assert set(placement.positions_px) == set(tiles)
        assert errors(placement, left).max() < 12  # px: six sigma of the stage


@pytest.mark.parametrize("corner", [(1, 1), (2, 1)])
def test_a_tile_that_no_step_of_the_lattice_reaches_is_known_as_well_as_the_stage_steps(corner):
    """Two tiles on the diagonal have no common edge: the stage alone says how they lie."""
    steps = sum(corner)
    reported = {(0, 0): (0.0, 0.0), corner: (80.0 * corner[0], 80.0 * corner[1])}
    placement = solve_placement([], reported, model=np.eye(2))
    sigma = placement.sigma_px[corner] - placement.sigma_px[0, 0]
    assert sigma == pytest.approx(placement.step_sigma_px * np.sqrt(steps))
    assert placement.positions_px[corner] == pytest.approx(reported[corner])
