"""Write, then read, is the identity: for every shape, chunk, dtype, codec and flavour."""

from __future__ import annotations

import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mosaicflow.io.zarr import (
    OmeZarrWriter,
    open_level,
    read_omezarr,
    read_omezarr_info,
    save_omezarr,
    validate_omezarr,
    write_regions,
)

from .conftest import noise

DTYPES = ["uint8", "uint16", "float32", "float64", "complex64"]
CODECS = ["blosc", "blosc-lz4", "blosc-zstd", "zstd", "lz4", "gzip", "none"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_codec_is_exact(tmp_path, flavour, dtype, codec):
    path = tmp_path / "a.ome.zarr"
    data = noise((3, 17, 23), dtype)
    save_omezarr(data, path, 0.01, chunks=(2, 8, 8), compressor=codec, ngff_version=flavour)
    found = open_level(path)[...]
    assert found.dtype == data.dtype
    np.testing.assert_array_equal(found, data)
    np.testing.assert_array_equal(zarr.open(path, mode="r")["0"][:], data)
    chunk_problems = [p for p in validate_omezarr(path, chunks=True) if p.severity == "error"]
    assert chunk_problems == []


@pytest.mark.parametrize(
    ("codec", "v2", "v3"),
    [
        ("blosc", "blosc-lz4", "blosc-lz4"),
        ("blosc-zstd", "blosc-zstd", "blosc-zstd"),
        ("zstd", "zstd", "zstd"),
        ("lz4", "lz4", "blosc-lz4"),
        ("gzip", "gzip", "gzip"),
        ("none", "none", "none"),
    ],
)
def test_the_codec_on_disk_is_the_one_asked_for(tmp_path, flavour, codec, v2, v3):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((2, 4, 4)), path, 0.01, compressor=codec, ngff_version=flavour)
    assert read_omezarr_info(path).levels[0].codec == (v2 if flavour == "0.4" else v3)


def test_an_unknown_codec_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of: blosc, blosc-lz4"):
        OmeZarrWriter(tmp_path / "a.ome.zarr", (2, 4, 4), compressor="lzma")
    assert list(tmp_path.iterdir()) == []


shapes = st.one_of(
    st.tuples(st.integers(1, 7), st.integers(1, 33), st.integers(1, 33)),
    st.tuples(st.integers(1, 33), st.integers(1, 33)),
)


@st.composite
def stores(draw):
    shape = draw(shapes)
    dtype = draw(st.sampled_from(DTYPES))
    data = draw(hnp.arrays(dtype, shape))
    flavour = draw(st.sampled_from(["0.4", "0.5"]))
    return data, {
        "chunks": tuple(draw(st.integers(1, 40)) for _ in shape),
        "compressor": draw(st.sampled_from(CODECS)),
        "ngff_version": flavour,
        "sharding_factor": None if flavour == "0.4" else draw(st.sampled_from([None, 1, 2, 3])),
    }


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(store=stores(), lazy=st.booleans())
def test_whatever_is_saved_is_read_back_bit_for_bit(store, lazy):
    data, options = store
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.zarr"
        source = da.from_array(data, chunks=3) if lazy else data
        save_omezarr(source, path, 0.01, **options)
        found = open_level(path)[...]
        assert found.dtype == data.dtype
        assert np.array_equal(found, data, equal_nan=data.dtype.kind in "fc")
        np.testing.assert_array_equal(read_omezarr(path)[0].compute(), data)


@settings(max_examples=25, deadline=None)
@given(
    shape=shapes,
    chunk=st.integers(1, 20),
    flavour=st.sampled_from(["0.4", "0.5"]),
    threads=st.sampled_from([1, 2]),
)
def test_regions_cover_each_voxel_once(shape, chunk, flavour, threads):
    from mosaicflow.threads import map_threads

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.zarr"
        writer = OmeZarrWriter(path, shape, chunk, np.uint16, ngff_version=flavour)
        counts = np.zeros(shape, np.uint16)
        expected = np.arange(1, np.prod(shape) + 1, dtype=np.uint16).reshape(shape)

        def write(region):
            counts[region] += 1
            writer[region] = expected[region]

        map_threads(write, write_regions(writer), threads)
        assert counts.min() == counts.max() == 1
        writer.finalize(0.01)
        np.testing.assert_array_equal(open_level(path)[...], expected)


def test_empty_chunks_are_not_stored(tmp_path, flavour):
    path = tmp_path / "grid.ome.zarr"
    data = noise((4, 32, 32))
    data[:, 8:16, 8:16] = 0
    data[:, 16:, :16] = 0
    save_omezarr(
        data,
        path,
        0.01,
        chunks=(4, 8, 8),
        ngff_version=flavour,
        sharding_factor=None if flavour == "0.4" else 2,
    )
    if flavour == "0.4":
        files = {str(p.relative_to(path / "0")) for p in (path / "0").rglob("*") if p.is_file()}
        assert "0/1/1" not in files
        assert "0/0/0" in files
        assert "0/2/0" not in files
    else:
        assert not (path / "0/c/0/1/0").exists()  # a shard without any tile
        shard = (path / "0/c/0/0/0").read_bytes()
        index = np.frombuffer(shard[-4 * 16 - 4 : -4], "<u8").reshape(4, 2)
        absent = np.iinfo(np.uint64).max
        assert index[3].tolist() == [absent, absent]  # the missing tile
        assert (index[:3] != absent).all()
    np.testing.assert_array_equal(open_level(path)[...], data)


def test_the_reader_indexes_like_numpy(store):
    data = noise((6, 40, 50))
    reader = open_level(store)
    for key in (
        np.s_[2],
        np.s_[..., 3],
        np.s_[1:4, ::2, -5:],
        np.s_[0, 5:6, 7],
        np.s_[-1, -1, -1],
        np.s_[:, 4],
        np.s_[3:3],
        np.s_[1, ...],
    ):
        np.testing.assert_array_equal(reader[key], data[key])
    np.testing.assert_array_equal(np.asarray(reader), data)
    with pytest.raises(IndexError):
        reader[7]
    with pytest.raises(IndexError):
        reader[0, 0, 0, 0]


def test_chunks_may_be_given_in_every_documented_way(tmp_path):
    data = da.zeros((6, 40, 50), chunks=(6, 20, 20), dtype="float32")
    for chunks in ((6, 20, 20), data.chunks, [6, 20, 20]):
        assert OmeZarrWriter(tmp_path / "a.ome.zarr", data.shape, chunks).chunks == (6, 20, 20)
    assert OmeZarrWriter(tmp_path / "b.ome.zarr", data.shape, 20).chunks == (6, 20, 20)
    assert OmeZarrWriter(tmp_path / "c.ome.zarr", (300, 900, 900)).chunks == (64, 256, 256)
    assert OmeZarrWriter(tmp_path / "d.ome.zarr", (900, 900)).chunks == (512, 512)
    assert OmeZarrWriter(tmp_path / "e.ome.zarr", (6, 40, 50), 8).chunks == (6, 8, 8)
    with pytest.warns(UserWarning, match="irregular"):
        writer = OmeZarrWriter(tmp_path / "g.ome.zarr", (6, 40, 50), ((6,), (10, 20, 10), (50,)))
    assert writer.chunks == (6, 20, 50)
    with pytest.raises(ValueError, match="2 axes"):
        OmeZarrWriter(tmp_path / "h.ome.zarr", (6, 40, 50), (6, 20))
    with pytest.raises(ValueError, match="2 GiB"):
        OmeZarrWriter(tmp_path / "i.ome.zarr", (2048, 1024, 1024), (2048, 1024, 1024))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("uint16", np.ones((2, 4, 4))),
        ("uint8", np.full((2, 4, 4), 300, np.uint16)),  # would wrap to 44
        ("uint16", np.full((2, 4, 4), -1)),
        ("uint8", 1.7),
        ("float32", 1j),
    ],
)
def test_values_that_a_type_cannot_hold_are_refused(tmp_path, dtype, value):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (2, 4, 4), dtype=dtype)
    with pytest.raises(TypeError, match=f"values do not fit a {dtype} store"):
        writer[:] = value
    with pytest.raises(OverflowError):
        OmeZarrWriter(tmp_path / "b.ome.zarr", (2, 4, 4), dtype="uint8")[:] = 300


def test_values_may_be_rounded_to_the_type_of_the_store(tmp_path):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (2, 4, 4))
    for value in (np.full((2, 4, 4), 0.1), np.float64(0.1), 0.1, 3, np.arange(4), True):
        writer[:] = value
        np.testing.assert_array_equal(
            writer[1, 1], np.broadcast_to(value, (2, 4, 4))[1, 1].astype("f4")
        )
    writer = OmeZarrWriter(tmp_path / "b.ome.zarr", (2, 4, 4), dtype=np.uint16)
    writer[:] = np.arange(4, dtype=np.uint8)
    assert writer[1, 1, 3] == 3


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2), (0, 4, 4)])
def test_shapes_that_are_no_image_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="known, positive sizes"):
        save_omezarr(np.ones(shape, np.float32), tmp_path / "a.ome.zarr", 0.01)
    lazy = da.ones((6, 4, 4), chunks=3)
    with pytest.raises(ValueError, match=r"shape \(nan, 4, 4\)"):
        save_omezarr(lazy[lazy[:, 0, 0] > 0], tmp_path / "a.ome.zarr", 0.01)
    assert list(tmp_path.iterdir()) == []


def test_writing_needs_memory_for_blocks_only(tmp_path):
    """A dask array is stored block by block: no task ever sees more than one."""
    seen = []

    def block(block_info=None):
        seen.append(block_info[None]["chunk-shape"])
        return np.ones(seen[-1], np.float32)

    lazy = da.map_blocks(block, chunks=((4, 4), (30, 30), (30, 30)), dtype=np.float32)
    save_omezarr(lazy, tmp_path / "a.ome.zarr", 0.01, chunks=(4, 15, 15))
    assert set(seen) == {(4, 30, 30)}
