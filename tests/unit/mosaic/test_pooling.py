"""One stage for all slices: what the others know helps the slice that shows little."""

import numpy as np
import pytest

from mosaicflow.mosaic.lattice import neighbours
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.placement import solve_placement
from mosaicflow.mosaic.pooling import place_slice, pool_stage

STEP_PX = 100.0
TILE_YX = (125, 125)
TURN = np.array([[1.01, -0.03], [0.03, 0.99]])


def slice_of(seed, *, rows=5, columns=5, share=1.0, model=TURN, play_px=(0.0, 0.0), jitter_px=0.5):
    """Truth, stage and links of a slice whose overlaps show tissue in a `share` of the pairs."""
    rng = np.random.default_rng(seed)
    stage = {(iy, ix): (iy * STEP_PX, ix * STEP_PX) for iy in range(rows) for ix in range(columns)}
    truth = {
        tile: model @ np.array(at) + np.array(play_px) * (tile[0] % 2) + rng.normal(0, jitter_px, 2)
        for tile, at in stage.items()
    }
    links = [
        Link(
            a, b, tuple(truth[b] - truth[a] + rng.normal(0, 0.05, 2)), 0.9, 3.0,
            evidence=20.0, sigma_px=0.02, scatter=5.0,
        )
        for a, b in neighbours(stage)
        if rng.random() < share
    ]  # fmt: skip
    return truth, stage, links


def errors(placement, truth):
    off = np.array([placement.positions_px[t] - truth[t] for t in sorted(truth)])
    return np.linalg.norm(off - np.median(off, axis=0), axis=1)


def test_a_sparse_end_slice_gains_from_the_others():
    together, alone = [], []
    for seed in range(8):
        full = [slice_of(10 * seed + n) for n in range(4)]
        truth, stage, links = slice_of(10 * seed + 9, share=0.08)
        pooled = pool_stage([*((s, k) for _, s, k in full), (stage, links)])
        placement, decision = place_slice(links, stage, pooled, {}, TILE_YX)
        together.append(np.median(errors(placement, truth)))
        alone.append(np.median(errors(solve_placement(links, stage), truth)))
        assert decision["source"] in ("optimised", "lattice")
    assert max(together) < 1.2  # px, of a jitter of 0.5
    assert np.median(together) < 0.5 * np.median(alone)


@pytest.mark.parametrize("seed", range(3))
def test_play_between_rows_to_and_fro_is_found_and_used(seed):
    play = (0.5, 6.0)
    full = [slice_of(20 * seed + n, play_px=play) for n in range(4)]
    truth, stage, links = slice_of(20 * seed + 9, play_px=play, share=0.08)
    pooled = pool_stage([*((s, k) for _, s, k in full), (stage, links)])
    np.testing.assert_allclose(pooled.backlash_px, play, atol=0.3)  # px
    np.testing.assert_allclose(pooled.model, TURN, atol=3e-3)
    placement, _ = place_slice(links, stage, pooled, {}, TILE_YX)
    assert np.median(errors(placement, truth)) < 1.5  # px; half of the tiles are 6 px off without


def test_a_stage_without_play_is_given_none():
    slices = [slice_of(n) for n in range(6)]
    assert pool_stage([(s, k) for _, s, k in slices]).backlash_px == (0.0, 0.0)


def test_a_slice_of_a_turned_camera_keeps_its_own_model():
    full = [slice_of(n) for n in range(4)]
    truth, stage, links = slice_of(9, model=np.array([[1.0, 0.05], [-0.05, 1.0]]))
    pooled = pool_stage([*((s, k) for _, s, k in full), (stage, links)])
    placement, _ = place_slice(links, stage, pooled, {}, TILE_YX)
    np.testing.assert_allclose(placement.model, [[1.0, 0.05], [-0.05, 1.0]], atol=5e-3)
    assert errors(placement, truth).max() < 0.3  # px


def test_a_few_tiles_that_jumped_are_no_reason_to_take_the_lattice():
    """Most left-out links are explained by an exact lattice better than by noisy links."""
    truth, stage, links = slice_of(3, model=np.eye(2), jitter_px=0.0)
    jumped = {tile for tile in truth if tile >= (4, 0)}
    truth = {t: at + (30.0 if t in jumped else 0.0) for t, at in truth.items()}
    links = [
        Link(k.a, k.b, tuple(np.add(k.shift_px, 30.0)), 0.9, 3.0, evidence=20.0, sigma_px=0.02)
        if (k.b in jumped) != (k.a in jumped) else k
        for k in links
    ]  # fmt: skip
    placement, decision = place_slice(links, stage, pool_stage([(stage, links)]), {}, TILE_YX)
    assert decision["source"] == "optimised"
    assert errors(placement, truth).max() < 0.3  # px; 42 px where the lattice has them


@pytest.mark.parametrize("seed", range(3))
def test_a_stage_that_jumped_a_few_times_and_went_on_is_met(seed):
    """Each jump moves all later tiles; across it there is no overlap, so most steps are off."""
    truth, stage, links = slice_of(seed, model=np.eye(2), jitter_px=0.0)
    path = [(iy, ix if iy % 2 == 0 else 4 - ix) for iy in range(5) for ix in range(5)]
    moved = dict.fromkeys(path, np.zeros(2))
    for first, jump in ((1, (18.0, 0.0)), (11, (32.0, 2.0)), (17, (-96.0, -43.0))):
        moved |= {t: moved[t] + jump for t in path[first:]}
    truth = {t: at + moved[t] for t, at in truth.items()}
    bridges = {((2, 0), (2, 1)), ((2, 2), (3, 2))}
    kept = [
        Link(
            k.a, k.b, tuple(k.shift_px + moved[k.b] - moved[k.a]), 0.9, 3.0,
            evidence=30.0, sigma_px=0.02, scatter=5.0,
        )
        for k in links
        if np.abs(moved[k.b] - moved[k.a]).max() < 20 or (k.a, k.b) in bridges
    ]  # fmt: skip
    placement, decision = place_slice(kept, stage, pool_stage([(stage, kept)]), {}, TILE_YX)
    assert decision["source"] == "optimised"
    assert all(link.used for link in placement.links)
    assert errors(placement, truth).max() < 0.3  # px


@pytest.mark.parametrize("seed", range(4))
def test_tiles_of_an_exact_stage_are_called_measured_where_links_confirm_it(seed):
    truth, stage, links = slice_of(seed, model=np.eye(2), jitter_px=0.0)
    placement, decision = place_slice(links, stage, pool_stage([(stage, links)]), {}, TILE_YX)
    assert decision["source"] == "optimised"
    assert len(placement.measured) == len(stage)
    assert np.median(errors(placement, truth)) < 0.03  # px; links are off by 0.05 per axis


def with_an_island(seed, *, share=1.0, jump_px=0.0):
    """Place a slice of an exact stage but for two tiles that no link joins to the rest."""
    truth, stage, links = slice_of(seed, model=np.eye(2), jitter_px=0.0, share=share)
    island = {(0, 0), (0, 1)}
    far = {tile for tile in truth if tile >= (3, 0)}
    kept = [
        Link(
            k.a, k.b, tuple(np.add(k.shift_px, jump_px * ((k.b in far) - (k.a in far)))), 0.9, 3.0,
            evidence=20.0, sigma_px=0.02, scatter=5.0,
        )
        for k in links
        if len(island & {k.a, k.b}) != 1
    ]  # fmt: skip
    placement, _ = place_slice(kept, stage, pool_stage([(stage, kept)]), {}, TILE_YX)
    return placement, island


@pytest.mark.parametrize(("jump_px", "least", "most"), [(0.0, 10.0, 25.0), (40.0, 25.0, 60.0)])
def test_two_tiles_whose_overlaps_should_have_been_seen_are_not_where_the_stage_has_them(
    jump_px, least, most
):
    """Four overlaps of 25 px show nothing where all others do: the stage jumped, that far."""
    placement, island = with_an_island(2, jump_px=jump_px)
    assert set(placement.islands[1]) == island
    assert all(least < placement.sigma_px[tile] < most for tile in island)
    assert max(placement.sigma_px[tile] for tile in placement.islands[0]) < 0.1  # px


def test_where_most_overlaps_are_blank_an_island_lies_where_an_exact_stage_has_it():
    found = [with_an_island(seed, share=0.35) for seed in range(6)]
    apart = [p.sigma_px[tile] for p, island in found for tile in p.sigma_px if tile in island]
    assert np.median(apart) < 5.0  # px
