"""The tile distortion from the windows of a slice to the straightened slice."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from mosaicflow.errors import InputError
from mosaicflow.io.report import read_metrics
from mosaicflow.io.slices import SliceVolume
from mosaicflow.io.tables import read_csv
from mosaicflow.mosaic.distortion_fit import no_distortion
from mosaicflow.mosaic.straighten import read_distortion, write_distortion
from mosaicflow.simulation.light import _without_linear
from mosaicflow.stages.estimate_tile_positions import estimate_tile_positions
from mosaicflow.stages.pool_tile_positions import pool_tile_positions
from mosaicflow.stages.stitch_3d import stitch_3d

SIDE, STEP = 160, 124


def bend(size):
    """A scan that is not even and a lens, up to `size` px, shape (2, y, x)."""
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, SIDE)], indexing="ij")
    field = _without_linear(np.stack([y * x + 0.5 * y * x**2, 0.7 * y**2 - 0.6 * x * y**2]))
    return size * field / max(np.hypot(*field).max(), 1e-9)


@pytest.fixture
def bent_mosaic(write_grid):
    def make(size):
        rng = np.random.default_rng(11)
        side = SIDE + 2 * STEP + 40
        scene = gaussian_filter(rng.standard_normal((2, side, side)), (0, 1.5, 1.5))
        scene = np.asarray(100 * np.exp(0.3 * scene / scene.std()), np.float32)
        y, x = np.indices((SIDE, SIDE)) + bend(size)
        tiles, truth = {}, {}
        for iy in range(3):
            for ix in range(3):
                corner = np.array([iy, ix]) * STEP + rng.uniform(-3, 3, 2) + 10
                truth[iy, ix] = tuple(corner)
                at = [y + corner[0], x + corner[1]]
                tiles[iy, ix] = np.stack([map_coordinates(p, at, order=3) for p in scene])
        nominal = {tile: (STEP * tile[0], STEP * tile[1]) for tile in tiles}
        return write_grid(tiles, slice_id=3, reported_px=nominal), truth, scene

    return make


def placed(grid, folder, distortion="auto"):
    folder.mkdir()
    estimate_tile_positions(grid=grid, output_dir=folder)
    pool_tile_positions(
        links=tuple(folder.glob("*_tile_links.csv")),
        stages=tuple(folder.glob("*_tile_stage.json")),
        windows=tuple(folder.glob("*_tile_windows.csv")),
        tiles=(),
        output_dir=folder,
        distortion=distortion,
    )
    return folder


def errors(folder, truth):
    found = {
        (int(r["iy"]), int(r["ix"])): (float(r["row_px"]), float(r["col_px"]))
        for r in read_csv(folder / "z03_tile_positions.csv")
    }
    off = np.array([np.subtract(found[t], truth[t]) for t in truth])
    return np.hypot(*(off - np.median(off, axis=0)).T)


def test_tiles_that_a_lens_bends_are_straightened_and_fit(bent_mosaic, tmp_path):
    grid, truth, scene = bent_mosaic(2.0)
    rigid, folder = placed(grid, tmp_path / "none", "none"), placed(grid, tmp_path / "auto")
    error = read_distortion(folder / "tile_distortion.csv").images((SIDE, SIDE), (1, 1)) - bend(2.0)
    assert np.sqrt((error**2).sum(axis=0).mean()) < 0.15  # px, of 0.8 px
    assert errors(folder, truth).max() < 0.15 < errors(rigid, truth).max()
    assert (folder / "tile_distortion.png").is_file()
    metrics = read_metrics(folder / "stage_model.metrics.json")["metrics"]
    assert metrics["distortion_used"]["value"] is True
    assert metrics["seam_departure_after"]["value"] < metrics["seam_departure_before"]["value"]
    noise = []
    for given in (folder, rigid):
        output = tmp_path / f"{given.name}.ome.zarr"
        stitch_3d(
            grid=grid,
            positions=given / "z03_tile_positions.csv",
            distortion=given / "tile_distortion.csv",
            output=output,
            stitch_gain_compensation=False,
        )
        fused = SliceVolume(output)
        first = np.array(fused.attrs["canvas_origin_px"]) + np.median(
            [np.subtract(truth[t], at) for t, at in _positions(given).items()], axis=0
        )
        cut = fused.read((slice(20, 380), slice(20, 380)))[0]
        y, x = np.indices(cut.shape)
        true = map_coordinates(scene[0], [y + 20 + first[0], x + 20 + first[1]], order=1)
        noise.append(float(np.abs(cut / true - 1).mean()))
    assert noise[0] < 0.5 * noise[1]


def _positions(folder):
    return {
        (int(r["iy"]), int(r["ix"])): (float(r["row_px"]), float(r["col_px"]))
        for r in read_csv(folder / "z03_tile_positions.csv")
    }


def test_straight_tiles_are_not_bent_and_a_given_field_is_used(bent_mosaic, tmp_path):
    grid, _, _ = bent_mosaic(0.0)
    folder = placed(grid, tmp_path / "auto")
    assert not read_distortion(folder / "tile_distortion.csv").kept
    table = tmp_path / "known.csv"
    grid_of = no_distortion((SIDE, SIDE))
    y, x = np.meshgrid(grid_of.rows_px, grid_of.columns_px, indexing="ij")
    write_distortion(
        table, type(grid_of)(grid_of.rows_px, grid_of.columns_px, np.stack([y, x]) / 100)
    )
    given = placed(grid, tmp_path / "given", table)
    assert read_distortion(given / "tile_distortion.csv").largest_px == pytest.approx(
        2.25, abs=0.02
    )


def test_a_table_with_gaps_or_for_other_tiles_is_named(bent_mosaic, tmp_path):
    table = tmp_path / "d.csv"
    table.write_text("row_px,col_px,dy_px,dx_px\n0,0,1,1\n0,9,1,1\n9,0,1,1\n")
    with pytest.raises(InputError, match=r"d\.csv: 3 rows for 2 x 2 places"):
        read_distortion(table)
    table.write_text("row_px,col_px,dy_px,dx_px\n0,0,1,far\n")
    with pytest.raises(InputError, match=r"expected numbers in row_px"):
        read_distortion(table)
    write_distortion(table, no_distortion((80, 90)))
    grid, _, _ = bent_mosaic(0.0)
    with pytest.raises(InputError, match=r"spans 80 x 90 px .* the tiles are 160 x 160 px"):
        placed(grid, tmp_path / "wrong", table)
