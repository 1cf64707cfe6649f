"""Light and lenses that no low-order polynomial describes, and the errors of a run about them."""

import numpy as np
import pytest

from mosaicflow.io.tables import write_csv
from mosaicflow.simulation import evaluate, preset, simulate
from mosaicflow.simulation.light import (
    dark_field,
    field_change,
    flat_field,
    sunk_um,
    tile_brightness,
    tile_distortion,
)
from mosaicflow.simulation.plan import make_plan
from mosaicflow.simulation.render import render_tile
from mosaicflow.simulation.specimen import ProceduralSpecimen
from mosaicflow.simulation.volume import open_specimen

PLAIN = {"grid": (1, 2), "n_slices": 3, "tile_shape": (30, 40, 44), "tissue_fill": 0.01}


def image(settings, number=0, tile=0):
    """One tile (z, y, x) of gel alone."""
    plan = make_plan(settings)
    tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
    piece = plan.slices[number]
    return render_tile(plan, piece, piece.tiles[tile], tissue)[::-1, ::-1].transpose(2, 1, 0)


def log_share(bright, plain):
    return np.log(bright[-1] / plain[-1])


def test_a_rough_field_is_out_of_reach_of_low_orders():
    settings = preset("ideal", **PLAIN, rough=0.05)
    logs = np.log(flat_field(settings)).astype(float)
    assert logs.std() == pytest.approx(0.05, rel=0.02)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in logs.shape), indexing="ij")
    design = np.stack([y**i * x**j for i in range(5) for j in range(5 - i)]).reshape(15, -1)
    fit = design.T @ np.linalg.lstsq(design.T, logs.ravel(), rcond=None)[0]
    assert np.std(logs.ravel() - fit) > 0.005


def test_shading_changes_with_depth_and_from_slice_to_slice_as_the_truth_says():
    plain = preset("ideal", **PLAIN, agarose=0.5)
    deep = plain.changed(shading_depth=0.1)
    np.testing.assert_allclose(
        log_share(image(deep), image(plain)), 0.1 * field_change(deep), atol=2e-5
    )
    late = plain.changed(shading_drift=0.1)
    for number, time in ((0, -1), (1, 0), (2, 1)):
        found = log_share(image(late, number), image(plain, number))
        np.testing.assert_allclose(found, 0.1 * time * field_change(late), atol=2e-5)


def test_the_dark_signal_adds_and_bleaching_multiplies():
    plain = preset("ideal", **PLAIN, agarose=0.5)
    dark = plain.changed(dark_offset=0.1)
    np.testing.assert_allclose(
        image(dark) - image(plain), np.broadcast_to(dark_field(dark), (30, 40, 44)), atol=1e-6
    )
    bleached = plain.changed(bleaching=0.3)
    np.testing.assert_allclose(image(bleached, 0, 1)[-1] / image(plain, 0, 1)[-1], 0.7, rtol=1e-5)
    assert tile_brightness(bleached, make_plan(bleached).slices[0], 0, 0) == 1


def test_dust_shades_a_small_part_of_the_tile():
    clean, dusty = (flat_field(preset("ideal", **PLAIN, dust=n)) for n in (0, 4))
    shade = dusty / clean / np.median(dusty / clean)
    assert shade.min() < 0.8
    assert (shade < 0.95).mean() < 0.1


def test_a_distortion_has_no_mean_and_no_linear_part():
    settings = preset("ideal", **PLAIN, scan_distortion_px=3.0, lens_distortion_px=2.0)
    field = tile_distortion(settings)
    y, x = (np.linspace(-1, 1, n) for n in field.shape[1:])
    for part in field:
        assert abs(part.mean()) < 1e-9
        assert abs((part * y[:, None]).mean()) < 1e-9
        assert abs((part * x).mean()) < 1e-9
    assert np.hypot(*field).max() > 2


def test_what_is_seen_at_p_belongs_at_p_plus_d(tmp_path):
    values = np.broadcast_to(np.arange(80, dtype=np.float32), (40, 80, 80)) / 100
    path = tmp_path / "ramp.npy"
    np.save(path, np.ascontiguousarray(values))
    ramp = preset(
        "ideal",
        volume=path,
        volume_spacing_um=(10.0, 10.0, 10.0),
        volume_white=1.0,
        agarose=0.0,
        grid=(1, 1),
        n_slices=1,
        tile_shape=(30, 40, 44),
        truth_volume=False,
    )
    bent = ramp.changed(scan_distortion_px=2.0)
    plan = make_plan(ramp)
    tissue = open_specimen(ramp.specimen)
    one, two = (
        render_tile(make_plan(s), plan.slices[0], plan.slices[0].tiles[0], tissue)[
            ::-1, ::-1
        ].transpose(2, 1, 0)[20]
        for s in (ramp, bent)
    )
    np.testing.assert_allclose((two - one) * 100, tile_distortion(bent)[1], atol=1e-3)


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    settings = preset(
        "toy", field_curvature_um=40.0, scan_distortion_px=2.0, shading_depth=0.1, rough=0.04
    ).changed(truth_volume=False)
    return simulate(tmp_path_factory.mktemp("bent") / "sim", settings=settings)


def _write(run, settings, *, share=1.0):
    run.mkdir()
    np.savez(
        run / "illumination.npz",
        flatfield=flat_field(settings),
        depth_change=settings.light.shading_depth * field_change(settings),
        curvature_um=share * sunk_um(settings),
    )
    (run / "mosaic_grid_3d_z00_focal_fix.ome.zarr").mkdir()
    field = share * tile_distortion(settings)
    rows = [
        {"row_px": y, "col_px": x, "dy_px": field[0, y, x], "dx_px": field[1, y, x] + 0.01 * x}
        for y in range(0, 40, 3)
        for x in range(0, 40, 3)
    ]
    write_csv(run / "tile_distortion.csv", ("row_px", "col_px", "dy_px", "dx_px"), rows)
    return run


def test_a_run_that_found_the_optics_has_no_error_and_half_of_it_leaves_half(bent, tmp_path):
    settings = bent.plan.settings
    exact = evaluate(_write(tmp_path / "exact", settings), bent.truth)
    assert exact.flatfield.rms_percent < 1e-3
    assert exact.flatfield.rms_percent_deepest < 1e-3
    assert exact.distortion.rms_px < 0.02  # a table on every third pixel is interpolated
    assert exact.distortion.rms_px_uncorrected > 0.4
    assert exact.curvature.left_percent < 1e-3
    half = evaluate(_write(tmp_path / "half", settings, share=0.5), bent.truth)
    assert half.curvature.left_percent == pytest.approx(50, abs=0.1)
    assert half.distortion.rms_px == pytest.approx(exact.distortion.rms_px_uncorrected / 2, rel=0.1)


def test_a_curvature_that_was_not_taken_off_is_left(bent, tmp_path):
    run = _write(tmp_path / "run", bent.plan.settings)
    (run / "mosaic_grid_3d_z00_focal_fix.ome.zarr").rmdir()
    result = evaluate(run, bent.truth)
    assert result.curvature.left_percent == pytest.approx(100)
    assert result.curvature.true_um == pytest.approx(40, rel=0.01)
