"""`fix_focal_curvature` and what `stitch_3d` does of it."""

import json

import numpy as np
import pytest

from mosaicflow.errors import QualityError
from mosaicflow.io.grids import MosaicGrid
from mosaicflow.io.report import read_metrics
from mosaicflow.io.slices import SliceVolume
from mosaicflow.io.tables import write_csv
from mosaicflow.optics.focal import curvature_terms
from mosaicflow.stages.fix_focal_curvature import fix_focal_curvature
from mosaicflow.stages.stitch_3d import stitch_3d

SIDE, DEPTH = 40, 30
PITCH_MM = (0.002, 0.01, 0.01)


def bowl(planes):
    u = np.linspace(-1 + 1 / SIDE, 1 - 1 / SIDE, SIDE)
    return np.asarray(planes * (u[:, None] ** 2 + u[None] ** 2) / 2, np.float32)


@pytest.fixture
def curved(write_grid, tmp_path):
    def make(planes):
        tile = 50 + np.arange(DEPTH, dtype=np.float32)[:, None, None] - bowl(planes)
        tiles = {(0, 0): tile, (0, 1): tile}
        grid = write_grid(tiles, slice_id=3, pitch_mm=PITCH_MM)
        known = tmp_path / "focal_curvature.json"
        known.write_text(json.dumps({"terms_um": curvature_terms(2 * bowl(planes))}))
        return grid, known

    return make


@pytest.mark.parametrize("planes", [0.6, 4.0, 12.0])
def test_a_flat_face_is_flat_in_the_fused_slice(curved, tmp_path, planes):
    grid, known = curved(planes)
    output = tmp_path / "mosaic_grid_3d_z03_focal_fix.ome.zarr"
    fix_focal_curvature(grid=grid, curvature=known, output=output)
    assert MosaicGrid(output).tile_shape[1:] == (SIDE, SIDE)
    positions = tmp_path / "p.csv"
    rows = [{"iy": 0, "ix": i, "row_px": 0, "col_px": 30 * i} for i in (0, 1)]
    write_csv(positions, ["iy", "ix", "row_px", "col_px"], rows)
    fused = tmp_path / "slice_z03_stitch_3d.ome.zarr"
    stitch_3d(grid=output, positions=positions, output=fused, stitch_gain_compensation=False)
    image = SliceVolume(fused).read((slice(0, SIDE), slice(0, SIDE + 30)))
    left = image - image.mean(axis=(1, 2), keepdims=True)
    assert np.abs(left).max() < 0.03  # planes, of up to 12
    metrics = read_metrics(tmp_path / "mosaic_grid_3d_z03_focal_fix.metrics.json")["metrics"]
    assert planes - 1.6 < metrics["planes_moved"]["value"] <= planes


def test_tiles_that_are_less_deep_than_their_bowl_are_named(curved, tmp_path):
    grid, known = curved(40.0)
    with pytest.raises(QualityError, match=r"curved by \d+ planes, tiles are 30 deep"):
        fix_focal_curvature(grid=grid, curvature=known, output=tmp_path / "o.ome.zarr")
