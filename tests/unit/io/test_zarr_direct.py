"""Whole chunks of distant stores, read without zarr's way to a selection: the same voxels."""

import fsspec
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from mosaicflow.errors import StoreError
from mosaicflow.io.zarr import open_levels, read_omezarr_info
from mosaicflow.io.zarr.direct import direct_reader

SHAPE, CHUNKS, SHARDS = (10, 21, 17), (3, 5, 4), (6, 10, 8)  # 4 x 5 x 5 chunks


@pytest.fixture
def address(request):
    name = f"memory://direct/{abs(hash(request.node.nodeid))}.ome.zarr"
    yield name
    fsspec.filesystem("memory").rm(name, recursive=True)


def values_of(dtype, shape=SHAPE):
    rng = np.random.default_rng(4)
    kind = np.dtype(dtype).kind
    if kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return (rng.normal(0, 50, shape) if kind == "f" else rng.integers(0, 100, shape)).astype(dtype)


def write(address, values, axes="zyx", **options):
    """Write an image of one level as any writer might."""
    options = dict(options)
    version = options.pop("zarr_format", 3)
    group = zarr.open_group(address, mode="w", zarr_format=version)
    array = group.create_array("0", shape=values.shape, dtype=values.dtype, **options)
    array[:] = values
    names = [
        {"name": a, "type": "space", "unit": "micrometer"} if a in "zyx" else {"name": a}
        for a in axes
    ]
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    images = [{"axes": names, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    if version == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **images[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": images}
    return group


def opened(address):
    (reader,) = open_levels(read_omezarr_info(address))
    return reader


def assert_chunks_are_right(reader, values):
    counts = [-(-n // c) for n, c in zip(reader.shape, reader.chunks, strict=True)]
    for index in np.ndindex(*counts):
        box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, reader.chunks, strict=True))
        found = reader.read_chunk(index)
        assert found.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, values[box])


V3 = [
    {"chunks": CHUNKS},
    {"chunks": CHUNKS, "compressors": None},
    {"chunks": CHUNKS, "shards": SHARDS},
    {"chunks": CHUNKS, "shards": SHARDS, "compressors": BloscCodec(cname="lz4")},
    {"chunks": CHUNKS, "shards": SHARDS, "compressors": [GzipCodec(level=1), Crc32cCodec()]},
    {"chunks": CHUNKS, "compressors": [ZstdCodec(), Crc32cCodec()]},
    {"chunks": CHUNKS, "serializer": BytesCodec(endian="big")},
    {"chunks": CHUNKS, "shards": SHARDS, "serializer": BytesCodec(endian="big")},
]
V2 = [
    {"chunks": CHUNKS, "compressors": codec, "zarr_format": 2}
    for codec in (None, numcodecs.Zlib(1), numcodecs.Blosc("lz4"), numcodecs.LZ4(), numcodecs.BZ2())
]


KINDS = ("u1", ">i4", "f8", "c8", "?")


@pytest.mark.parametrize(
    ("options", "dtype"),
    [(options, "u2") for options in (*V3, *V2)] + [(o, k) for o in (V3[3], V2[2]) for k in KINDS],
)
def test_every_chunk_is_what_zarr_reads(address, options, dtype):
    if options.get("zarr_format") != 2:
        dtype = np.dtype(dtype).newbyteorder("=")
    values = values_of(dtype)
    write(address, values, **options)
    reader = opened(address)
    assert reader._direct is not None
    assert_chunks_are_right(reader, values)


@pytest.mark.parametrize("options", [V3[0], V3[3], V2[2]])
def test_chunks_that_are_not_there_hold_the_fill_value(address, options):
    values = values_of("u2")
    values[:, 10:] = 7  # a shard, or chunks of it, that nobody writes
    values[3:6, :5] = 7
    write(address, values, fill_value=7, config={"write_empty_chunks": False}, **options)
    files = fsspec.filesystem("memory").find(address)
    assert len([f for f in files if "/0/" in f]) < 40  # of 100
    assert_chunks_are_right(opened(address), values)


@pytest.mark.parametrize("axes", ["tczyx", "czyx"])
@pytest.mark.parametrize("sharded", [False, True])
def test_of_channels_and_times_the_first_is_read(address, axes, sharded):
    extra = {"t": 3, "c": 4}
    leading = tuple(extra[a] for a in axes[:-3])
    values = values_of("f4", leading + SHAPE)
    options = {"chunks": (2,) * len(leading) + CHUNKS}
    if sharded:
        options["shards"] = (2,) * len(leading) + SHARDS
    write(address, values, axes, **options)
    assert_chunks_are_right(opened(address), values[(0,) * len(leading)])


def test_axes_in_another_order_are_turned(address):
    values = values_of("i2")
    write(address, values, "xzy", chunks=CHUNKS, shards=SHARDS)
    assert_chunks_are_right(opened(address), values.transpose(1, 2, 0))


def test_what_is_stored_in_an_unusual_way_is_left_to_zarr(address):
    values = values_of("f4")
    for options in (
        {"chunks": CHUNKS, "filters": [TransposeCodec(order=(2, 0, 1))]},
        {"chunks": CHUNKS, "zarr_format": 2, "order": "F"},
        {"chunks": CHUNKS, "zarr_format": 2, "filters": [numcodecs.Delta("<f4")]},
    ):
        write(address, values, **options)
        reader = opened(address)
        assert reader._direct is None
        if "filters" not in options or options.get("zarr_format") != 2:
            assert_chunks_are_right(reader, values)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_damaged_chunk_is_named(address, sharded):
    options = {"shards": SHARDS} if sharded else {}
    write(address, values_of("u2"), chunks=CHUNKS, compressors=BloscCodec(), **options)
    memory = fsspec.filesystem("memory")
    name = next(f for f in memory.find(address) if f.endswith("/0/c/1/1/1"))
    content = memory.cat_file(name)
    index = (2, 2, 2) if sharded else (1, 1, 1)
    for damaged in (
        content[: len(content) // 2],
        b"",
        bytes(byte ^ 0x55 for byte in content),
        content[:-8] + bytes(8),
    ):
        memory.pipe_file(name, damaged)
        if not sharded and damaged.endswith(bytes(8)):
            continue  # a codec without a checksum cannot tell
        with pytest.raises(StoreError, match="cannot decode chunk 0/c/1/1/1"):
            opened(address).read_chunk(index)
    memory.pipe_file(name, content)
    opened(address).read_chunk(index)


def test_a_shard_whose_index_points_beyond_the_file_is_damaged(address):
    from google_crc32c import value as checksum

    write(address, values_of("u2"), chunks=CHUNKS, shards=SHARDS)
    memory = fsspec.filesystem("memory")
    name = next(f for f in memory.find(address) if f.endswith("/0/c/0/0/0"))
    content = memory.cat_file(name)
    for offset, size in ((2**63, 2**63), (10**9, 10), (0, 2**40)):
        entries = np.full((8, 2), [offset, size], "<u8").tobytes()
        memory.pipe_file(name, content[:-132] + entries + checksum(entries).to_bytes(4, "little"))
        with pytest.raises(StoreError, match="cannot decode chunk 0/c/0/0/0"):
            opened(address).read_chunk((0, 0, 0))


def test_a_store_on_this_machine_is_read_as_ever(tmp_path):
    path = tmp_path / "a.ome.zarr"
    values = values_of("u2")
    write(str(path), values, chunks=CHUNKS, shards=SHARDS)
    reader = opened(path)
    assert reader._direct is None
    assert_chunks_are_right(reader, values)


def test_a_part_of_a_chunk_does_not_keep_the_whole_alive(address):
    write(address, values_of("u2"), chunks=(10, 21, 16))
    found = opened(address).read_chunk((0, 0, 1))
    assert found.shape == (10, 21, 1)
    assert found.base is None or found.base.nbytes == found.nbytes


def test_the_same_arrays_can_be_asked_directly(address):
    group = write(address, values_of("u2"), chunks=CHUNKS)
    assert direct_reader(group["0"], address).read((0, 0, 0)).shape == CHUNKS
