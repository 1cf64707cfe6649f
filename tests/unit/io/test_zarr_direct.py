"""Whole chunks, read without zarr's way to a selection: the same voxels, distant and local."""

import os

import fsspec
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from mosaicflow.errors import StoreError
from mosaicflow.io.zarr import OmeZarrWriter, open_level, open_levels, read_omezarr_info
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


def stored(options, dtype):
    """Options, and values of a type that they can hold: Zarr v3 has no byte order in its types."""
    if options.get("zarr_format") != 2:
        dtype = np.dtype(dtype).newbyteorder("=")
    return options, values_of(dtype)


every_way = pytest.mark.parametrize(
    ("options", "values"),
    [stored(options, "u2") for options in (*V3, *V2)]
    + [stored(options, kind) for options in (V3[3], V3[5], V2[2]) for kind in KINDS],
)


@every_way
def test_every_chunk_is_what_zarr_reads(address, options, values):
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


def test_a_part_of_a_chunk_does_not_keep_the_whole_alive(address):
    write(address, values_of("u2"), chunks=(10, 21, 16))
    found = opened(address).read_chunk((0, 0, 1))
    assert found.shape == (10, 21, 1)
    assert found.base is None or found.base.nbytes == found.nbytes


def test_the_same_arrays_can_be_asked_directly(address):
    group = write(address, values_of("u2"), chunks=CHUNKS)
    assert direct_reader(group["0"], address).read((0, 0, 0)).shape == CHUNKS


# Parts of 10 x 21 x 17 voxels in chunks of 3 x 5 x 4: whole chunks, over borders, with integers.
SELECTIONS = (
    np.s_[...],
    np.s_[3:6, 5:10, 4:8],
    np.s_[9:, 20:, 16:],
    np.s_[1:9, 2:21, :15],
    np.s_[-4:, ..., 0:8],
    np.s_[2:4, 4:6, 3:5],  # a small part of 16 chunks
    np.s_[4],
    np.s_[:, 7, -1],
    np.s_[5:5],
    np.s_[::2, 1::3],
)


@every_way
def test_of_a_folder_any_part_is_what_zarr_reads(tmp_path, options, values):
    write(str(tmp_path), values, **options)
    reader = opened(tmp_path)
    assert (reader._local is None) == ("shards" in options)
    for selection in SELECTIONS:
        found = reader[selection]
        assert found.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, values[selection])
    for wrong in (np.s_[10], np.s_[0, 0, 0, 0]):
        with pytest.raises(IndexError):
            reader[wrong]


def test_of_a_folder_small_parts_of_chunks_are_left_to_zarr(tmp_path):
    write(str(tmp_path), values_of("u2"), chunks=CHUNKS)
    read = opened(tmp_path)._local.read
    assert read(np.s_[0:3, 0:5, 0:4]) is not None
    assert read(np.s_[0:2, 0:4, 0:4]) is not None  # 32 of 60
    assert read(np.s_[0:1, 0:5, 0:4]) is None
    assert read(np.s_[9:10, 20:21, 16:17]) is not None  # all there is in its chunk


def test_of_a_folder_axes_are_turned_and_a_channel_is_taken(tmp_path):
    values = values_of("i2", (2, *SHAPE))
    write(str(tmp_path), values, "cxzy", chunks=(1, *CHUNKS))
    np.testing.assert_array_equal(opened(tmp_path)[...], values[0].transpose(1, 2, 0))


def test_of_a_folder_absent_chunks_hold_the_fill_value(tmp_path):
    values = values_of("u2")
    values[:, 10:] = 7
    options = {"fill_value": 7, "config": {"write_empty_chunks": False}}
    write(str(tmp_path), values, chunks=CHUNKS, **options)
    assert not (tmp_path / "0/c/0/2/0").exists()
    np.testing.assert_array_equal(opened(tmp_path)[...], values)


@pytest.mark.parametrize("codec", [None, numcodecs.Zlib(1), numcodecs.Blosc("lz4")])
def test_of_a_folder_a_chunk_of_another_length_is_named(tmp_path, codec):
    values = values_of("u2")
    write(str(tmp_path), values, chunks=CHUNKS, zarr_format=2, compressors=codec)
    path = tmp_path / "0/1.1.1"
    content = path.read_bytes()
    larger = values[:4, :5, :4].tobytes()
    for damaged in (content[:-1], b"", larger if codec is None else codec.encode(larger)):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"cannot decode chunk 0/1\.1\.1"):
            opened(tmp_path)[...]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("damage", ["flipped", "swapped", "gone", "new", "pipe"])
def test_of_a_folder_chunks_are_compared_as_they_are_read(tmp_path, version, damage):
    values = values_of("u2", (3, 20, 8))
    values[:, :, :4][:, 15:] = 0  # no file
    path = tmp_path / "a.ome.zarr"
    with OmeZarrWriter(
        path, values.shape, CHUNKS, "u2", ngff_version=version, sharding_factor=1, checksums=True
    ) as writer:
        writer[...] = values
        writer.finalize(0.01)
    folder = path / "0" / ("0" if version == "0.4" else "c/0")
    one = folder / "1" / "1"
    content = bytearray(one.read_bytes())
    match damage:
        case "flipped":
            content[len(content) // 2] ^= 4
            one.write_bytes(content)
        case "swapped":
            one.write_bytes((folder / "2" / "1").read_bytes())
        case "gone":
            one.unlink()
        case "new":
            one = folder / "3" / "0"
            one.write_bytes(content)
        case "pipe":
            one.unlink()
            os.mkfifo(one)
    said = {"gone": "is missing", "new": "was not written with it", "pipe": "is a pipe"}
    name = one.relative_to(path)
    with pytest.raises(StoreError, match=f"chunk {name} {said.get(damage, 'is not what was')}"):
        open_level(path, checked=True)[...]


def test_a_machine_that_fails_to_read_is_no_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.zarr"
    with OmeZarrWriter(path, (3, 5, 4), CHUNKS, "u2", checksums=True) as writer:
        writer[...] = 7
        writer.finalize(0.01)
    reader = open_level(path, checked=True)

    def failing(*_args, **_more):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("mosaicflow.io.zarr.local.os.open", failing)
    with pytest.raises(OSError, match="Too many open files"):
        reader[...]
