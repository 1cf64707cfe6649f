"""Stages that err as real ones do, and what is said of tiles placed on them."""

import numpy as np
import pytest

from mosaicflow.io.tables import write_csv
from mosaicflow.simulation import evaluate, preset, simulate
from mosaicflow.simulation.plan import make_plan
from mosaicflow.simulation.specimen import Box, ProceduralSpecimen

COLUMNS = ("iy", "ix", "row_px", "col_px", "valid", "source", "sigma_px", "island")
LINKS = ("iy_a", "ix_a", "iy_b", "ix_b", "dy_px", "dx_px", "sigma_px", "used")


def missed_px(**changes):
    """By how much tiles miss their reported places, in the order in which they are visited."""
    settings = preset("ideal", n_slices=1, truth_volume=False, **changes)
    plan = make_plan(settings)
    rows, columns = settings.lattice.grid
    zero = np.array([20.0, 31.0])
    found = np.array(
        [
            np.array(t.centre_um) - 1000 * plan.camera @ (np.array(t.reported_mm) - zero)
            for t in plan.slices[0].tiles
        ]
    ).reshape(rows, columns, 2) / np.array(settings.lattice.pitch_um[1:])
    found[1::2] = found[1::2, ::-1].copy()
    return found.reshape(-1, 2)


@pytest.mark.parametrize("kind", ["jitter", "walk", "jumps"])
@pytest.mark.parametrize("size_px", [5.0, 60.0])
def test_tiles_miss_by_as_much_as_asked_whatever_the_kind(kind, size_px):
    found = [missed_px(grid=(8, 8), jitter_px=size_px, stage_error=kind, seed=s) for s in range(9)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(size_px, rel=0.2)


def test_steps_of_a_walk_are_small_and_jumps_are_rare():
    def steps(kind):
        return np.abs(np.diff(missed_px(grid=(8, 8), jitter_px=20.0, stage_error=kind), axis=0))

    assert np.median(steps("walk")) < 0.3 * np.median(steps("jitter"))
    assert 0.7 < np.mean(steps("jumps").max(axis=1) < 0.01) < 0.95


def tissue(kind, **options):
    settings = preset("ideal", tissue=kind, **options)
    specimen = ProceduralSpecimen((10.0,) * 3, (2000.0, 2000.0), settings.specimen, 3)
    return specimen.block(Box((5, -90, -90), (1, 180, 180)))[..., 0]


def test_a_periodic_grain_is_told_apart_by_vessels_and_layers_only():
    def likeness(image, shift):
        return np.corrcoef(image[:, shift:].ravel(), image[:, :-shift].ravel())[0, 1]

    assert likeness(tissue("periodic"), 14) > 0.7 > likeness(tissue("periodic"), 7) + 0.15
    assert likeness(tissue("block"), 14) < 0.5
    assert likeness(tissue("periodic"), 14) < 0.999


def test_cores_are_round_and_lie_in_gel():
    image = tissue("cores", texture_contrast=0.0, vessel_contrast=0.0)
    share = np.mean(image > 0.3)
    assert share == pytest.approx(np.pi * 34**2 / 90**2, rel=0.1)
    np.testing.assert_allclose(image[image < 0.16], 0.15, atol=0.01)


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    settings = preset(
        "toy", n_slices=1, grid=(2, 4), tissue_fill=3.0, jitter_px=0.0, lattice_rotation_deg=0.0
    )
    return simulate(tmp_path_factory.mktemp("sim") / "toy", settings=settings)


def run(acquisition, folder, off_px=(), **columns):
    """Write what a run would: true places, but for some tiles; `columns` by tile."""
    rows = []
    for tile in acquisition.plan.slices[0].tiles:
        index = (tile.iy, tile.ix)
        y, x = np.array(tile.centre_um) / 10 - 19.5 + dict(off_px).get(index, (0, 0))
        row = {"iy": tile.iy, "ix": tile.ix, "row_px": y, "col_px": x, "valid": True}
        given = {name: values.get(index) for name, values in columns.items()}
        rows.append({**row, "source": "optimised", "sigma_px": 0.1, "island": 0, **given})
    write_csv(folder / "z00_tile_positions.csv", COLUMNS, rows)
    return evaluate(folder, acquisition.truth).placement[0]


def test_perfect_places_are_due_met_and_true(acquisition, tmp_path):
    found = run(acquisition, tmp_path)
    assert (found.n_tiles, found.n_due, found.n_due_by_evidence, found.n_evidence) == (8,) * 4
    assert found.share_by_evidence == 1
    assert found.evidence_worst_px < 1e-9
    assert found.false_tiles == found.missed_tiles == ()
    assert found.n_islands == 0
    assert np.isnan(found.stage_worst_px)
    assert np.isnan(found.link_calibration)


def test_a_tile_called_measured_that_is_off_is_named(acquisition, tmp_path):
    found = run(acquisition, tmp_path, {(1, 2): (3.0, 4.0)}.items())
    assert found.false_tiles == ("0/1/2",)
    assert found.evidence_worst_px == pytest.approx(5)
    assert found.tile_calibration == pytest.approx(np.sqrt(25 / 16) / 0.1)


def test_a_tile_of_the_stage_may_be_off_but_was_due(acquisition, tmp_path):
    found = run(
        acquisition, tmp_path, {(0, 0): (30.0, 40.0)}.items(),
        source={(0, 0): "lattice", **dict.fromkeys(list(np.ndindex(2, 4))[1:], "optimised")},
        island={(0, 0): 1, **dict.fromkeys(list(np.ndindex(2, 4))[1:], 0)},
    )  # fmt: skip
    assert found.false_tiles == ()
    assert found.missed_tiles == ("0/0/0",)
    assert found.stage_worst_px == pytest.approx(50)
    assert found.evidence_worst_px < 1e-9
    assert found.n_islands == 1


def test_links_are_weighed_by_the_error_they_claim(acquisition, tmp_path):
    row = dict(zip(LINKS, (0, 0, 0, 1, 0.0, 28.0 + 0.3, 0.1, True), strict=True))
    unused = {**row, "dx_px": 90.0, "used": False}
    write_csv(tmp_path / "z00_link_residuals.csv", LINKS, [row, unused])
    assert run(acquisition, tmp_path).link_calibration == pytest.approx(3 / np.sqrt(2))


def test_tiles_of_gel_are_not_due(tmp_path):
    settings = preset("toy", n_slices=1, grid=(2, 4), tissue_fill=0.3, jitter_px=0.0)
    made = simulate(tmp_path / "sim", settings=settings)
    found = run(made, tmp_path)
    assert 0 < found.n_due < 8
    assert found.n_tiles == 8
