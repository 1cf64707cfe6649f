"""`estimate_illumination` and `fix_illumination`."""

import numpy as np
import pytest

from mosaicflow.errors import FormatError
from mosaicflow.io.flatfields import load_flat_field
from mosaicflow.io.grids import MosaicGrid
from mosaicflow.io.report import metrics_path, read_metrics
from mosaicflow.simulation import preset, simulate
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.estimate_illumination import estimate_illumination
from mosaicflow.stages.fix_illumination import fix_illumination
from mosaicflow.stages.inspect_acquisition import inspect_acquisition

SIDE = 48


def lens():
    y, x = (axis / (SIDE - 1) * 2 - 1 for axis in np.indices((SIDE, SIDE)))
    field = 1 - 0.15 * ((y - 0.2) ** 2 + 0.6 * (x + 0.1) ** 2) + 0.05 * x
    return (field / field.mean()).astype(np.float32)


@pytest.fixture
def shaded_grids(write_grid, make_texture, make_lattice, cut_tile):
    def make(field, n=4, n_grids=2):
        paths = []
        for slice_id in range(n_grids):
            scene = make_texture((4, 200, 200), slice_id, sigma_px=4.0)
            positions = make_lattice(n, n, (36, 36))
            tiles = {t: cut_tile(scene, p, (SIDE, SIDE)) * field for t, p in positions.items()}
            paths.append(write_grid(tiles, reported_px=positions, slice_id=slice_id))
        return tuple(paths)

    return make


def test_the_flat_field_is_recovered_from_the_tiles(shaded_grids, tmp_path):
    output = tmp_path / "illumination.npz"
    estimate_illumination(grids=shaded_grids(lens()), output=output)
    gain = load_flat_field(output).gain
    assert np.sqrt(np.mean((gain / lens() - 1) ** 2)) <= 0.007
    report = read_metrics(metrics_path(output))
    assert report["overall_status"] == "ok"
    metrics = report["metrics"]
    assert metrics["overlap_residual_after"]["value"] < metrics["overlap_residual_before"]["value"]
    assert metrics["n_tiles"]["value"] == 32
    assert metrics["n_overlaps"]["value"] == 48


def test_structure_as_fine_as_a_tenth_of_a_tile_is_found(tmp_path):
    """With terms that are too coarse it passes for what overlaps hardly see: 4.4 % were left."""
    layout = {"n_slices": 1, "grid": (5, 5), "tile_shape": (24, 160, 160), "water_um": 20.0}
    light = {"rough": 0.04, "rough_scale": 0.08, "pitch_um": (10.0, 10.0, 10.0)}
    made = simulate(tmp_path / "sim", settings=preset("demo", seed=941, **layout, **light))
    inspect_acquisition(raw=made.raw, output_dir=tmp_path, axial_resolution_um=10.0)
    grid, output = tmp_path / "mosaic_grid_3d_z00.ome.zarr", tmp_path / "illumination.npz"
    create_mosaic_grid(tiles=tmp_path / "z00_tiles.json", raw=made.raw, output=grid)
    estimate_illumination(grids=(grid,), output=output)
    true = np.load(made.truth / "flatfield.npy")
    gain = load_flat_field(output).gain
    error = 100 * np.sqrt(np.mean((gain / true * true.mean() - 1) ** 2))
    assert error <= 2.5  # %
    said = read_metrics(metrics_path(output))["metrics"]["flat_field_error"]["value"]
    assert 0.5 < said / error < 2


def test_without_shading_the_field_is_one_and_a_warning_says_so(shaded_grids, tmp_path):
    output = tmp_path / "illumination.npz"
    estimate_illumination(grids=shaded_grids(np.float32(1)), output=output)
    assert (load_flat_field(output).gain == 1).all()
    report = read_metrics(metrics_path(output))
    assert report["metrics"]["method"]["value"] == "none"
    assert "the tiles stay as they are" in report["warnings"][0]


def test_the_bytes_depend_neither_on_threads_nor_on_order(shaded_grids, tmp_path):
    grids = shaded_grids(lens(), n=3)
    found = []
    for threads, order in ((1, grids), (2, grids[::-1])):
        output = tmp_path / f"{threads}.npz"
        estimate_illumination(grids=order, output=output, threads=threads)
        found.append(output.read_bytes())
    assert found[0] == found[1]


def test_tiles_that_say_nothing_stay_as_they_are(write_grid, tmp_path):
    grid = write_grid({(0, 0): np.full((4, 20, 20), 7.0), (0, 1): np.zeros((4, 20, 20))})
    estimate_illumination(grids=(grid,), output=tmp_path / "illumination.npz")
    fix_illumination(
        grid=grid, illumination=tmp_path / "illumination.npz", output=tmp_path / "lit.ome.zarr"
    )
    assert np.all(MosaicGrid(tmp_path / "lit.ome.zarr").read((0, 0)) == 7.0)
    told = read_metrics(tmp_path / "illumination.metrics.json")
    assert told["overall_status"] == "warning"
    assert told["warnings"][0].startswith("none of 2 tiles in 1 grids has contrast")
    assert told["metrics"]["method"]["value"] == "none"


def test_a_slice_with_other_tiles_leaves_the_field_to_the_others(
    shaded_grids, write_grid, tmp_path
):
    grids = shaded_grids(lens(), n=2, n_grids=2)
    tiles = {(0, i): np.random.default_rng(i).random((4, 20, 22)) for i in range(2)}
    odd = write_grid(tiles, slice_id=7, pitch_mm=(0.01, 0.01, 0.0105))
    found = []
    for name, inputs in (("with", (*grids, odd)), ("without", tuple(grids))):
        output = tmp_path / f"{name}.npz"
        estimate_illumination(grids=inputs, output=output)
        with np.load(output) as field:
            found.append(field["flatfield"])
    assert found[0].shape == (SIDE, SIDE)
    np.testing.assert_allclose(found[0], found[1], rtol=0.02)


def test_a_camera_that_stood_still_tells_its_picture_once(shaded_grids, write_grid, tmp_path):
    grids = shaded_grids(lens(), n=4, n_grids=1)
    still = MosaicGrid(grids[0]).read((0, 0))
    lattice = {(y, x): (36.0 * y, 36.0 * x) for y in range(4) for x in range(4)}
    frozen = write_grid(dict.fromkeys(lattice, still), reported_px=lattice, slice_id=5)
    output = tmp_path / "illumination.npz"
    estimate_illumination(grids=(*grids, frozen), output=output)
    gain = load_flat_field(output).gain
    assert np.sqrt(np.mean((gain / lens() - 1) ** 2)) <= 0.01
    report = read_metrics(metrics_path(output))
    assert report["warnings"] == [
        "slice 5: 16 of all 32 tiles show exactly the picture of another tile: each picture counts"
        " once for the flat field"
    ]


def test_dividing_by_the_field_gives_the_tissue_back(shaded_grids, tmp_path):
    (plain,) = shaded_grids(np.float32(1), n=2, n_grids=1)
    tissue = {tile: MosaicGrid(plain).read(tile) for tile in MosaicGrid(plain).tiles}
    (grid,) = shaded_grids(lens(), n=2, n_grids=1)
    field, output = tmp_path / "illumination.npz", tmp_path / "fixed.ome.zarr"
    np.savez(field, flatfield=lens(), darkfield=np.zeros((SIDE, SIDE), np.float32))
    fix_illumination(grid=grid, illumination=field, output=output, threads=2)
    fixed = MosaicGrid(output)
    for tile, truth in tissue.items():
        np.testing.assert_allclose(fixed.read(tile), truth, rtol=1e-5)
    assert fixed.slice_id == 0
    assert [entry["step"] for entry in fixed.attrs["history"]] == ["fix_illumination"]


def test_an_offset_is_taken_off_first_and_places_without_data_stay_zero(write_grid, tmp_path):
    data = np.full((2, 4, 4), 5.0, np.float32)
    data[:, 0] = 0
    grid = write_grid({(0, 0): data})
    field, output = tmp_path / "illumination.npz", tmp_path / "fixed.ome.zarr"
    gain = np.ones((4, 4), np.float32)
    np.savez(field, flatfield=gain, darkfield=2 * gain)
    fix_illumination(grid=grid, illumination=field, output=output)
    fixed = MosaicGrid(output).read((0, 0))
    assert (fixed[:, 0] == 0).all()
    assert (fixed[:, 1:] == 3).all()


def test_an_offset_of_another_pitch_is_brought_to_the_tiles(write_grid, tmp_path):
    ramp = np.linspace(0, 3, 8, dtype=np.float32)
    grid = write_grid({(0, 0): np.full((1, 8, 8), 10.0) + ramp})
    field, output = tmp_path / "illumination.npz", tmp_path / "fixed.ome.zarr"
    coarse = np.tile(ramp.reshape(4, 2).mean(axis=1), (4, 1)).astype(np.float32)
    np.savez(field, flatfield=np.ones((4, 4), np.float32), darkfield=coarse)
    fix_illumination(grid=grid, illumination=field, output=output)
    fixed = MosaicGrid(output).read((0, 0))
    np.testing.assert_allclose(fixed[:, :, 2:-2], 10, atol=0.05)
    assert np.ptp(fixed) < 0.3 * np.ptp(ramp)


def test_data_darker_than_the_offset_is_not_taken_for_a_hole(write_grid, tmp_path):
    data = np.full((1, 4, 4), 5.0, np.float32)
    data[0, 0, 0], data[0, 1, 1] = 0, 1
    grid = write_grid({(0, 0): data})
    field, output = tmp_path / "illumination.npz", tmp_path / "fixed.ome.zarr"
    np.savez(field, flatfield=np.ones((4, 4), np.float32), darkfield=np.full((4, 4), 2.0))
    fix_illumination(grid=grid, illumination=field, output=output)
    fixed = MosaicGrid(output).read((0, 0))
    assert fixed[0, 0, 0] == 0
    assert 0 < fixed[0, 1, 1] < 1e-30
    assert np.count_nonzero(fixed == 3) == 14


def test_another_file_than_a_flat_field_leaves_no_store(write_grid, tmp_path):
    grid = write_grid({(0, 0): np.ones((2, 4, 4))})
    wrong = tmp_path / "illumination.npz"
    wrong.write_text("hello")
    with pytest.raises(FormatError, match="not an illumination file"):
        fix_illumination(grid=grid, illumination=wrong, output=tmp_path / "fixed.ome.zarr")
    assert not (tmp_path / "fixed.ome.zarr").exists()
