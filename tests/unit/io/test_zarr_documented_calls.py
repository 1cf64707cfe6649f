"""The calls and files that the format page shows."""

from __future__ import annotations

import json
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import zarr

from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    is_finished,
    open_level,
    read_omezarr,
    read_omezarr_info,
    save_omezarr,
    validate_omezarr,
)
from mosaicflow.names import format_slice_id, parse_slice_id

RESOLUTION = (0.0015, 0.010, 0.010)
REFERENCE = json.loads("""
{"multiscales": [{"version": "0.4", "name": "mosaic_grid_3d_z00",
  "axes": [{"name": "z", "type": "space", "unit": "micrometer"},
           {"name": "y", "type": "space", "unit": "micrometer"},
           {"name": "x", "type": "space", "unit": "micrometer"}],
  "datasets": [
    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.5, 10.0, 10.0]}]},
    {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1.5, 20.0, 20.0]}]}]
}]}""")


def assert_subset(part, whole):
    if isinstance(part, dict):
        for key, value in part.items():
            assert_subset(value, whole[key])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for a, b in zip(part, whole, strict=True):
            assert_subset(a, b)
    else:
        assert part == whole


@pytest.fixture(scope="module")
def documented():
    return da.from_array(np.random.default_rng(1).random((100, 512, 512)), chunks=(10, 128, 128))


def test_the_reference_metadata_is_reproduced(tmp_path):
    path = tmp_path / "mosaic_grid_3d_z00.ome.zarr"
    data = np.random.default_rng(0).random((8, 64, 64), dtype=np.float32)
    save_omezarr(data, path, RESOLUTION, n_levels=1)
    with (path / ".zattrs").open() as file:
        attributes = json.load(file)
    assert_subset(REFERENCE, attributes)
    assert (path / ".zattrs").read_text().startswith("{\n  ")
    assert json.loads((path / ".zgroup").read_text()) == {"zarr_format": 2}
    array = json.loads((path / "0" / ".zarray").read_text())
    assert array == {
        "zarr_format": 2,
        "shape": [8, 64, 64],
        "chunks": [8, 64, 64],
        "dtype": "<f4",
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        "fill_value": 0.0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }
    group = zarr.open(path, mode="r")
    np.testing.assert_array_equal(group["0"][:], data)
    expected = data.reshape(8, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(group["1"][:], expected, rtol=1e-6)  # float32 sums


def test_the_second_flavour_follows_its_example(tmp_path):
    path = tmp_path / "grid.ome.zarr"
    data = np.ones((6, 600, 900), np.float32)
    save_omezarr(data, path, RESOLUTION, chunks=(6, 75, 100), ngff_version="0.5")
    group = json.loads((path / "zarr.json").read_text())
    assert group["attributes"]["ome"]["version"] == "0.5"
    entry = group["attributes"]["ome"]["multiscales"][0]
    assert "version" not in entry
    assert {"name", "type", "metadata"} <= set(entry)
    array = json.loads((path / "0" / "zarr.json").read_text())
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [6, 300, 400]
    assert array["dimension_names"] == ["z", "y", "x"]
    codec = array["codecs"][0]
    assert codec["name"] == "sharding_indexed"
    assert codec["configuration"]["chunk_shape"] == [6, 75, 100]
    assert codec["configuration"]["codecs"][1]["configuration"] == {
        "typesize": 4,
        "cname": "lz4",
        "clevel": 5,
        "shuffle": "shuffle",
        "blocksize": 0,
    }
    assert (path / "0" / "c" / "0" / "1" / "2").is_file()


def test_reading_returns_dask_and_millimetres(store):
    image, resolution = read_omezarr(store)
    assert isinstance(image, da.Array)
    assert image.chunks == ((6,), (20, 20), (20, 20, 10))
    assert resolution == RESOLUTION
    assert all(type(value) is float for value in resolution)
    subset = image[0:3, 10:25, 5:45].compute()
    np.testing.assert_array_equal(subset, open_level(store)[0:3, 10:25, 5:45])


def test_saving_with_dask_chunks(tmp_path, documented):
    path = tmp_path / "output.ome.zarr"
    save_omezarr(documented, path, RESOLUTION, chunks=documented.chunks)
    image, resolution = read_omezarr(path)
    assert image.dtype == np.float64
    assert image.chunksize == (10, 128, 128)
    assert resolution == RESOLUTION
    assert bool((image == documented).all().compute())


def test_n_levels_are_extra_levels(tmp_path, documented, flavour):
    path = tmp_path / "output.ome.zarr"
    writer = OmeZarrWriter(
        path, shape=(100, 512, 512), chunks=(10, 128, 128), dtype=np.float32, ngff_version=flavour
    )
    writer[:] = documented[:]
    writer.finalize(RESOLUTION, n_levels=5)
    info = read_omezarr_info(path)
    assert info.shapes == tuple((100, n, n) for n in (512, 256, 128, 64, 32, 16))
    assert info.scales_um[5] == (1.5, 320.0, 320.0)
    assert info.translations_um == (None,) * 6
    assert validate_omezarr(path) == []


@pytest.mark.parametrize("arguments", [([10, 25, 50, 100],), ()])
def test_the_analysis_pyramid(tmp_path, documented, arguments):
    path = tmp_path / "output.ome.zarr"
    writer = AnalysisOmeZarrWriter(
        path, shape=(100, 512, 512), chunks=(10, 128, 128), dtype=np.float32
    )
    writer[:] = documented[:]
    writer.finalize(RESOLUTION, *arguments)
    info = read_omezarr_info(path)
    assert info.shapes == ((15, 512, 512), (6, 204, 204), (3, 102, 102), (1, 51, 51))
    assert info.scales_um == tuple((r, r, r) for r in (10.0, 25.0, 50.0, 100.0))
    assert info.translations_um == tuple((t, t, t) for t in (0.0, 7.5, 20.0, 45.0))
    assert info.pyramid["resolutions_um"] == [10.0, 25.0, 50.0, 100.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["output.ome.zarr"]


def test_a_base_of_25_um_has_three_levels(tmp_path):
    path = tmp_path / "output.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (8, 40, 40))
    writer[:] = 1
    writer.finalize(0.0250000001)
    assert [scale[-1] for scale in read_omezarr_info(path).scales_um] == [25.0, 50.0, 100.0]


def test_an_int_for_the_resolutions_is_a_mistake(tmp_path):
    writer = AnalysisOmeZarrWriter(tmp_path / "a.ome.zarr", (8, 40, 40))
    with pytest.raises(TypeError, match="n_levels="):
        writer.finalize(RESOLUTION, 3)
    writer.finalize(RESOLUTION, n_levels=2)
    assert len(read_omezarr_info(tmp_path / "a.ome.zarr").levels) == 3


def test_a_file_in_millimetres_reads_the_same(store, flavour):
    name = ".zattrs" if flavour == "0.4" else "zarr.json"
    text = (store / name).read_text().replace("micrometer", "millimeter")
    document = json.loads(text)
    root = document if flavour == "0.4" else document["attributes"]["ome"]
    transform = root["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    transform["scale"] = [0.0015, 0.01, 0.01]
    (store / name).write_text(json.dumps(document))
    assert read_omezarr(store)[1] == RESOLUTION


def test_slice_ids_sort_and_round_trip():
    numbers = [0, 7, 99, 100, 101]
    names = [f"slice_z{format_slice_id(n)}_stitch_3d.ome.zarr" for n in numbers]
    assert sorted(map(parse_slice_id, reversed(names))) == numbers


def test_projections_have_two_axes(tmp_path, flavour):
    path = tmp_path / "mosaic_grid_z00_aip.ome.zarr"
    data = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    save_omezarr(data, path, (0.01, 0.02), n_levels=1, ngff_version=flavour)
    image, resolution = read_omezarr(path)
    np.testing.assert_array_equal(image.compute(), data)
    assert resolution == (0.01, 0.02)
    assert [axis.name for axis in read_omezarr_info(path).axes] == ["y", "x"]


def test_the_attribute_block_comes_back(tmp_path, flavour):
    path = tmp_path / "grid.ome.zarr"
    writer = OmeZarrWriter(path, (2, 4, 4), ngff_version=flavour, attrs={"kind": "mosaic_grid"})
    writer.attrs.update(tile_shape=[2, 2, 2])
    writer[:] = 1
    writer.finalize(0.01)
    block = open_level(path).attrs
    assert block["kind"] == "mosaic_grid"
    assert block["tile_shape"] == [2, 2, 2]
    assert block["schema"] == 1
    assert block["software"]["name"] == "mosaicflow"


def test_a_reader_keeps_nothing_open(store):
    import shutil

    image, _ = read_omezarr(store)
    image[0].compute()
    shutil.rmtree(store)
    assert not is_finished(store)


def test_importing_the_store_layer_does_not_import_dask():
    code = "import sys, mosaicflow.io.zarr; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
