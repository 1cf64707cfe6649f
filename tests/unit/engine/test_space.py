"""The disk that a run takes is known before it starts."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from mosaicflow.cli.inspect import found_in
from mosaicflow.engine import run, space
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.engine.space import (
    Shares,
    Space,
    measured_shares,
    predict_space,
    refuse_too_little_space,
    space_lines,
)
from mosaicflow.errors import InputError
from mosaicflow.io.zarr.codecs import compressed_bytes

# Where the stores of each stage end up.
STORES = {
    "create_mosaic_grid": "mosaic_grids/mosaic_grid_3d_z0?.ome.zarr",
    "resample_mosaic_grid": "mosaic_grids/*_resampled.ome.zarr",
    "fix_illumination": "mosaic_grids/*_illum_fix.ome.zarr",
    "stitch_3d": "slices/stitch_3d/*.ome.zarr",
    "correct_axial": "slices/axial_corr/*.ome.zarr",
    "crop_interface": "slices/crop_interface/*.ome.zarr",
    "normalize": "slices/normalize/*.ome.zarr",
    "stack": "3d_volume.ome.zarr",
}


def on_disk(root, pattern):
    stores = root.glob(pattern)
    return sum(p.stat().st_size for store in stores for p in store.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def slices(acquisition):
    settings = Parameters.read(acquisition.params, {}).for_stage("inspect_acquisition")
    return found_in(acquisition.raw, settings).slices


def test_every_stage_takes_what_was_predicted(acquisition, finished_run, slices):
    parameters = Parameters.read(acquisition.params, {})
    shares = measured_shares(acquisition.raw, slices, parameters)
    assert shares is not None
    for one in predict_space(slices, parameters, shares):
        found = on_disk(finished_run, STORES[one.stage])
        assert one.n_bytes == pytest.approx(found, rel=0.2), one.stage


def test_tiles_that_cannot_be_read_leave_it_unknown(tmp_path, slices):
    assert measured_shares(tmp_path, slices, Parameters({})) is None


def test_settings_that_leave_stages_out_take_less(slices):
    def stages(**given):
        return {one.stage for one in predict_space(slices, Parameters(given), Shares())}

    assert stages() == set(STORES)
    assert "resample_mosaic_grid" not in stages(resolution_um=-1.0)
    assert "fix_illumination" not in stages(fix_illum_enabled=False)
    assert "correct_axial" not in stages(compensate_psf_enabled=False)


def test_a_coarser_pitch_and_a_thinner_crop_take_less(slices):
    def whole(**given):
        return sum(one.n_bytes for one in predict_space(slices, Parameters(given), Shares()))

    assert whole(resolution_um=20.0) < whole(resolution_um=10.0)
    assert whole(crop_depth_um=30.0) < whole()


def test_the_native_level_of_a_volume_counts(slices):
    def volume(**given):
        parameters = Parameters({"pyramid_resolutions": (50.0,), **given})
        return predict_space(slices, parameters, Shares())[-1].n_bytes

    assert volume(resolution_um=-1.0) > 50 * volume()


def test_fractions_made_of_whole_numbers_compress_worse():
    rng = np.random.default_rng(3)
    tile = rng.poisson(40, (1, 256, 256)).astype(np.float32)
    lit, spread = space._corrected(tile)
    native, *others = (compressed_bytes(one, "blosc") for one in (tile, lit, spread))
    assert min(others) > 1.3 * native


def test_what_cannot_fit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 << 30))
    spaces = [Space("stitch_3d", 9 << 30), Space("stack", 4 << 30)]
    with pytest.raises(InputError, match=r"10\.7 GB are free and the run takes about 14\.0 GB"):
        refuse_too_little_space(tmp_path / "not" / "there", spaces)
    refuse_too_little_space(tmp_path, spaces, there=2 << 30)  # what is there counts
    assert space_lines(spaces)[-1].split() == ["in", "all", "14.0", "GB"]


def test_a_run_that_cannot_fit_ends_before_the_first_grid(acquisition, tmp_path, monkeypatch):
    """The inspection itself asks for the grids alone; all stages take six times as much."""
    parameters = Parameters.read(acquisition.params, {})
    asked = []

    def usage(_):
        asked.append(1)
        return SimpleNamespace(free=4 << 20)

    monkeypatch.setattr(run.shutil, "disk_usage", usage)
    monkeypatch.setattr(space.shutil, "disk_usage", usage)
    root = tmp_path / "out"
    with pytest.raises(InputError, match="not enough disk"):
        run_pipeline(acquisition.raw, root, parameters, 2, "failed")
    assert asked
    assert not (root / "mosaic_grids").exists() or not list((root / "mosaic_grids").glob("*.zarr"))
