"""Positions for other programs: written by a run, read back, and true of the raw files."""

import numpy as np
import pytest
from tests.positions import corners_of

from mosaicflow.acquisition.place.tile_configuration import read_tile_configuration
from mosaicflow.formats.placements import parse_bdv_xml
from mosaicflow.io.tables import read_csv
from mosaicflow.simulation import preset, simulate
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.estimate_tile_positions import estimate_tile_positions
from mosaicflow.stages.inspect_acquisition import inspect_acquisition
from mosaicflow.stages.pool_tile_positions import pool_tile_positions


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    """A raw folder and the tables of its one slice."""
    folder = tmp_path_factory.mktemp("placed")
    made = simulate(folder / "sim", settings=preset("toy", n_slices=1, truth_volume=False))
    inspect_acquisition(raw=made.raw, output_dir=folder, axial_resolution_um=10.0)
    grid = folder / "mosaic_grid_3d_z00.ome.zarr"
    create_mosaic_grid(tiles=folder / "z00_tiles.json", raw=made.raw, output=grid)
    estimate_tile_positions(grid=grid, output_dir=folder)
    pool_tile_positions(
        links=(folder / "z00_tile_links.csv",),
        stages=(folder / "z00_tile_stage.json",),
        windows=(folder / "z00_tile_windows.csv",),
        tiles=(folder / "z00_tiles.json",),
        output_dir=folder,
    )
    return made.raw, folder


def table(folder):
    rows = read_csv(folder / "z00_tile_positions.csv")
    return {row["file"]: (float(row["row_px"]), float(row["col_px"])) for row in rows}


def test_each_tile_is_named_by_its_path_from_the_raw_folder(placed):
    raw, folder = placed
    assert len(table(folder)) == 4
    assert all((raw / name).exists() for name in table(folder))


@pytest.mark.parametrize("read", ["formats", "acquisition"])
def test_the_tile_configuration_gives_the_places_back(placed, read):
    _, folder = placed
    path = folder / "z00_TileConfiguration.txt"
    found = (
        {tile.name: tile.corner_px for tile in read_tile_configuration(path)}
        if read == "acquisition"
        else corners_of(path.read_text())
    )
    assert found.keys() == table(folder).keys()
    for name, place in table(folder).items():
        np.testing.assert_allclose(found[name], (0.0, *place), atol=1e-5)


def test_the_bigstitcher_project_gives_the_places_back(placed):
    _, folder = placed
    found = {t.file: t for t in parse_bdv_xml((folder / "z00_tiles.bdv.xml").read_text())}
    assert found.keys() == table(folder).keys()
    for name, place in table(folder).items():
        np.testing.assert_allclose(found[name].corner_px, (0.0, *place), atol=1e-5)
        assert found[name].shape == (40, 40, 40)
