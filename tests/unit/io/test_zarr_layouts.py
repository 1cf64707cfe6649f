"""Whatever zarr-python reads is read, with the same values; what it does not is no damage."""

import itertools
import json
import random
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

from mosaicflow.errors import FormatError, MosaicflowError
from mosaicflow.io.convert.convert import Conversion, convert_image
from mosaicflow.io.zarr import open_level, read_omezarr, read_omezarr_info, validate_omezarr
from mosaicflow.io.zarr.transcode import StoreFormat

pytestmark = [
    pytest.mark.filterwarnings("ignore::mosaicflow.io.zarr.errors.OmeZarrWarning"),
    pytest.mark.filterwarnings("ignore:.*Zarr format 3.*"),
]
FOREIGN = Path("/work/shared/data/foreign_files")
for parent in Path(__file__).parents:
    if (parent / "shared" / "data" / "foreign_files").is_dir():
        FOREIGN = parent / "shared" / "data" / "foreign_files"
needs_shared = pytest.mark.skipif(not FOREIGN.is_dir(), reason="the shared data is not here")

PLAIN = ("zstd", "C", "/", 0, None)
SHAPE, CHUNKS = (3, 9, 10), (2, 4, 10)
AXES = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
DTYPES = [
    "<u2", ">u2", "|u1", "|i1", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8", ">i8",
    "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "|b1", "<c8", ">c8",
]  # fmt: skip
V2_COMPRESSORS = {
    "none": None, "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib(),
    "lz4": numcodecs.LZ4(), "bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA(),
    "blosc-lz4": numcodecs.Blosc("lz4"), "blosc-zstd-bits": numcodecs.Blosc("zstd", shuffle=2),
    "blosc-zlib": numcodecs.Blosc("zlib", shuffle=0),
}  # fmt: skip


def v2_filters(dtype):
    numbers = np.dtype(dtype)
    found = [None, [numcodecs.Shuffle(numbers.itemsize)]]
    if numbers.kind in "iu":
        found.append([numcodecs.Delta(dtype)])
    if numbers.kind == "f":
        found.append([numcodecs.FixedScaleOffset(0, 1, dtype, "<u2")])
    return found


def v2_layouts():
    for dtype in DTYPES:
        for values in itertools.product(
            V2_COMPRESSORS, "CF", "./", (0, 3, None), v2_filters(dtype)
        ):
            yield dtype, *values


def v3_layouts():
    inner = [[], [ZstdCodec()], [GzipCodec()], [BloscCodec(typesize=4)], [Crc32cCodec()]]
    orders = [None, (2, 1, 0), (1, 0, 2)]
    names = sorted({np.dtype(dtype).name for dtype in DTYPES})
    yield from itertools.product(
        names, inner, ("little", "big"), orders, (False, True), ("default", "v2"), "./", (0, 3)
    )


def sample(layouts, n, seed=13):
    return random.Random(seed).sample(list(layouts), n)


def image(path, make):
    """Write an image around one array that `make` creates, a part of it left empty."""
    rng = np.random.default_rng(5)
    array = make(path / "0")
    values = rng.integers(0, 100, SHAPE).astype(array.dtype)
    array[:2] = values[:2]
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [2, 0.5, 0.5]}]}
    entry = {"version": "0.4", "axes": AXES, "datasets": [{"path": "0", **scale}]}
    if array.metadata.zarr_format == 2:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps({"multiscales": [entry]}))
    else:
        ome = {"version": "0.5", "multiscales": [entry]}
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (path / "zarr.json").write_text(json.dumps(group))
    return path


def v2_array(path, layout):
    dtype, compressor, order, separator, fill, filters = layout
    return zarr.create_array(
        path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, order=order, fill_value=fill,
        compressors=V2_COMPRESSORS[compressor], filters=filters,
        chunk_key_encoding={"name": "v2", "separator": separator},
    )  # fmt: skip


def v3_array(path, layout):
    dtype, inner, endian, order, is_sharded, key, separator, fill = layout
    codecs = [BytesCodec(endian=endian), *inner]
    if order:
        codecs = [TransposeCodec(order=order), *codecs]
    chunks = CHUNKS
    if is_sharded:
        codecs, chunks = [ShardingCodec(chunk_shape=CHUNKS, codecs=codecs)], (2, 8, 10)
    return zarr.create(
        store=str(path), shape=SHAPE, chunks=chunks, dtype=dtype, zarr_format=3, codecs=codecs,
        fill_value=fill, chunk_key_encoding={"name": key, "separator": separator},
    )  # fmt: skip


def assert_read_as_zarr_python_reads(store):
    expected = zarr.open_array(store / "0", mode="r")
    reader = open_level(store)
    assert reader.dtype.isnative
    for region in (np.s_[...], np.s_[1:3, 2:7, ::3], np.s_[1]):
        np.testing.assert_array_equal(reader[region], expected[region])
    assert [p for p in validate_omezarr(store, chunks=True) if p.severity == "error"] == []


@pytest.mark.parametrize("layout", sample(v2_layouts(), 40), ids=str)
def test_a_layout_of_zarr_v2_is_read_as_zarr_python_reads_it(tmp_path, layout):
    assert_read_as_zarr_python_reads(image(tmp_path, lambda path: v2_array(path, layout)))


@pytest.mark.parametrize("layout", sample(v3_layouts(), 40), ids=str)
def test_a_layout_of_zarr_v3_is_read_as_zarr_python_reads_it(tmp_path, layout):
    assert_read_as_zarr_python_reads(image(tmp_path, lambda path: v3_array(path, layout)))


@pytest.mark.parametrize("is_sharded", [False, True])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_of_big_endian_chunks_at_an_edge_are_not_turned_round(
    tmp_path, dtype, is_sharded
):
    """Found by the full sweep: 57 was read as 57j."""
    layout = (dtype, [], "big", None, is_sharded, "default", "/", 0)
    assert_read_as_zarr_python_reads(image(tmp_path, lambda path: v3_array(path, layout)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [v2_array, v3_array])
def test_every_layout_is_read_as_zarr_python_reads_it(tmp_path, make):
    layouts = v2_layouts() if make is v2_array else v3_layouts()
    for number, layout in enumerate(layouts):
        store = image(tmp_path / str(number), lambda path, layout=layout: make(path, layout))
        assert_read_as_zarr_python_reads(store)


@pytest.mark.parametrize(
    ("zarr_format", "change", "named"),
    [
        (2, {"compressor": {"id": "jpegxl"}}, "codec that is not supported.*jpegxl"),
        (2, {"filters": [{"id": "wavpack"}]}, "codec that is not supported.*wavpack"),
        (2, {"dtype": [["a", "<u2"], ["b", "<u2"]]}, "elements of type.*not supported"),
        (3, {"data_type": "bfloat16"}, "elements of type 'bfloat16', which is not supported"),
        (3, {"data_type": {"name": "numpy.datetime64"}}, "datetime64.*not supported"),
        (3, {"chunk_grid": {"name": "rectangular"}}, "'rectangular' chunk grid.*not supported"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_said_and_never_called_damage(
    tmp_path, zarr_format, change, named
):
    layout = (
        ("<u2", "zstd", "C", "/", 0, None)
        if zarr_format == 2
        else ("uint16", [], "little", None, False, "default", "/", 0)
    )
    make = v2_array if zarr_format == 2 else v3_array
    store = image(tmp_path, lambda path: make(path, layout))
    member = store / "0" / (".zarray" if zarr_format == 2 else "zarr.json")
    member.write_text(json.dumps(json.loads(member.read_text()) | change))

    with pytest.raises(FormatError, match=named) as caught:
        open_level(store)

    assert "damaged" not in str(caught.value)
    assert "store it again" in str(caught.value)


def test_a_chunk_that_is_cut_short_is_still_called_damaged(tmp_path):
    layout = (">u2", "zstd", "C", ".", 0, None)
    store = image(tmp_path, lambda path: v2_array(path, layout))
    chunk = store / "0" / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-3])

    problems = validate_omezarr(store, chunks=True)

    assert [p.where for p in problems if p.severity == "error"] == ["0/0.0.0"]


@needs_shared
@pytest.mark.parametrize("name", ["Z16/img.zarr", "Z16/float.zarr", "Z10/c.zarr", "Z07/x.ozx"])
def test_stores_of_other_writers_are_read_and_sound(name):
    truth = np.load(FOREIGN / name.split("/")[0] / "truth.npy")

    np.testing.assert_array_equal(open_level(FOREIGN / name)[...], truth)

    assert [p for p in validate_omezarr(FOREIGN / name, chunks=True) if p.severity == "error"] == []


@needs_shared
@pytest.mark.parametrize(
    ("inside", "what"),
    [
        ("", "an HCS plate with 2 wells.*plate.zarr/A/2/0$"),
        ("A", "a group that holds images.*plate.zarr/A/2/0$"),
        ("B/3", "a well of an HCS plate with 2 fields.*plate.zarr/B/3/0$"),
    ],
)
def test_a_plate_names_one_of_its_images(inside, what):
    with pytest.raises(FormatError, match=what):
        read_omezarr_info(FOREIGN / "Z04" / "plate.zarr" / inside)
    assert open_level(FOREIGN / "Z04" / "plate.zarr" / "B" / "3" / "1").shape == (6, 40, 50)


@needs_shared
@pytest.mark.parametrize(
    ("name", "origin"), [("seq", (10, 20, 30)), ("plainscale", None), ("affine", (0, 0, 0))]
)
def test_pitch_and_axes_of_version_0_6_are_read(name, origin):
    info = read_omezarr_info(FOREIGN / "Z09" / f"{name}.zarr")

    assert [axis.unit for axis in info.axes] == ["micrometer"] * 3
    assert info.levels[0].scale_um == (2, 0.5, 0.5)
    assert info.levels[0].translation_um == origin
    assert [p for p in validate_omezarr(info.location) if p.severity == "error"] == []


@needs_shared
def test_a_rotation_of_version_0_6_is_never_dropped_silently():
    with pytest.warns(UserWarning, match="a rotation by about 30 degrees .* is not applied"):
        read_omezarr_info(FOREIGN / "Z09" / "affine.zarr")


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("|b1", "uint8"),
        ("<f2", "float32"),
        (">i2", "float32"),
        ("<u4", "float64"),
        ("<u2", "uint16"),
    ],
)
@pytest.mark.parametrize("n_levels", [None, 1])
def test_convert_keeps_every_value_in_a_type_that_stores_have(tmp_path, dtype, kept, n_levels):
    store = image(tmp_path / "a.zarr", lambda path: v2_array(path, (dtype, *PLAIN)))
    output = tmp_path / "b.ome.zarr"

    convert_image(str(store), str(output), StoreFormat(), Conversion(n_levels=n_levels))

    copy = open_level(output)
    assert copy.dtype == kept
    np.testing.assert_array_equal(copy[...], open_level(store)[...].astype(kept))


@pytest.mark.parametrize("output", ["b.ome.zarr", "b.ome.tif"])
def test_convert_refuses_what_would_lose_values(tmp_path, output):
    store = image(tmp_path / "a.zarr", lambda path: v2_array(path, ("<u8", *PLAIN)))

    with pytest.raises(MosaicflowError, match=r"uint64.*(without loss|convert to \.nii)"):
        convert_image(str(store), str(tmp_path / output), StoreFormat(), Conversion())


TURN = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("rotation", TURN),
        ("affine", [[*row, 0] for row in TURN]),
        ("scale", [1.0, -1.0, 1.0]),
    ],
)
def test_a_turn_without_a_pitch_is_said_too(tmp_path, kind, value):
    store = image_of_version_0_6(tmp_path / "a.zarr", {"type": kind, kind: value})
    with pytest.warns(
        UserWarning, match="a (rotation by about 36.9 degrees|reflection) .*not appl"
    ):
        read_omezarr_info(store)


def test_axes_that_only_change_places_change_them(tmp_path):
    store = image_of_version_0_6(tmp_path / "a.zarr", {"type": "mapAxis", "mapAxis": [0, 2, 1]})
    with pytest.warns(UserWarning, match="no pixel size"):
        voxels, _ = read_omezarr(store)
    np.testing.assert_array_equal(voxels, np.arange(24).reshape(4, 3, 2).transpose(0, 2, 1))


def image_of_version_0_6(path, transform):
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    entry = {
        "coordinateSystems": [{"name": "physical", "axes": axes}],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [{**transform, "input": "0", "output": "physical"}],
            }
        ],
    }
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", data=np.arange(24, dtype="<u2").reshape(4, 3, 2))
    group.attrs["ome"] = {"version": "0.6", "multiscales": [entry]}
    return path
