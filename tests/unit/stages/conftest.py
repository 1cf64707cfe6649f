"""Inputs of stages with known truth."""

import numpy as np
import pytest

from mosaicflow.io.zarr import is_finished
from mosaicflow.stages._table import STAGES


@pytest.fixture
def mosaic(write_grid, make_texture, make_lattice):
    """A 3 x 3 mosaic whose stage jitters by a pixel: grid, truth, and the scene."""

    def make(*, slice_id=3, jitter_px=1.0, planes=12, **options):
        scene = make_texture((planes, 180, 180), seed=5)
        scene[:4] *= 0.05  # water
        nominal = make_lattice(3, 3, (44, 44))
        rng = np.random.default_rng(1)
        truth = {
            tile: tuple(np.round(np.add(p, 10 + rng.normal(0, jitter_px, 2))))
            for tile, p in nominal.items()
        }
        grid = write_grid.cut(
            scene, truth, (60, 60), reported_px=nominal, slice_id=slice_id, **options
        )
        return grid, truth, scene

    return make


@pytest.fixture
def depth_slice(write_slice_store):
    """Water over a tilted face; gel left, tissue right, both fading with depth."""

    def make(*, tilt=4.0, planes=48, side=96, **options):
        rng = np.random.default_rng(2)
        z = np.arange(planes)[:, None, None]
        x = np.arange(side)[None, None, :]
        face = 12 + tilt * x / side
        level = np.where(x < side // 2, 1.0, 5.0)
        depth = z - face
        volume = np.where(depth < 0, 0.02, level * np.exp(-np.maximum(depth, 0) / 30))
        volume = volume * rng.uniform(0.9, 1.1, (planes, side, side))
        return write_slice_store(volume, **options)

    return make


@pytest.fixture
def run():
    """Run a stage and give its output, which must be finished and have its metrics beside it."""

    def call(stage, output, **arguments):
        STAGES[stage].function(output=output, **arguments)
        assert output.suffix != ".zarr" or is_finished(output)
        assert not [p for p in output.parent.iterdir() if p.name.endswith(".tmp")]
        return output

    return call
