import numpy as np
import pytest

from mosaicflow.errors import ParameterError, QualityError
from mosaicflow.io.grids import MosaicGrid
from mosaicflow.io.report import metrics_path, read_metrics
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.stages.resample_mosaic_grid import resample_mosaic_grid

PITCH_MM = (0.004, 0.003, 0.003)


@pytest.fixture
def grid(write_grid):
    rng = np.random.default_rng(0)
    tiles = {
        (iy, ix): rng.random((10, 40, 37), np.float32) + iy for iy in (0, 1) for ix in (0, 1, 2)
    }
    del tiles[1, 1]
    return write_grid(tiles, pitch_mm=PITCH_MM, missing=[(1, 1)])


def test_the_pitch_is_the_true_one_and_the_extent_stays(grid, tmp_path):
    output = tmp_path / "out.ome.zarr"
    resample_mosaic_grid(grid=grid, output=output)
    before, after = MosaicGrid(grid), MosaicGrid(output)
    assert after.tile_shape == (4, 12, 11)
    for n, pitch, n_new, pitch_new in zip(
        before.tile_shape, before.pitch_mm, after.tile_shape, after.pitch_mm, strict=True
    ):
        assert n * pitch == pytest.approx(n_new * pitch_new)
    assert after.native_pitch_um == pytest.approx((4, 3, 3))
    assert after.tiles == before.tiles
    for tile in before.tiles:
        assert after.read(tile).mean() == pytest.approx(before.read(tile).mean(), rel=1e-5)
    report = read_metrics(metrics_path(output))
    assert report["overall_status"] == "ok"
    assert report["metrics"]["pitch_y"]["value"] == pytest.approx(10.0)
    assert report["metrics"]["pitch_x"]["value"] == pytest.approx(37 * 3 / 11)


def test_nothing_is_read_across_the_border_of_a_tile(grid, tmp_path, write_grid):
    source = MosaicGrid(grid)
    changed = {tile: source.read(tile) for tile in source.tiles}
    changed[0, 1] = changed[0, 1] + 100
    other = write_grid(changed, pitch_mm=PITCH_MM, missing=[(1, 1)], name="other.ome.zarr")
    found = []
    for path in (grid, other):
        output = tmp_path / f"out_{path.name}"
        resample_mosaic_grid(grid=path, output=output)
        found.append(MosaicGrid(output))
    for tile in source.tiles:
        same = np.array_equal(found[0].read(tile), found[1].read(tile))
        assert same == (tile != (0, 1))


def test_an_axis_that_is_coarser_keeps_its_pitch(grid, tmp_path):
    output = tmp_path / "out.ome.zarr"
    resample_mosaic_grid(grid=grid, output=output, resolution_um=3.5)
    assert MosaicGrid(output).tile_shape == (10, 34, 32)


@pytest.mark.parametrize("resolution_um", [0.0, -1.0, float("nan")])
def test_a_pitch_that_is_none_is_refused(grid, tmp_path, resolution_um):
    with pytest.raises(ParameterError, match=r"resolution_um is .*, expected a .* above 0"):
        resample_mosaic_grid(
            grid=grid, output=tmp_path / "out.ome.zarr", resolution_um=resolution_um
        )
    assert not (tmp_path / "out.ome.zarr").exists()


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_the_bytes_do_not_depend_on_the_threads(grid, tmp_path, content, flavour):
    found = []
    for threads in (1, 3):
        output = tmp_path / str(threads) / "out.ome.zarr"
        output.parent.mkdir()
        store = StoreOptions(ngff_version=flavour, n_levels=1)
        resample_mosaic_grid(grid=grid, output=output, store=store, threads=threads)
        found.append(content(output))
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*units look wrong")  # the grid was written by no stage
def test_a_pitch_at_which_tiles_are_next_to_nothing_names_one_that_fits(write_grid, tmp_path):
    """Electron images: 1.2 x 1.4 um a tile, while a run works at 10 um."""
    tile = np.random.default_rng(0).random((1, 160, 192), np.float32)
    path = write_grid({(0, 0): tile, (0, 1): tile}, pitch_mm=(25e-6, 7.5e-6, 7.5e-6))
    with pytest.raises(QualityError, match=r"would be 1 x 1 px.*resolution_um -1.*at most 0\.15"):
        resample_mosaic_grid(grid=path, output=tmp_path / "out.ome.zarr")
    resample_mosaic_grid(grid=path, output=tmp_path / "fine.ome.zarr", resolution_um=0.15)
    assert MosaicGrid(tmp_path / "fine.ome.zarr").tile_shape == (1, 8, 10)
