"""Raw data in a bucket: what is found and read is what the same folder on a disk gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tests.buckets import environment, faulty_bucket

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.errors import InputError, StoreError
from mosaicflow.io import remote_requests
from mosaicflow.io.remote_files import at_address
from mosaicflow.io.remote_requests import read_part
from mosaicflow.io.zarr import read_omezarr
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.inspect_acquisition import inspect_acquisition


@pytest.fixture(scope="module")
def store():
    with faulty_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(store, monkeypatch, request):
    for name, value in environment(store.endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote_requests, "_BACK_OFF_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote_requests, "_PATIENCE_S", 3.0)
    store.faults, store.where, store.asked = [], "", []
    yield store, request.node.name.translate(str.maketrans("[]- ", "____"))
    store.faults = []


def grids(source, folder, **options):
    """Make the grid of every slice, the way both engines do."""
    folder.mkdir()
    inspect_acquisition(raw=source, output_dir=folder, **options)
    made = {}
    for tiles in sorted(folder.glob("z*_tiles.json")):
        output = folder / f"mosaic_grid_3d_{tiles.name.partition('_')[0]}.ome.zarr"
        create_mosaic_grid(tiles=tiles, raw=source, output=output)
        made[tiles.name] = read_omezarr(output)[0].compute()
    return made


def assert_same(raw, bucket, tmp_path, **options):
    store, prefix = bucket
    address = store.put_tree(raw, prefix)
    local = grids(raw, tmp_path / "local", **options)
    remote = grids(type(raw)(address), tmp_path / "remote", **options)
    assert list(local) == list(remote) != []
    for key in local:
        np.testing.assert_array_equal(local[key], remote[key])


def test_tiles_of_a_bucket_are_those_of_the_folder(raw, bucket, tmp_path):
    raw.lattice(2, 2, z=0, n_files=2).lattice(2, 2, z=1)
    assert_same(raw.root, bucket, tmp_path)
    # What is told of them differs by the name of the root and by times only.
    both = ("local", "remote")
    tables = [json.loads((tmp_path / n / "z00_tiles.json").read_text()) for n in both]
    for table in tables:
        assert table.pop("source")["layout"] == "per_slice"
        for tile in table["tiles"]:
            for file in tile["files"]:
                file.pop("mtime_ns")
    assert tables[0] == tables[1]


def test_images_of_a_bucket_are_those_of_the_folder(bucket, tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        planes = rng.integers(0, 4000, (3, 20, 24), dtype=np.uint16)
        name = f"tile_{number // 2}_{number % 2}.tif"
        about = {"resolution": (1e4, 1e4), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(folder / name, planes, photometric="minisblack", **about)
    lines = ["path,slice,iy,ix"]
    lines += [f"tile_{n // 2}_{n % 2}.tif,0,{n // 2},{n % 2}" for n in range(4)]
    (folder / "tile_table.csv").write_text("\n".join(lines) + "\n")
    assert_same(folder, bucket, tmp_path, axial_resolution_um=10.0)


def test_looking_at_many_tiles_takes_few_requests(raw, bucket):
    raw.lattice(6, 6, z=0)
    address = bucket[0].put_tree(raw.root, bucket[1])
    bucket[0].asked.clear()
    found = discover(type(raw.root)(address), InspectSettings())
    assert sum(len(one.used) for one in found.slices) == 36
    asked = [line for line in bucket[0].asked if "info.txt" not in line]
    assert len(asked) < 20  # one listing, and what is looked for at the top; never one a tile
    assert not [line for line in bucket[0].asked if ".bin" in line]


def test_samples_are_read_by_their_range(raw, bucket):
    raw.tile(0, 0)
    address = bucket[0].put_tree(raw.root, bucket[1])
    path = at_address(raw.root / "x").__class__  # a local path stays one
    assert path is type(raw.root)
    file = at_address(type(raw.root)(address)) / "z00/tile_x00_y00_z00/image_00000.bin"
    bucket[0].asked.clear()
    expected = raw.data(0, 0, 0).tobytes()
    assert read_part(file, 100, 50) == expected[100:150]
    assert [line.rpartition(" ")[2] for line in bucket[0].asked] == ["bytes=100-149"]


@pytest.mark.parametrize("fault", ["drop", "cut", "503", "slow"])
def test_a_fault_while_a_tile_is_read_changes_nothing(raw, bucket, tmp_path, fault):
    raw.lattice(1, 2)
    store = bucket[0]
    store.where, store.faults = ".bin bytes", [fault]  # after the upload, which goes another way
    assert_same(raw.root, bucket, tmp_path)
    assert store.faults == []


@pytest.mark.parametrize("fault", ["drop", "503"])
def test_a_store_that_stays_away_is_named_and_leaves_no_grid(raw, bucket, tmp_path, fault):
    raw.lattice(1, 2)
    store, prefix = bucket
    address = type(raw.root)(store.put_tree(raw.root, prefix))
    folder = tmp_path / "out"
    folder.mkdir()
    inspect_acquisition(raw=address, output_dir=folder)
    store.where, store.faults = ".bin", [fault] * 10_000
    output = folder / "mosaic_grid_3d_z00.ome.zarr"
    with pytest.raises(StoreError, match=r"s3://.*image_00000\.bin: "):
        create_mosaic_grid(tiles=folder / "z00_tiles.json", raw=address, output=output)
    assert not output.exists()


def test_a_tile_that_changed_since_it_was_looked_at_is_not_read(raw, bucket, tmp_path):
    raw.lattice(1, 2)
    store, prefix = bucket
    address = type(raw.root)(store.put_tree(raw.root, prefix))
    folder = tmp_path / "out"
    folder.mkdir()
    inspect_acquisition(raw=address, output_dir=folder)
    key = f"{prefix}/z00/tile_x00_y00_z00/image_00000.bin"
    store.client.put_object(Bucket="stores", Key=key, Body=b"\0" * 8)
    with pytest.raises(InputError, match="changed since its inspection"):
        create_mosaic_grid(
            tiles=folder / "z00_tiles.json",
            raw=address,
            output=folder / "mosaic_grid_3d_z00.ome.zarr",
        )


def test_kinds_whose_readers_need_a_disk_are_refused_by_name(bucket, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/scan.czi").write_bytes(b"ZISRAWFILE")
    address = bucket[0].put_tree(tmp_path / "raw", bucket[1])
    with pytest.raises(InputError, match=r"scan\.czi: \.czi files are read from a disk only"):
        discover(type(tmp_path)(address), InspectSettings())


def test_an_address_where_nothing_lies_is_said(bucket, tmp_path):
    with pytest.raises(InputError, match="not found or not a folder"):
        discover(type(tmp_path)("s3://stores/nothing here"), InspectSettings())
