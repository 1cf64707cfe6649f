import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from mosaicflow.mosaic import straighten
from mosaicflow.mosaic.distortion import TileDistortion
from mosaicflow.mosaic.distortion_fit import (
    DistortionFit,
    fit_distortion,
    no_distortion,
    straightened,
)
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.sampling import Span, TileWarp, sample_tile
from mosaicflow.mosaic.seam_windows import SeamWindow, measure_windows
from mosaicflow.mosaic.tile_basis import FieldBasis

TILE = (200, 240)


def one_by_one(function, items):
    return list(map(function, items))


def field(terms, shape=TILE):
    """A displacement whose terms of order two and three are given, shape (2, terms)."""
    basis = FieldBasis(3, shape, least=2)
    grid = no_distortion(shape)
    y, x = np.meshgrid(grid.rows_px, grid.columns_px, indexing="ij")
    shift = (np.asarray(terms) @ basis.at(y.ravel(), x.ravel())).reshape(2, *y.shape)
    return TileDistortion(grid.rows_px, grid.columns_px, shift)


def windows_of(distortion, rng, *, noise=0.02, lattice=(4, 4), step=(160, 190)):
    """Windows along all seams of a lattice, as a microscope with that distortion shows them."""
    found = []
    for iy in range(lattice[0]):
        for ix in range(lattice[1]):
            for down in (True, False):
                other = (iy + down, ix + (not down))
                if other[0] == lattice[0] or other[1] == lattice[1]:
                    continue
                d = np.array([step[0] * down, step[1] * (not down)]) + rng.normal(0, 3, 2)
                low, high = np.maximum(0, d), np.minimum(TILE, TILE + d)
                for at in rng.uniform(low + 8, high - 8, (12, 2)):
                    there = at - d
                    bend = [distortion.at(p[:1], p[1:])[:, 0] for p in (at, there)]
                    shift = d + bend[1] - bend[0] + rng.normal(0, noise, 2)
                    found.append(
                        SeamWindow(
                            (iy, ix), other, tuple(at), tuple(there), tuple(shift), noise, 0.9
                        )
                    )
    return found


def test_a_distortion_that_all_tiles_share_is_found_from_their_seams():
    rng = np.random.default_rng(1)
    terms = rng.normal(0, 0.5, (2, 7))
    fit = fit_distortion([windows_of(field(terms), rng) for _ in range(3)], TILE)
    assert fit.distortion.kept
    assert fit.after_px < 0.1 * fit.before_px
    error = fit.distortion.shift_px - field(terms).shift_px
    # What overlaps hardly see is said to be uncertain, not left out of the error.
    assert np.sqrt((error**2).sum(axis=0).mean()) < max(0.05, 3 * fit.error_px)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.01, 0.5))
def test_tiles_that_are_not_bent_are_left_as_they_are(seed, noise):
    rng = np.random.default_rng(seed)
    fit = fit_distortion([windows_of(no_distortion(TILE), rng, noise=noise)], TILE)
    assert not fit.distortion.kept


def test_what_overlaps_hardly_see_is_said_to_be_in_doubt():
    """A scan: its cubic along the steps moves all links alike and hardly shows inside a seam."""
    rng = np.random.default_rng(8)
    terms = np.zeros((2, 7))
    terms[1, :2] = 0.7, 0.18
    truth = field(terms)
    fit = fit_distortion([windows_of(truth, rng, noise=0.15)], TILE)
    off = fit.distortion.shift_px - truth.shift_px
    error = np.sqrt((off**2).sum(axis=0).mean())
    assert 0.3 < error / fit.error_px < 2.0
    # What it adds to every link to the right, over the middle of the overlap.
    wrong = TileDistortion(truth.rows_px, truth.columns_px, off)
    there = np.linspace(8, TILE[0] - 8, 30), np.full(30, TILE[1] * 0.9)
    bend = (wrong.at(*there) - wrong.at(there[0], there[1] - TILE[1] * 0.8)).mean(axis=1)
    assert np.abs(bend).max() < 2.5 * fit.common_px(TILE, (0.0, TILE[1] * 0.8))
    assert fit.common_px(TILE, (0.0, TILE[1] * 0.8)) > 0.01


def looks(monkeypatch, distortion, seed):
    """Windows that the first look at a slice leads to, and what they tell."""
    every = windows_of(distortion, np.random.default_rng(seed), noise=0.25)
    monkeypatch.setattr(
        straighten, "measure_windows", lambda _links, _logs, _all, most: every[:: 400 // most]
    )
    found = straighten.seam_windows([], None, TILE, one_by_one)
    return len(found) == len(every), fit_distortion([found], TILE)


def test_a_weak_lens_that_few_windows_hint_at_is_looked_at_again(monkeypatch):
    """Whether few windows are sure of it is chance."""
    terms = np.array([[0.15, -0.1, 0.12, 0, 0, 0, 0], [0.1, 0.12, -0.15, 0, 0, 0, 0]])
    weak = field(0.5 * terms)  # a quarter of the windows is sure of it in three cases of twelve
    found = [looks(monkeypatch, weak, seed) for seed in range(12)]
    assert sum(fit.distortion.kept for again, fit in found if again) >= 11


def test_straight_tiles_are_hardly_ever_looked_at_again(monkeypatch):
    found = [looks(monkeypatch, no_distortion(TILE), seed) for seed in range(12)]
    assert sum(again for again, _ in found) <= 3
    assert not any(fit.distortion.kept for _, fit in found)


def test_wrong_windows_do_not_bend_the_tiles():
    rng = np.random.default_rng(4)
    terms = rng.normal(0, 0.5, (2, 7))
    found = windows_of(field(terms), rng)
    wrong = [
        w
        if rng.random() > 0.15
        else SeamWindow(
            w.a, w.b, w.at_a, w.at_b, tuple(np.add(w.shift_px, rng.uniform(-8, 8, 2))), 0.02, 0.5
        )
        for w in found
    ]
    fit = fit_distortion([wrong], TILE)
    clean = fit_distortion([found], TILE)
    assert np.abs(fit.distortion.shift_px - clean.distortion.shift_px).max() < 0.15


def test_too_few_seams_tell_nothing():
    rng = np.random.default_rng(2)
    fit = fit_distortion([windows_of(field(np.ones((2, 7))), rng, lattice=(1, 3))], TILE)
    assert not fit.distortion.kept
    assert np.isnan(fit.before_px)


def test_straightened_links_are_the_steps_of_the_stage():
    rng = np.random.default_rng(3)
    truth = field(rng.normal(0, 0.7, (2, 7)))
    windows = windows_of(truth, rng, noise=0.01)
    by_seam = {}
    for w in windows:
        by_seam.setdefault((w.a, w.b), []).append(w)
    links, steps = [], []
    for (a, b), mine in by_seam.items():
        d = np.subtract(mine[0].at_a, mine[0].at_b)
        steps.append(d)
        links.append(Link(a, b, tuple(np.mean([w.shift_px for w in mine], axis=0)), 0.9, 3.0))
    before = np.array([k.shift_px for k in links]) - steps
    straight = straightened(links, windows, DistortionFit(truth, 0, 0), TILE)
    after = np.array([k.shift_px for k in straight]) - steps
    assert np.abs(before).max() > 1
    assert np.abs(after).max() < 0.02


def bent_tiles(truth, rng, step):
    """Two tiles that look through a bent lens at one speckled plane."""
    scene = gaussian_filter(rng.standard_normal((TILE[0] + 40, TILE[1] + step + 40)), 1.5)
    y, x = np.indices(TILE).astype(float)
    d = truth.images(TILE, (1.0, 1.0))
    return [
        np.asarray(
            map_coordinates(scene, [20 + y + d[0], 20 + first + x + d[1]], order=3)[None],
            np.float32,
        )
        for first in (0, step)
    ]


def test_windows_show_how_a_lens_bends_the_seam():
    rng = np.random.default_rng(5)
    truth = field(rng.normal(0, 0.15, (2, 7)))
    first, second = bent_tiles(truth, rng, 190)
    tiles = {(0, 0): first, (0, 1): second}
    link = Link((0, 0), (0, 1), (0.0, 190.0), 0.9, 3.0)
    found = measure_windows([link], tiles.__getitem__, one_by_one, 60)
    assert len(found) >= 8
    for w in found:
        here, there = (truth.at(np.array(p[:1]), np.array(p[1:]))[:, 0] for p in (w.at_a, w.at_b))
        # A window averages the bend over 25 px.
        np.testing.assert_allclose(w.shift_px, there - here + [0, 190], atol=0.12)


def test_a_straightened_tile_shows_everything_where_it_belongs():
    truth = field(np.random.default_rng(6).normal(0, 0.5, (2, 7)))
    d = truth.images(TILE, (1.0, 1.0))
    y, x = np.indices(TILE).astype(float)
    # Brightness says the place that is seen.
    tile = np.stack([y + d[0], x + d[1]]).astype(np.float32) + 100
    spans = (Span.of(0.25, TILE[0], slice(0, 300)), Span.of(3.5, TILE[1], slice(20, 200)))
    sample = sample_tile(tile, spans, TileWarp.of(d, None))
    seen = sample.planes(0, 2) - 100
    place = [s.coordinates for s in spans]
    inner = sample.known
    assert inner[10:-10, 10:-10].all()
    for plane, at in zip(seen, np.meshgrid(*place, indexing="ij"), strict=True):
        assert np.abs(plane - at)[inner].max() < 0.03  # px, between pixels of a curve


def test_columns_are_lifted_by_a_part_of_a_plane():
    sink = np.full((4, 5), 0.25, np.float32)
    tile = np.broadcast_to(np.arange(1, 7, dtype=np.float32)[:, None, None], (6, 4, 5))
    spans = (Span.of(0.0, 4, slice(0, 4)), Span.of(0.0, 5, slice(0, 5)))
    sample = sample_tile(tile, spans, TileWarp(None, sink))
    np.testing.assert_allclose(sample.planes(0, 5)[:, 0, 0], np.arange(1, 6) + 0.25)
    np.testing.assert_allclose(sample.planes(4, 6)[:, 0, 0], [5.25, 6.0])


def test_a_field_at_another_pitch_is_the_same_field():
    truth = field(np.random.default_rng(8).normal(0, 0.8, (2, 7)))
    fine = truth.images(TILE, (1.0, 1.0))
    coarse = truth.images((100, 120), (0.5, 0.5))
    means = fine.reshape(2, 100, 2, 120, 2).mean(axis=(2, 4)) / 2
    np.testing.assert_allclose(coarse, means, atol=1e-3)


def test_a_field_knows_the_size_of_its_tiles():
    assert field(np.ones((2, 7))).spans(TILE)
    assert not field(np.ones((2, 7))).spans(TILE[::-1])
