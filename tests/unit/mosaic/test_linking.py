import numpy as np
import pytest

from mosaicflow.mosaic.features import tile_levels
from mosaicflow.mosaic.lattice import neighbours, nominal_positions, reported_positions
from mosaicflow.mosaic.linking import TileLinker, search_bins

TILE = (64, 64)


def serial(function, items):
    return [function(item) for item in items]


def linker(tiles, reported, bound_px=None):
    shape = next(iter(tiles.values())).shape[1:]
    views = {tile: tile_levels(data, search_bins(shape)) for tile, data in tiles.items()}
    return TileLinker(views.__getitem__, reported, shape, serial, serial, bound_px)


@pytest.fixture
def slice_of(make_texture, cut_tile):
    """Tiles of a 4 x 4 lattice, cut at known corners."""

    def cut(corners, seed=0):
        scene = make_texture((2, 280, 280), seed)
        return {tile: cut_tile(scene, np.round(np.add(p, 15)), TILE) for tile, p in corners.items()}

    return cut


def test_every_tile_is_paired_with_the_next_below_and_to_the_right():
    tiles = [(0, 0), (0, 1), (1, 1), (3, 3)]
    assert neighbours(tiles) == [((0, 0), (0, 1)), ((0, 1), (1, 1))]


def test_an_even_lattice_has_the_overlap_that_is_asked_for():
    assert nominal_positions([(0, 0), (2, 3)], (100, 50), 0.2) == {
        (0, 0): (0.0, 0.0),
        (2, 3): (160.0, 120.0),
    }


def test_links_give_the_true_shifts_of_a_stage_that_jitters(slice_of, make_lattice):
    reported = make_lattice(4, 4, (48, 48))
    rng = np.random.default_rng(0)
    truth = {tile: np.round(np.add(p, rng.normal(0, 2, 2))) for tile, p in reported.items()}
    links = linker(slice_of(truth), reported).links(np.random.default_rng(0)).links
    assert len(links) >= 20
    wrong = 0
    for link in links:
        assert link.evidence >= 2
        error = np.subtract(link.shift_px, truth[link.b] - truth[link.a])
        wrong += np.abs(error).max() > 0.3  # px
    assert wrong <= 1


def test_a_camera_turned_by_two_degrees_is_followed(slice_of, make_lattice):
    reported = make_lattice(4, 4, (48, 48))
    angle = np.deg2rad(2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    truth = {tile: turn @ p for tile, p in reported.items()}
    links = linker(slice_of(truth), reported, 3.0).links(np.random.default_rng(0)).links
    assert len(links) >= 20
    for link in links:
        expected = np.round(truth[link.b] + 15) - np.round(truth[link.a] + 15)
        np.testing.assert_allclose(link.shift_px, expected, atol=0.4)  # px


def test_two_tiles_are_few_to_learn_chance_from_and_are_linked(slice_of):
    reported = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 48.0)}
    links = linker(slice_of(reported), reported).links(np.random.default_rng(0)).links
    assert len(links) == 1


def test_the_same_seed_gives_the_same_links(slice_of, make_lattice):
    reported = make_lattice(4, 4, (48, 48))
    found = linker(slice_of(reported), reported)
    assert found.links(np.random.default_rng(1)) == found.links(np.random.default_rng(1))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_tiles_of_unrelated_noise_give_no_links_and_so_no_turn(n, make_lattice):
    """Their best matches would fit a stage model turned by ten degrees."""
    reported = make_lattice(n, n, (48, 48))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        tiles = {t: rng.gamma(4, 0.25, (2, *TILE)).astype(np.float32) for t in reported}
        assert linker(tiles, reported).links(np.random.default_rng(seed)).links == ()


def test_a_link_knows_how_well_the_stage_itself_explains_it(slice_of, make_lattice):
    reported = make_lattice(4, 4, (48, 48))
    truth = {tile: np.add(p, (tile[1], tile[0])) for tile, p in reported.items()}
    links = linker(slice_of(truth), reported).links(np.random.default_rng(0)).links
    assert links
    assert all(link.stage_ncc < link.ncc for link in links)


@pytest.mark.parametrize("known", [9, 8, 4, 2, 1, 0])
def test_a_tile_without_position_fits_in_with_those_that_have_one(known):
    truth = {
        (iy, ix): (5 + 90.0 * iy + 3 * ix, 7 + 82.0 * ix) for iy in range(3) for ix in range(3)
    }
    reported = dict(list(truth.items())[:known])
    nominal = nominal_positions(truth, (100, 100), 0.2)
    found = reported_positions(reported, nominal)
    assert set(found) == set(truth)
    assert np.min(list(found.values()), axis=0).tolist() == [0, 0]
    if known >= 4:  # both directions of the lattice are seen
        for tile, (y, x) in truth.items():
            np.testing.assert_allclose(found[tile], (y - 5, x - 7), atol=1e-9)
    if not known:
        assert found == nominal
    if known == 2:
        step = np.subtract(found[2, 1], found[1, 1])
        np.testing.assert_allclose(step, (80, 0), atol=1e-9)


def test_tiles_that_do_not_overlap_give_no_links(slice_of, make_lattice):
    """Only shifts far from the stage's let them overlap at all, and there chance reigns."""
    reported = make_lattice(3, 3, TILE)
    tiles = slice_of(reported)
    assert linker(tiles, reported).links(np.random.default_rng(0)).links == ()


@pytest.fixture
def across_a_jump(make_texture, cut_tile, make_lattice):
    """Links from the second row to the third, before which the stage jumped, with their truth."""

    def measure(jump, first_px, scene_yx, seed):
        reported = make_lattice(4, 4, (96, 96))
        truth = {t: np.add(p, jump if t[0] > 1 else (0, 0)) + first_px for t, p in reported.items()}
        scene = make_texture((2, *scene_yx), seed)
        tiles = {tile: cut_tile(scene, at, (128, 128)) for tile, at in truth.items()}
        links = linker(tiles, reported).links(np.random.default_rng(0)).links
        return [
            (link, truth[link.b] - truth[link.a])
            for link in links
            if (link.a[0], link.b[0]) == (1, 2)
        ]

    return measure


@pytest.mark.parametrize("jump", [(-60.0, 50.0), (-22.0, 8.0), (10.0, 22.0), (-124.0, 20.0)])
def test_rows_before_which_the_stage_jumped_are_found_where_it_went(across_a_jump, jump):
    """More sideways than ahead, beyond the first search, or back behind the row before."""
    across = across_a_jump(jump, 40, (500, 500), 1)
    assert len(across) == 4
    for link, true_px in across:
        np.testing.assert_allclose(link.shift_px, true_px, atol=0.3)  # px


@pytest.mark.parametrize("jump", [(24, -88), (22, -96)])
def test_tiles_that_meet_at_a_corner_are_found(across_a_jump, jump):
    """8 x 40 and 10 x 32 px of 128 x 128: among all shifts, chance reaches as much."""
    across = across_a_jump(jump, 100, (560, 640), 3)
    assert len(across) >= 2
    for link, true_px in across:
        assert link.evidence > 5
        np.testing.assert_allclose(link.shift_px, true_px, atol=0.3)  # px


def test_what_seems_sure_and_is_refused_is_looked_for_in_whole_tiles(
    make_texture, cut_tile, make_lattice
):
    """The corner jumped along its neighbour, and shows a part of it once more where it was due."""
    reported = make_lattice(4, 4, (96, 96))
    truth = {t: np.add(p, (56 if t == (3, 3) else 0, 0)) + 10 for t, p in reported.items()}
    scene = make_texture((2, 490, 480), 2)
    tiles = {tile: cut_tile(scene, at, (128, 128)).copy() for tile, at in truth.items()}
    tiles[3, 3][:, 72:, :32] = tiles[3, 2][:, 72:, 96:]
    links = linker(tiles, reported).links(np.random.default_rng(0)).links
    shifts = [link.shift_px for link in links if link.b == (3, 3)]
    np.testing.assert_allclose(shifts, [(56, 96)], atol=0.3)  # px


@pytest.mark.parametrize("seed", [4, 8])
def test_round_cores_are_joined_though_strangers_are_alike(
    make_texture, cut_tile, make_lattice, seed
):
    reported = make_lattice(3, 5, (102, 102))
    rng = np.random.default_rng(seed)
    truth = {t: np.round(np.add(p, rng.normal(0, 4, 2))) + 40 for t, p in reported.items()}
    scene = make_texture((2, 460, 660), seed)
    y, x = ((at + 36) % 72 - 36 for at in np.indices(scene.shape[1:]))
    inside = np.clip((27 - np.hypot(y, x)) / 2 + 0.5, 0, 1)
    gel = 0.15 * rng.gamma(8, 1 / 8, scene.shape)
    scene = (scene * inside + gel * (1 - inside)).astype(np.float32)
    tiles = {tile: cut_tile(scene, at, (128, 128)) for tile, at in truth.items()}
    links = linker(tiles, reported).links(np.random.default_rng(0)).links
    assert len({tile for link in links for tile in (link.a, link.b)}) == len(tiles)
    for link in links:
        np.testing.assert_allclose(link.shift_px, truth[link.b] - truth[link.a], atol=0.5)  # px


@pytest.mark.parametrize("rough", [0.2, 0.6])
def test_what_the_camera_adds_to_every_tile_links_none(make_texture, make_lattice, rough):
    reported = make_lattice(3, 3, (96, 96))
    dust = np.exp(rough * np.random.default_rng(9).standard_normal((128, 128)))
    tiles = {
        tile: (make_texture((2, 128, 128), seed) * dust).astype(np.float32)
        for seed, tile in enumerate(reported)
    }
    assert linker(tiles, reported).links(np.random.default_rng(0)).links == ()
