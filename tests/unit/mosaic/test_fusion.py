import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.mosaic.diffusion import diffusion_weights
from mosaicflow.mosaic.fusion import TileFuser, plan_canvas
from mosaicflow.mosaic.tile_gains import tile_gains

TILE = (20, 24)
BLENDINGS = ("linear", "diffusion", "average", "none")

offsets = st.tuples(*[st.floats(-3, 3)] * 2)


@st.composite
def placements(draw):
    """Tiles of at most 3 x 3 around an even lattice of 20 % overlap, some of them missing."""
    n_iy, n_ix = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    tiles = [(iy, ix) for iy in range(n_iy) for ix in range(n_ix)]
    missing = draw(st.sets(st.sampled_from(tiles), max_size=len(tiles) - 1))
    found = {}
    for iy, ix in tiles:
        if (iy, ix) not in missing:
            dy, dx = draw(offsets)
            found[iy, ix] = (iy * 16 + dy, ix * 19 + dx)
    return found


def whole(canvas):
    return tuple(slice(0, length) for length in canvas.shape_yx)


def fused(positions, tiles, blending="linear", gains=None):
    canvas = plan_canvas(positions, TILE)
    n_z = len(next(iter(tiles.values())))
    fuser = TileFuser(canvas, tiles.__getitem__, gains or {}, blending)
    return (*fuser.render(n_z, *whole(canvas)), canvas)


@settings(max_examples=40)
@given(positions=placements(), value=st.floats(0.1, 1e4), blending=st.sampled_from(BLENDINGS))
def test_constant_tiles_fuse_to_the_constant(positions, value, blending):
    tiles = {tile: np.full((2, *TILE), value, np.float32) for tile in positions}
    block, weight, _ = fused(positions, tiles, blending)
    np.testing.assert_allclose(block[:, weight > 0], value, rtol=1e-5)
    assert (block[:, weight == 0] == 0).all()


@settings(max_examples=40)
@given(positions=placements())
def test_the_canvas_holds_every_tile(positions):
    canvas = plan_canvas(positions, TILE)
    for placed in canvas.tiles:
        corner = np.array(placed.corner_px)
        np.testing.assert_allclose(corner + canvas.origin_px, positions[placed.tile], atol=1e-9)
        assert (corner >= 0).all()
        assert (corner + TILE <= np.array(canvas.shape_yx) + 1e-9).all()
    assert [placed.tile for placed in canvas.tiles] == sorted(positions)


@settings(max_examples=20)
@given(positions=placements(), size=st.integers(3, 40), blending=st.sampled_from(BLENDINGS))
def test_a_slice_does_not_depend_on_how_it_is_cut_into_blocks(positions, size, blending):
    rng = np.random.default_rng(0)
    tiles = {tile: rng.uniform(0.5, 1, (5, *TILE)).astype(np.float32) for tile in positions}
    block, weight, canvas = fused(positions, tiles, blending)
    fuser = TileFuser(canvas, tiles.__getitem__, {}, blending)
    n_y, n_x = canvas.shape_yx
    for y in range(0, n_y, size):
        for x in range(0, n_x, size):
            region = (slice(y, min(y + size, n_y)), slice(x, min(x + size, n_x)))
            part, part_weight = fuser.render(5, *region)
            np.testing.assert_array_equal(part, block[:, region[0], region[1]])
            np.testing.assert_array_equal(part_weight, weight[region])


@given(step=st.floats(5, 20))
def test_linear_weights_of_a_pair_sum_to_one_in_the_overlap(step):
    positions = {(0, 0): (0.0, 0.0), (1, 0): (step, 0.0)}
    tiles = dict.fromkeys(positions, np.ones((1, *TILE), np.float32))
    _, weight, _ = fused(positions, tiles)
    both = weight[int(np.ceil(step)) : TILE[0]]
    np.testing.assert_allclose(both, 1, atol=2e-3)  # weights never fall below 1e-3


def test_a_border_without_neighbour_keeps_full_weight():
    _, weight, _ = fused({(0, 0): (0.0, 0.0)}, {(0, 0): np.ones((1, *TILE), np.float32)})
    assert (weight == 1).all()


def test_the_weight_passes_linearly_from_tile_to_tile():
    positions = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 14.0)}
    tiles = {
        tile: np.full((1, *TILE), value, np.float32)
        for tile, value in zip(positions, (1.0, 3.0), strict=True)
    }
    row = fused(positions, tiles)[0][0, 5]
    overlap = row[14:24]
    np.testing.assert_allclose(overlap, 1 + 2 * (np.arange(10) + 0.5) / 10, atol=1e-5)
    assert (row[:14] == 1).all()
    assert (row[24:] == 3).all()


def test_the_simple_blendings_do_what_they_say():
    positions = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 14.0)}
    tiles = {
        tile: np.full((1, *TILE), value, np.float32)
        for tile, value in zip(positions, (1.0, 3.0), strict=True)
    }
    assert (fused(positions, tiles, "average")[0][0, :, 14:24] == 2).all()
    assert (fused(positions, tiles, "none")[0][0, :, 14:24] == 3).all()


@pytest.mark.parametrize("blending", BLENDINGS)
def test_tiles_cut_from_a_scene_give_the_scene_back(make_texture, cut_tile, blending):
    scene = make_texture((3, 80, 90), seed=2)
    corners = [(0, 0), (1, 17), (16, 2), (17, 20)]
    positions = dict(zip([(0, 0), (0, 1), (1, 0), (1, 1)], corners, strict=True))
    tiles = {tile: cut_tile(scene, corner, TILE) for tile, corner in positions.items()}
    block, weight, canvas = fused(positions, tiles, blending)
    truth = scene[:, : canvas.shape_yx[0], : canvas.shape_yx[1]]
    np.testing.assert_allclose(block[:, weight > 0], truth[:, weight > 0], rtol=1e-5)


def test_a_fraction_of_a_pixel_is_interpolated():
    ramp = np.broadcast_to(np.arange(TILE[1], dtype=np.float32) + 1, (1, *TILE))
    block, weight, canvas = fused({(0, 0): (0.0, 0.25)}, {(0, 0): ramp})
    assert canvas.shape_yx == (20, 25)
    assert (weight[:, 0] == 0).all()
    assert (weight[:, 24] == 0).all()
    np.testing.assert_allclose(block[0, 0, 1:24], np.arange(1, 24) + 0.75, rtol=1e-6)


def test_places_without_data_are_filled_by_the_neighbour_alone():
    positions = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 14.0)}
    tiles = {tile: np.full((2, *TILE), 4.0, np.float32) for tile in positions}
    tiles[0, 0][:, :, 16:] = 0  # lost columns
    tiles[0, 1][:, 3, :] = 0  # a lost line
    block, weight, _ = fused(positions, tiles)
    np.testing.assert_allclose(block[:, weight > 0], 4, rtol=1e-6)
    assert (weight[3, 24:] == 0).all()
    assert (weight[3, 16:24] == 0).all()
    assert (weight[4, 16:24] > 0).all()


def test_gains_are_applied_before_blending():
    positions = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 14.0)}
    tiles = {tile: np.full((1, *TILE), 2.0, np.float32) for tile in positions}
    block, _, _ = fused(positions, tiles, gains={(0, 0): 1.5, (0, 1): 1.5})
    np.testing.assert_allclose(block, 3, rtol=1e-6)


@given(seed=st.integers(0, 100))
def test_gains_undo_a_different_brightness_of_the_tiles(seed):
    rng = np.random.default_rng(seed)
    scene = np.exp(rng.normal(0, 0.2, (60, 60))).astype(np.float32)
    positions = {(iy, ix): (16 * iy, 18 * ix) for iy in range(3) for ix in range(3)}
    factors = dict(zip(positions, np.exp(rng.normal(0, 0.08, 9)), strict=True))
    projections = {
        (iy, ix): factors[iy, ix] * scene[y : y + TILE[0], x : x + TILE[1]]
        for (iy, ix), (y, x) in positions.items()
    }
    gains = tile_gains(plan_canvas(positions, TILE), projections)
    left = np.array([gains[tile] * factors[tile] for tile in positions])
    before = np.array(list(factors.values()))
    assert left.std() / left.mean() < 0.5 * before.std() / before.mean()


def test_gains_come_from_the_specimen_and_never_through_background():
    rng = np.random.default_rng(3)
    scene = np.exp(rng.normal(0, 0.2, (140, 140))).astype(np.float32)
    scene[:, 84:] = 0
    positions = {(iy, ix): (16 * iy, 18 * ix) for iy in range(7) for ix in range(6)}
    # Bleached by half to the last tile; the camera's own signal does not bleach.
    factors = dict(zip(positions, np.geomspace(1, 0.5, len(positions)), strict=True))
    projections = {
        (iy, ix): factors[iy, ix] * scene[y : y + TILE[0], x : x + TILE[1]] + np.float32(0.02)
        for (iy, ix), (y, x) in positions.items()
    }
    gains = tile_gains(plan_canvas(positions, TILE), projections)
    inside = [tile for tile, (_, x) in positions.items() if x + TILE[1] <= 84]
    left = np.array([gains[tile] * factors[tile] for tile in inside])
    assert left.std() / left.mean() < 0.02
    # Tiles of background alone go on as the ones beside them.
    for iy in range(7):
        assert gains[iy, 5] == pytest.approx(gains[iy, 4], rel=0.08)


def test_a_single_overlap_is_no_evidence_of_a_lamp_that_drifted():
    rng = np.random.default_rng(4)
    pair = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 16.0)}
    tiles = {
        tile: np.asarray(factor * np.exp(rng.normal(0, 0.1, TILE)), np.float32)
        for tile, factor in zip(pair, (1.0, 1.4), strict=True)
    }
    assert set(tile_gains(plan_canvas(pair, TILE), tiles).values()) == {1.0}


def test_weights_that_diffuse_are_linear_between_two_tiles_and_even_where_four_meet():
    y, x = np.arange(60.0)[:, None], np.arange(60.0)[None]
    pair = diffusion_weights((60, 60), (0.0, 0.0, 0.0, 20.0), y, x)
    assert (pair[:, :40] == 1).all()
    np.testing.assert_allclose(pair[30, 40:], 1 - (np.arange(20) + 0.5) / 20, atol=0.03)
    corner = diffusion_weights((60, 60), (0.0, 20.0, 0.0, 20.0), y, x)
    assert (np.diff(corner[55]) <= 1e-9).all()
    np.testing.assert_allclose(corner, corner.T, atol=1e-9)
    all_over = diffusion_weights((60, 60), (50.0, 50.0, 50.0, 50.0), y, x)
    assert all_over.max() == 1
    assert (all_over > 0).all()


@pytest.mark.parametrize("step", [24.0, 30.0, 100.0])
def test_without_overlaps_all_gains_are_one(step):
    far = {(0, 0): (0.0, 0.0), (0, 1): (0.0, step)}
    ones = dict.fromkeys(far, np.ones(TILE, np.float32))
    assert set(tile_gains(plan_canvas(far, TILE), ones).values()) == {1.0}
    near = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 10.0)}
    dark = dict.fromkeys(near, np.zeros(TILE, np.float32))
    assert set(tile_gains(plan_canvas(near, TILE), dark).values()) == {1.0}
