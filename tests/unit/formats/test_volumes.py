import bz2
import gzip
import resource
import shutil
import struct
import subprocess
import sys
import tracemalloc

import h5py
import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest

from mosaicflow.formats import (
    FormatError,
    NotASegmentationError,
    is_likely_density_map,
    is_volume_file,
    open_file,
    points_from_flat_array,
    read_density_header,
    read_mrc_dtype,
    write_density,
)

SHAPE = (7, 5, 3)
RATE = (1.5, 2.5, 3.5)


@pytest.fixture
def labels():
    """Label volume [x, y, z] with three sides that differ: bugs hide in cubes."""
    rng = np.random.default_rng(1)
    return rng.choice([0, 0, 0, 1, 2, 5], size=SHAPE).astype(np.int16)


def check_points(container, labels):
    """Compare with the volume that was written, voxel by voxel."""
    values = sorted(set(labels[labels != 0].tolist()))
    assert len(container) == len(values)
    for entity, value in zip(container, values, strict=True):
        expected = np.argwhere(labels == value)
        found = entity.vertices[np.lexsort(entity.vertices.T[::-1])]
        np.testing.assert_array_equal(found, expected)
        box = entity.vertex_properties
        assert box.properties == ["label"]
        assert set(box.get_property("label").tolist()) == {value}


EXTENSIONS = ("mrc", "map", "em", "h5", "nrrd", "nii")


@pytest.mark.parametrize("pack", ["", ".gz"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_written_volume_reads_back_equal(tmp_path, labels, extension, pack):
    path = tmp_path / f"a.{extension}{pack}"
    rate = 2.5 if extension == "em" else RATE
    write_density(labels, path, rate, (10, 20, 30))
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == bool(pack)
    container = open_file(path)
    check_points(container, labels)
    np.testing.assert_array_equal(container.shape, SHAPE)
    assert container.shape.dtype == np.float32
    np.testing.assert_allclose(container.sampling, rate)
    shape, sampling = read_density_header(path)
    assert shape == SHAPE
    np.testing.assert_allclose(sampling, np.broadcast_to(rate, 3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_compression_is_told_by_the_magic_bytes_and_not_the_name(tmp_path, labels, extension):
    plain = tmp_path / f"a.{extension}"
    write_density(labels, plain, 2.5)
    for compress in (gzip.compress, bz2.compress):
        packed = tmp_path / f"b.{extension}"
        packed.write_bytes(compress(plain.read_bytes()))
        check_points(open_file(packed), labels)
    misnamed = tmp_path / f"c.{extension}.gz"
    shutil.copy(plain, misnamed)
    check_points(open_file(misnamed), labels)


def test_the_same_volume_gives_the_same_bytes(tmp_path, labels):
    for name in ("a.mrc.gz", "b.mrc.gz"):
        write_density(labels, tmp_path / name)
    assert (tmp_path / "a.mrc.gz").read_bytes() == (tmp_path / "b.mrc.gz").read_bytes()


# ---------------------------------------------------------------- points


def test_points_are_grouped_by_value_ascending_with_x_fastest():
    flat = np.array([0, 2, -1, 2, 0, 2], dtype=np.int8)
    clouds = points_from_flat_array(flat, (3, 2, 1))
    assert [cloud.tolist() for cloud in clouds] == [
        [[2, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [2, 1, 0]],
    ]
    assert all(cloud.dtype == np.float32 for cloud in clouds)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", ">i2", "u2", ">i4", "u8", "f2", ">f4"])
def test_every_type_of_value_is_grouped(dtype):
    values = np.array([0, 1, 0, 1], dtype=dtype)
    (cloud,) = points_from_flat_array(values, (2, 1, 2))
    assert cloud.tolist() == [[1, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("extension", "dtype", "labels"),
    [
        ("h5", "u4", [1, 65_536, 2**31, 2**32 - 1]),
        ("nii", "u4", [1, 2**24 + 1, 2**32 - 1]),
        ("nrrd", "u4", [7, 2**32 - 2, 2**32 - 1]),
        ("em", "i4", [-(2**31), 1, 2**24 + 1, 2**31 - 1]),
        ("h5", "u8", [1, 2**53 + 1, 2**64 - 1]),
        ("nrrd", "i8", [-(2**63), 2**53 + 1, 2**63 - 1]),
    ],
)
def test_sparse_labels_of_any_size_keep_their_exact_number(tmp_path, extension, dtype, labels):
    data = np.zeros(SHAPE, dtype=dtype)
    data.reshape(-1)[: 9 * len(labels) : 9] = np.array(labels, dtype=dtype)
    path = tmp_path / f"a.{extension}"
    write_density(data, path, 2.0)
    container = open_file(path)
    check_points(container, data)
    found = [box.get_property("label")[0] for box in container.vertex_properties]
    assert found == labels
    assert found[0].dtype == np.dtype(dtype)


def test_more_labels_than_uint16_has_are_told_apart(tmp_path):
    # As sparse as identifiers of a database; a large limit says that they are labels.
    numbers = np.arange(1, 66_001, dtype=np.uint32) * np.uint32(65_003)
    data = np.zeros((41, 43, 47), dtype=np.uint32)
    data.reshape(-1)[: len(numbers)] = np.random.default_rng(1).permutation(numbers)
    path = tmp_path / "a.nrrd"
    write_density(data, path)
    with pytest.raises(NotASegmentationError, match="10000"):
        open_file(path)
    container = open_file(path, max_cluster=100_000)
    assert len(container) == len(numbers)
    found = np.concatenate([box.get_property("label") for box in container.vertex_properties])
    np.testing.assert_array_equal(found, numbers)
    x, y, z = np.concatenate(container.vertices).astype(int).T
    np.testing.assert_array_equal(data[x, y, z], numbers)


def test_all_background_gives_no_entity():
    assert points_from_flat_array(np.zeros(6), (3, 2, 1)) == []
    assert points_from_flat_array(np.zeros(0), (0, 2, 1)) == []
    with pytest.raises(ValueError, match="5 values for dims"):
        points_from_flat_array(np.zeros(5), (3, 2, 1))


def test_nan_is_background(tmp_path):
    data = np.array([np.nan, 1, 0, 2], dtype=np.float32).reshape(2, 2, 1)
    write_density(data, tmp_path / "a.mrc")
    container = open_file(tmp_path / "a.mrc")
    assert [entity.vertices.tolist() for entity in container] == [[[0, 1, 0]], [[1, 1, 0]]]


def test_an_infinite_voxel_is_refused(tmp_path):
    write_density(np.full((2, 2, 2), np.inf, dtype=np.float32), tmp_path / "a.mrc")
    with pytest.raises(FormatError, match="infinite"):
        open_file(tmp_path / "a.mrc")


def test_an_empty_segmentation_has_no_entity_but_its_shape(tmp_path):
    write_density(np.zeros(SHAPE, dtype=np.int8), tmp_path / "a.mrc")
    container = open_file(tmp_path / "a.mrc")
    assert len(container) == 0
    np.testing.assert_array_equal(container.shape, SHAPE)


def test_points_do_not_depend_on_the_size_of_a_slab(monkeypatch, labels):
    from mosaicflow.formats.volumes import volume

    labels[:, :, 1] = 0  # a slab without labels, which the second pass leaves out
    flat = labels.transpose(2, 1, 0).ravel()
    whole = points_from_flat_array(flat, SHAPE)
    monkeypatch.setattr(volume, "_SLAB_VOXELS", 1)
    for cloud, other in zip(whole, points_from_flat_array(flat, SHAPE), strict=True):
        np.testing.assert_array_equal(cloud, other)


# ---------------------------------------------------------------- density or labels


def test_too_many_values_are_no_segmentation(tmp_path):
    data = np.arange(40 * 30 * 20, dtype=np.int32).reshape(40, 30, 20)
    path = tmp_path / "a.h5"
    write_density(data, path)
    with pytest.raises(NotASegmentationError, match="10000"):
        open_file(path)
    assert len(open_file(path, max_cluster=24_000)) == 23_999
    with pytest.raises(NotASegmentationError, match="more than 50 "):
        open_file(path, max_cluster=50)
    assert is_likely_density_map(path) is True
    assert is_likely_density_map(path, max_cluster=24_000) is False
    assert issubclass(NotASegmentationError, ValueError)


def test_exactly_the_limit_is_still_a_segmentation(tmp_path):
    data = np.arange(100, dtype=np.int16).reshape(10, 5, 2)
    write_density(data, tmp_path / "a.mrc")
    assert len(open_file(tmp_path / "a.mrc", max_cluster=100)) == 99
    with pytest.raises(NotASegmentationError):
        open_file(tmp_path / "a.mrc", max_cluster=99)


def test_the_verdict_on_a_large_volume_is_the_same_every_time(tmp_path):
    rng = np.random.default_rng(3)
    data = rng.integers(0, 10_050, size=(120, 110, 100)).astype(np.int16)
    write_density(data, tmp_path / "a.mrc")
    verdicts = {is_likely_density_map(tmp_path / "a.mrc") for _ in range(3)}
    assert len(verdicts) == 1
    write_density(data % 40, tmp_path / "b.mrc")
    assert is_likely_density_map(tmp_path / "b.mrc") is False
    # A density that is flat but for the far end is still seen: samples come from everywhere.
    data[:, :, :95] = 0
    data[:, :, 95:] = np.arange(120 * 110 * 5).reshape(120, 110, 5) % 30_000
    write_density(data, tmp_path / "c.mrc")
    assert is_likely_density_map(tmp_path / "c.mrc", max_cluster=2000) is True


def test_an_mrc_of_floats_is_a_density_by_its_mode_alone(tmp_path):
    path = tmp_path / "a.mrc"
    write_density(np.zeros((4, 4, 4), dtype=np.float32), path)
    assert is_likely_density_map(path) is True
    path.write_bytes(path.read_bytes()[:1024])
    assert is_likely_density_map(path) is True
    write_density(np.zeros((4, 4, 4), dtype=np.complex64), tmp_path / "b.mrc")
    assert is_likely_density_map(tmp_path / "b.mrc") is True
    with pytest.raises(NotASegmentationError, match="complex"):
        open_file(tmp_path / "b.mrc")
    write_density(np.zeros((4, 4, 4), dtype=np.complex64), tmp_path / "b.em")
    assert is_likely_density_map(tmp_path / "b.em") is True


def test_volume_files_are_known_by_name_alone(tmp_path):
    for name in ("a.mrc", "A.MAP", "a.em", "a.h5", "a.nrrd", "a.nii", "a.nii.gz", "a.mrc.gz"):
        assert is_volume_file(tmp_path / name) is True
    for name in ("a.star", "mrc", "a", "a.gz", "a.mrcs"):
        assert is_volume_file(name) is False
    assert is_likely_density_map(tmp_path / "absent.star") is False
    with pytest.raises(FileNotFoundError):
        is_likely_density_map(tmp_path / "absent.mrc")


# ---------------------------------------------------------------- MRC


@pytest.fixture
def mrc(tmp_path, labels):
    """An MRC file of mrcfile's, [z, y, x] as that library has it."""
    path = tmp_path / "a.mrc"
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(labels.transpose(2, 1, 0).copy())
        file.voxel_size = RATE
        file.header.origin = (5, 6, 7)
        file.nstart = (1, 2, 3)
    return path


def patch(path, place, content):
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)


def words(*values, order="<"):
    return struct.pack(f"{order}{len(values)}i", *values)


def test_a_file_of_mrcfile_reads_in_xyz(mrc, labels):
    container = open_file(mrc)
    check_points(container, labels)
    np.testing.assert_allclose(container.sampling, RATE)
    assert read_mrc_dtype(mrc) is np.int16


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2), (2, 3, 1), (3, 2, 1), (1, 3, 2), (2, 1, 3)])
def test_permuted_axes_come_back_in_xyz(tmp_path, labels, axes):
    path = tmp_path / "a.mrc"
    # Columns run along axes[0], rows along axes[1], sections along axes[2].
    stored = labels.transpose([axis - 1 for axis in axes])
    with mrcfile.new(path) as file:
        file.set_data(stored.transpose(2, 1, 0).copy())
        file.header.mapc, file.header.mapr, file.header.maps = axes
        file.header.mx, file.header.my, file.header.mz = SHAPE
        file.header.cella = tuple(n * r for n, r in zip(SHAPE, RATE, strict=True))
    container = open_file(path)
    check_points(container, labels)
    np.testing.assert_array_equal(container.shape, SHAPE)
    np.testing.assert_allclose(container.sampling, RATE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("name", "length"), [("a.mrc", 1024), ("a.em", 512)])
def test_size_and_voxel_size_come_from_the_header_alone(tmp_path, labels, name, length, pack):
    path = tmp_path / name
    write_density(labels, path, 2.5)
    path.write_bytes(pack(path.read_bytes()[:length]))
    shape, sampling = read_density_header(path)
    assert shape == SHAPE
    np.testing.assert_allclose(sampling, [2.5] * 3)


def test_invalid_axes_count_as_the_usual_ones(mrc, labels):
    for axes in [(0, 0, 0), (1, 1, 3), (4, 2, 1)]:
        patch(mrc, 64, words(*axes))
        check_points(open_file(mrc), labels)


def test_sampling_is_cell_by_intervals_and_zero_means_one(mrc):
    patch(mrc, 28, words(14, 10, 6))
    np.testing.assert_allclose(open_file(mrc).sampling, [0.75, 1.25, 1.75])
    patch(mrc, 40, struct.pack("<3f", 0, 10, 0))
    np.testing.assert_allclose(open_file(mrc).sampling, [1, 1, 1])
    patch(mrc, 28, words(0, 5, 0))
    np.testing.assert_allclose(open_file(mrc).sampling, [1, 2, 1])


@pytest.mark.parametrize("stamp", [b"\x11\x11", b"\0\0", b"ab"])
def test_big_endian_files_are_told_by_stamp_or_column_axis(tmp_path, labels, stamp):
    path = tmp_path / "a.mrc"
    header = bytearray(1024)
    header[:40] = words(*SHAPE, 1, 0, 0, 0, *SHAPE, order=">")
    header[40:52] = struct.pack(">3f", *(n * r for n, r in zip(SHAPE, RATE, strict=True)))
    header[64:76] = words(1, 2, 3, order=">")
    header[208:214] = b"MAP " + stamp
    path.write_bytes(header + labels.transpose(2, 1, 0).astype(">i2").tobytes())
    container = open_file(path)
    check_points(container, labels)
    np.testing.assert_allclose(container.sampling, RATE)


@pytest.mark.parametrize("stamp", [b"DD", b"DA", b"\0\0"])
def test_little_endian_files_are_told_by_stamp_or_column_axis(mrc, labels, stamp):
    patch(mrc, 212, stamp)
    check_points(open_file(mrc), labels)


def test_an_extended_header_is_passed_over_and_bytes_after_the_data_ignored(mrc, labels):
    data = mrc.read_bytes()
    mrc.write_bytes(data[:92] + words(160) + data[96:1024] + b"\7" * 160 + data[1024:] + b"rest")
    check_points(open_file(mrc), labels)


def test_a_file_from_before_2000_has_no_magic_bytes(mrc, labels):
    patch(mrc, 208, bytes(8))
    check_points(open_file(mrc), labels)


def test_a_cell_of_the_whole_volume_with_one_interval_is_said_aloud(mrc, caplog):
    patch(mrc, 36, words(1))
    assert open_file(mrc).sampling[2] == pytest.approx(3 * RATE[2])
    assert "mz is 1" in caplog.text


MODES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_and_written_as_mrcfile_does(tmp_path, mode):
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(MODES[mode])
    path = tmp_path / "a.mrc"
    write_density(data, path, RATE, (10.4, -20.6, 30))
    with mrcfile.open(path) as file:
        assert file.header.mode == mode
        np.testing.assert_array_equal(file.data.transpose(2, 1, 0), data)
    assert read_mrc_dtype(path) is np.dtype(MODES[mode]).type
    if mode != 4:
        assert sum(len(entity.vertices) for entity in open_file(path)) == data.size - 1


def test_the_header_we_write_is_valid_and_complete(tmp_path):
    data = np.random.default_rng(2).normal(5, 2, SHAPE).astype(np.float32)
    path = tmp_path / "a.mrc"
    write_density(data, path, RATE, (10.4, -20.6, 30))
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        header = file.header
        assert (header.nx, header.ny, header.nz) == SHAPE
        assert (header.mx, header.my, header.mz) == SHAPE
        assert (header.mapc, header.mapr, header.maps) == (1, 2, 3)
        assert (header.nxstart, header.nystart, header.nzstart) == (7, -8, 9)
        assert header.nversion == 20140
        assert header.ispg == 1
        assert bytes(header.machst)[:2] == b"DD"
        np.testing.assert_allclose(list(header.origin.item()), [10.4, -20.6, 30], rtol=1e-6)
        np.testing.assert_allclose(list(file.voxel_size.item()), RATE, rtol=1e-6)
        statistics = [header.dmin, header.dmax, header.dmean, header.rms]
        expected = [data.min(), data.max(), data.mean(), data.std()]
        np.testing.assert_allclose(statistics, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (0, words(0), "0 x 5 x 3 voxels"),
        (4, words(-5), "7 x -5 x 3 voxels"),
        (0, words(2**31 - 1, 2**31 - 1), "truncated"),
        (0, words(700), "truncated: 21000 bytes of data are announced"),
        (12, words(3), "mode 3"),
        (92, words(-1), "extended header of -1"),
        (92, words(10**9), "truncated"),
        (40, struct.pack("<f", np.nan), "cell lengths"),
        (44, struct.pack("<f", -1), "cell lengths"),
    ],
)
def test_bad_mrc_headers_are_named(mrc, place, content, message):
    patch(mrc, place, content)
    with pytest.raises(FormatError, match=message):
        open_file(mrc)


def test_a_stamp_and_axes_that_tell_no_order_are_named(mrc):
    patch(mrc, 212, b"ab")
    patch(mrc, 64, words(9))
    with pytest.raises(FormatError, match="no byte order"):
        open_file(mrc)
    assert read_mrc_dtype(mrc) is None


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("length", [0, 100, 1023, 1024, 1233])
def test_a_truncated_mrc_is_named(mrc, pack, length):
    mrc.write_bytes(pack(mrc.read_bytes()[:length]))
    with pytest.raises(FormatError, match=r"a\.mrc: .*(too few|truncated)"):
        open_file(mrc)


def test_damaged_compression_is_named(mrc):
    packed = gzip.compress(mrc.read_bytes())
    mrc.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FormatError, match="gzip compression is damaged"):
        open_file(mrc)


def test_the_type_of_a_file_that_is_no_mrc_is_none(text_file, mrc):
    assert read_mrc_dtype(text_file("a.mrc", "hello")) is None
    patch(mrc, 12, words(99))
    assert read_mrc_dtype(mrc) is None


# ---------------------------------------------------------------- EM


def em_file(path, labels, order="<", code=2, dtype="i2", pixel=2500, machine=None):
    header = bytearray(512)
    header[0] = machine or (6 if order == "<" else 5)
    header[3] = code
    header[4:16] = words(*SHAPE, order=order)
    header[120:124] = words(pixel, order=order)
    path.write_bytes(header + labels.transpose(2, 1, 0).astype(order + dtype).tobytes())
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(1, "i1"), (2, "i2"), (4, "i4"), (5, "f4"), (9, "f8"), (3, "i4"), (6, "f8")],
)
def test_em_files_of_either_byte_order_and_every_type(tmp_path, labels, order, code, dtype):
    container = open_file(em_file(tmp_path / "a.em", labels, order, code, dtype))
    check_points(container, labels)
    assert container.sampling == (2.5, 2.5, 2.5)
    np.testing.assert_array_equal(container.shape, SHAPE)


@pytest.mark.parametrize("machine", [3, 5])
def test_both_big_endian_machines_of_em_are_known(tmp_path, labels, machine):
    check_points(open_file(em_file(tmp_path / "a.em", labels, ">", machine=machine)), labels)


def test_the_em_layout_we_write(tmp_path, labels):
    path = tmp_path / "a.em"
    write_density(labels, path, 2.5678)
    content = path.read_bytes()
    assert (content[0], content[3]) == (6, 2)
    assert content[4:16] == words(*SHAPE)
    assert content[120:124] == words(2568)
    assert content[512:] == labels.transpose(2, 1, 0).astype("<i2").tobytes()


def test_an_em_file_without_pixel_size_has_one(tmp_path, labels):
    assert open_file(em_file(tmp_path / "a.em", labels, pixel=0)).sampling == (1, 1, 1)


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (0, b"\0", "machine code 0"),
        (3, b"\7", "type code 7"),
        (3, b"\3", "type code 3 is undefined"),
        (4, words(0), "0 x 5 x 3 voxels"),
        (4, words(70), "truncated"),
        (120, words(-4), "pixel size"),
    ],
)
def test_bad_em_files_are_named(tmp_path, labels, place, content, message):
    path = em_file(tmp_path / "a.em", labels)
    patch(path, place, content)
    with pytest.raises(FormatError, match=message):
        open_file(path)
    path.write_bytes(b"\6")
    with pytest.raises(FormatError, match="too few for an EM header"):
        open_file(path)


# ---------------------------------------------------------------- HDF5


def test_hdf5_data_is_indexed_xyz_and_the_rest_may_be_absent(tmp_path, labels):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = labels
    check_points(open_file(path), labels)
    assert open_file(path).sampling == (1, 1, 1)


def test_the_only_3d_dataset_is_taken_for_the_data(tmp_path, labels):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/volume", data=labels, chunks=(2, 3, 2), compression="gzip")
        file["table"] = np.zeros((3, 3))
        file["sampling_rate"] = 4.5
    check_points(open_file(path), labels)
    assert open_file(path).sampling == (4.5, 4.5, 4.5)
    with h5py.File(path, "a") as file:
        file["second"] = labels
    with pytest.raises(FormatError, match=r"no dataset 'data'.*group/volume.*second.*table"):
        open_file(path)


def test_the_hdf5_layout_we_write(tmp_path, labels):
    path = tmp_path / "a.h5"
    write_density(labels, path, RATE, (1, 2, 3))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["data"][()], labels)
        assert file["data"].dtype == labels.dtype
        assert file["sampling_rate"][()].tolist() == list(RATE)
        assert file["origin"][()].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("data", np.zeros((2, 2)), r"shape \(2, 2\)"),
        ("data", np.zeros((2, 0, 2)), r"shape \(2, 0, 2\)"),
        ("data", np.full((2, 2, 2), b"a"), "not numbers"),
        ("other", np.zeros(3), r"no dataset 'data'.*other \(3,\)"),
    ],
)
def test_bad_hdf5_files_are_named(tmp_path, name, value, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[name] = value
    with pytest.raises(FormatError, match=message):
        open_file(path)


def test_hdf5_that_announces_absurd_sizes_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", shape=(10**6,) * 3, chunks=(64,) * 3, dtype="i1")
    with pytest.raises(FormatError, match="voxels announced by a file of"):
        open_file(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("data", shape=(2048, 1024, 512), chunks=(2048, 1024, 512), dtype="i1")
    with pytest.raises(FormatError, match=r"voxels announced|too large"):
        open_file(path)
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((2, 2, 2))
        file["sampling_rate"] = [1.0, np.nan, 1]
    with pytest.raises(FormatError, match="sampling_rate"):
        open_file(path)


def test_links_out_of_an_hdf5_file_are_not_followed(tmp_path, labels):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = labels
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(SHAPE, dtype="i2")
        layout[...] = h5py.VirtualSource(tmp_path / "b.h5", "data", shape=SHAPE)
        file.create_virtual_dataset("data", layout)
    with pytest.raises(FormatError, match="other files"):
        open_file(path)
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink("b.h5", "data")
    with pytest.raises(FormatError, match="links to another file"):
        open_file(path)


def test_no_hdf5_and_a_cut_hdf5_are_named(tmp_path, labels):
    path = tmp_path / "a.h5"
    write_density(labels, path)
    whole = path.read_bytes()
    for content, message in [(b"hello", "magic bytes"), (whole[:1000], "damaged HDF5")]:
        path.write_bytes(content)
        with pytest.raises(FormatError, match=message):
            open_file(path)


# ---------------------------------------------------------------- NIfTI and NRRD


@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_of_nibabel_reads_in_xyz(tmp_path, labels, image, suffix):
    path = tmp_path / f"a{suffix}"
    stored = image(labels, np.diag([*RATE, 1]))
    # The unit is told and not converted.
    stored.header.set_xyzt_units("micron")
    nibabel.save(stored, path)
    container = open_file(path)
    check_points(container, labels)
    np.testing.assert_allclose(container.sampling, RATE)


def test_nifti_values_are_scaled_only_by_a_real_slope(tmp_path, labels):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(labels, np.eye(4))
    nibabel.save(image, path)
    for slope, intercept, factor in [(0, 5, 1), (1, 0, 1), (2, 0, 2)]:
        patch(path, 112, struct.pack("<2f", slope, intercept))
        check_points(open_file(path), labels.astype(float) * factor)
    patch(path, 112, struct.pack("<2f", 1, -1))
    check_points(open_file(path), labels.astype(float) - 1)


def test_one_time_point_is_still_a_volume(tmp_path, labels):
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(labels[..., None], np.eye(4)), path)
    check_points(open_file(path), labels)


def test_the_nifti_we_write_has_place_and_size(tmp_path, labels):
    path = tmp_path / "a.nii.gz"
    write_density(labels, path, RATE, (10, 20, 30))
    image = nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels)
    assert image.get_data_dtype() == labels.dtype
    np.testing.assert_allclose(image.affine[:3, 3], [10, 20, 30])
    np.testing.assert_allclose(image.header.get_zooms(), RATE)


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (0, words(5), "neither 348 nor 540"),
        (344, b"ni1\0", "separate .img"),
        (344, b"abc\0", "magic bytes"),
        (40, struct.pack("<8h", 4, 7, 5, 3, 2, 1, 1, 1), r"shape \(7, 5, 3, 2\)"),
        (40, struct.pack("<8h", 3, 7, 5, -3, 1, 1, 1, 1), r"shape \(7, 5, -3\)"),
        (40, struct.pack("<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1), "truncated"),
        (40, struct.pack("<8h", 99, 7, 5, 3, 1, 1, 1, 1), "shape|no shape"),
        (70, struct.pack("<h", 77), "type"),
        (70, struct.pack("<h", 128), "no single numbers"),
        (108, struct.pack("<f", np.nan), "voxels at byte nan"),
        (108, struct.pack("<f", -800), "voxels at byte -800"),
        (80, struct.pack("<f", np.inf), "voxel sizes"),
    ],
)
def test_bad_nifti_files_are_named(tmp_path, labels, place, content, message):
    path = tmp_path / "a.nii"
    write_density(labels, path)
    patch(path, place, content)
    with pytest.raises(FormatError, match=message):
        open_file(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("spacing", ["spacings", "space directions"])
def test_nrrd_of_pynrrd_reads_in_xyz(tmp_path, labels, encoding, spacing):
    path = tmp_path / "a.nrrd"
    header = {"encoding": encoding}
    if spacing == "spacings":
        header["spacings"] = list(RATE)
    else:
        turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
        header |= {"space dimension": 3, "space directions": turn * np.array(RATE)[:, None]}
    nrrd.write(str(path), labels, header, index_order="F")
    container = open_file(path)
    check_points(container, labels)
    np.testing.assert_allclose(container.sampling, RATE)


def test_nrrd_in_hex_big_endian_with_skips(tmp_path, labels):
    values = labels.transpose(2, 1, 0)
    head = "NRRD0001\n# c\ntype: short\ndimension: 3\nsizes: 7 5 3\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        f"{head}endian: big\nencoding: hex\n\n".encode()
        + values.astype(">i2").tobytes().hex().encode()
    )
    check_points(open_file(path), labels)
    raw = values.astype("<i2").tobytes()
    head += "endian: little\nencoding: raw\n"
    for skips, body in [
        ("line skip: 2\n", b"one\ntwo\n" + raw),
        ("byte skip: 3\n", b"abc" + raw),
        ("byteskip: -1\n", b"whatever" + raw),
    ]:
        path.write_bytes(f"{head}{skips}\n".encode() + body)
        check_points(open_file(path), labels)


def test_a_detached_nrrd_reads_from_its_own_folder_only(tmp_path, labels):
    (tmp_path / "a.raw").write_bytes(labels.transpose(2, 1, 0).astype("<i2").tobytes())
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 7 5 3\nendian: little\nencoding: raw\n"
    path = tmp_path / "a.nrrd"
    path.write_text(f"{head}data file: a.raw\n")
    check_points(open_file(path), labels)
    for name, message in [
        ("../a.raw", "outside"),
        ("LIST", "several files"),
        ("a%d.raw 1 3 1", "several files"),
    ]:
        path.write_text(f"{head}data file: {name}\n")
        with pytest.raises(FormatError, match=message):
            open_file(path)
    path.write_text(f"{head}data file: b.raw\n")
    with pytest.raises(FileNotFoundError):
        open_file(path)


def test_the_nrrd_we_write_reads_in_pynrrd(tmp_path, labels):
    path = tmp_path / "a.nrrd"
    write_density(labels, path, RATE, (10, 20, 30))
    data, header = nrrd.read(str(path), index_order="F")
    np.testing.assert_array_equal(data, labels)
    np.testing.assert_allclose(header["space origin"], [10, 20, 30])
    np.testing.assert_allclose(np.diag(header["space directions"]), RATE)


NRRD = "NRRD0004\ntype: int8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n12345678"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("NRRD0004", "NRRX0004"), "does not begin with 'NRRD000'"),
        (("type: int8\n", ""), "no field 'type'"),
        (("int8", "block"), "'block' are no numbers"),
        (("int8", "int16"), "endian is ''"),
        (("dimension: 3", "dimension: 2"), "dimension 2 with sizes"),
        (("sizes: 2 2 2", "sizes: 2 2 0"), "sizes"),
        (("sizes: 2 2 2", "sizes: 2 a 2"), "no readable NRRD header"),
        (("sizes: 2 2 2", "sizes: 9 9 9"), "truncated"),
        (("sizes: 2 2 2", "sizes: 999999999 999999999 999999999"), "truncated"),
        (("raw", "odd"), "encoding 'odd'"),
        (("raw", "gzip"), "gzip data is damaged"),
        (("raw", "bz2"), "bz2 data is damaged"),
        (("raw", "text"), "truncated|damaged"),
        (("raw", "hex"), "truncated|damaged"),
        (("encoding", "byte skip: -2\nencoding"), "byte skip -2"),
        (("encoding", "line skip: 5\nencoding"), "line skip 5"),
        (("encoding", "byte skip: 5\nencoding"), "truncated"),
        (("encoding", "spacings: inf 1 1\nencoding"), "spacings"),
        (("encoding", "dimension: 3\nencoding"), "no readable NRRD header"),
        (("encoding", "nonsense\nencoding"), "no readable NRRD header"),
        (("dimension: 3\nsizes: 2 2 2", "dimension: 4\nsizes: 2 2 2 1"), "3 axes are expected"),
    ],
)
def test_bad_nrrd_files_are_named(text_file, change, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file("a.nrrd", NRRD.replace(*change, 1)))


# ---------------------------------------------------------------- types written


@pytest.mark.parametrize(
    ("values", "dtype", "mode"),
    [
        ([0, 1], "?", 0),
        ([0, 127], "u1", 0),
        ([0, 128], "u1", 1),
        ([-5, 127], "i4", 0),
        ([-5, 300], "i8", 1),
        ([0, 40_000], "i4", 6),
        ([-1, 40_000], "i4", 2),
        ([0, 2**24], "u4", 2),
        ([0, 2**40], "i8", 2),
        ([0, 0.1], "f8", 2),
        ([0, 1j], "c16", 4),
    ],
)
def test_mrc_takes_the_smallest_mode_that_is_exact(tmp_path, values, dtype, mode):
    data = np.array(values, dtype=dtype).reshape(2, 1, 1)
    path = tmp_path / "a.mrc"
    write_density(data, path)
    with mrcfile.open(path) as file:
        assert file.header.mode == mode
        if dtype not in ("f8", "c16"):
            assert (
                file.data.ravel().astype(np.int64).tolist()
                == data.astype(np.int64).ravel().tolist()
            )


@pytest.mark.parametrize("extension", ["mrc", "em"])
def test_values_that_no_type_holds_exactly_are_refused(tmp_path, extension):
    data = np.array([0, 2**53 + 1]).reshape(2, 1, 1)
    with pytest.raises(ValueError, match="no type of this format holds them exactly"):
        write_density(data, tmp_path / f"a.{extension}")
    if extension == "mrc":
        with pytest.raises(ValueError, match="exactly"):
            write_density(np.array([-1, 2**24 + 1]).reshape(2, 1, 1), tmp_path / "a.mrc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["h5", "nii", "nrrd"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_other_formats_keep_the_type(tmp_path, extension, dtype):
    data = np.array([0, 3, 100, 7], dtype=dtype).reshape(2, 2, 1)
    path = tmp_path / f"a.{extension}"
    write_density(data, path)
    container = open_file(path)
    check_points(container, data)
    assert container.vertex_properties[0].get_property("label").dtype == np.dtype(dtype)


@pytest.mark.parametrize("data", [np.zeros((2, 2)), np.zeros((0, 2, 2)), np.full((1, 1, 1), "a")])
def test_what_is_no_volume_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"3-D|<U1 cannot be written in this format"):
        write_density(data, tmp_path / "a.mrc")
    with pytest.raises(ValueError, match="sampling_rate"):
        write_density(np.zeros((1, 1, 1)), tmp_path / "a.mrc", sampling_rate=(1, 2))
    with pytest.raises(ValueError, match="sampling_rate is -2, at least 0"):
        write_density(np.zeros((1, 1, 1)), tmp_path / "a.mrc", sampling_rate=-2)
    with pytest.raises(ValueError, match="sampling_rate is 'a', a number"):
        write_density(np.zeros((1, 1, 1)), tmp_path / "a.mrc", sampling_rate="a")
    with pytest.raises(ValueError, match="masked"):
        write_density(np.ma.masked_equal(np.ones((1, 1, 1)), 1), tmp_path / "a.mrc")
    with pytest.raises(ValueError, match="do not fit float32"):
        write_density(np.full((1, 1, 1), 1e300), tmp_path / "a.mrc")


def test_a_kind_of_number_that_a_format_lacks_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"complex64 cannot be written in this format.*float64"):
        write_density(np.zeros((1, 1, 1), dtype=np.complex64), tmp_path / "a.nrrd")


def test_a_missing_folder_is_named(tmp_path, labels):
    with pytest.raises(FileNotFoundError, match=r"a\.mrc: there is no folder .*absent"):
        write_density(labels, tmp_path / "absent" / "a.mrc")


def test_a_name_of_bzip2_compresses(tmp_path, labels):
    path = tmp_path / "a.mrc.bz2"
    write_density(labels, path)
    assert path.read_bytes()[:3] == b"BZh"
    check_points(open_file(path), labels)


@pytest.mark.parametrize("size", [1e-4, 1e9])
def test_a_voxel_size_that_em_cannot_hold_is_refused(tmp_path, labels, size):
    with pytest.raises(ValueError, match="EM cannot hold a voxel size"):
        write_density(labels, tmp_path / "a.em", size)
    assert list(tmp_path.iterdir()) == []


def test_em_has_one_voxel_size_and_says_so(tmp_path, labels):
    with pytest.warns(UserWarning, match="EM has one voxel size, 1.5"):
        write_density(labels, tmp_path / "a.em", RATE)
    assert open_file(tmp_path / "a.em").sampling == (1.5, 1.5, 1.5)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, labels):
    path = tmp_path / "a.mrc"
    write_density(labels, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exactly"):
        write_density(np.array([-1, 2**24 + 1]).reshape(2, 1, 1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_any_other_extension_is_mrc(tmp_path, labels):
    write_density(labels, tmp_path / "volume.dat")
    with mrcfile.open(tmp_path / "volume.dat") as file:
        np.testing.assert_array_equal(file.data.transpose(2, 1, 0), labels)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("name", ["a.mrc", "a.mrc.gz", "a.nrrd", "a.h5"])
def test_a_large_volume_of_few_labels_takes_little_memory(tmp_path, name):
    # 74 MB: just above what a compressed volume may take in memory.
    volume = np.zeros((420, 420, 420), dtype=np.int8)
    volume[300:310, 300:310, 300:310] = 3
    path = tmp_path / name
    write_density(volume, path)
    del volume
    open_file(path)  # imports
    tracemalloc.start()
    container = open_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(container[0].vertices) == 1000
    assert peak < 25e6


def test_a_map_does_not_become_resident(tmp_path):
    # 343 MB of holes and a few labels; what is measured includes mapped pages.
    path = tmp_path / "a.mrc"
    write_density(np.ones((1, 1, 1), dtype=np.int8), path)
    header = bytearray(path.read_bytes()[:1024])
    header[:12] = words(700, 700, 700)
    with path.open("wb") as file:
        file.write(header)
        file.seek(1024 + 700**3 - 1)
        file.write(b"\1")
    code = (
        "import resource, sys\nfrom mosaicflow import formats\n"
        "formats.read_volume, formats.GeometryDataContainer\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = used()\n"
        "cloud = formats.open_file(sys.argv[1])[0].vertices.tolist()\n"
        "print(cloud, used() - before)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    cloud, grown = result.stdout.rsplit(" ", 1)
    assert cloud == "[[699.0, 699.0, 699.0]]"
    assert int(grown) < 120  # MB


def test_a_bomb_is_read_no_further_than_its_header_says(tmp_path, labels):
    path = tmp_path / "a.mrc"
    write_density(labels, path)
    with gzip.open(path.with_suffix(".mrc.gz"), "wb", compresslevel=9) as packed:
        packed.write(path.read_bytes())
        for _ in range(64):
            packed.write(bytes(1 << 22))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_points(open_file(path.with_suffix(".mrc.gz")), labels)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# ---------------------------------------------------------------- real files

MAPS = {
    # shape z y x, voxel size x y z, range of values: SOURCE.txt, read there with mrcfile
    "EMD-3001.map": ((25, 43, 73), (0.448, 0.393, 0.459), (-0.3681, 0.7216)),
    "EMD-3001.map.bz2": ((25, 43, 73), (0.448, 0.393, 0.459), (-0.3681, 0.7216)),
    "EMD-3197.map": ((20, 20, 20), (11.4, 11.4, 11.4), (-4.134, 5.577)),
    "emd_3197.map.gz": ((20, 20, 20), (11.4, 11.4, 11.4), (-4.134, 5.577)),
    "em_map.map": ((20, 14, 19), (5.28, 5.28, 5.28), (-3.293, 4.538)),
}


@pytest.mark.parametrize("name", MAPS)
def test_real_maps_have_what_their_source_states(shared_data, name):
    path = shared_data(f"em_maps/{name}")
    stored_shape, voxel, value_range = MAPS[name]
    with mrcfile.open(path) as file:
        assert file.data.shape == stored_shape
        axes = [int(a) - 1 for a in (file.header.mapc, file.header.mapr, file.header.maps)]
        stored = file.data.transpose(2, 1, 0)
        expected = stored.transpose([axes.index(axis) for axis in range(3)])
    shape, sampling = read_density_header(path)
    assert shape == expected.shape
    np.testing.assert_allclose(sampling, voxel, atol=5e-4)
    assert read_mrc_dtype(path) is np.float32
    assert is_likely_density_map(path) is True
    # Every voxel, by way of "labels": each value is one entity at its voxels.
    container = open_file(path, max_cluster=10**6)
    found = np.zeros(shape, dtype=np.float32)
    for entity in container:
        x, y, z = entity.vertices.astype(int).T
        found[x, y, z] = entity.vertex_properties.get_property("label")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose([found.min(), found.max()], value_range, atol=5e-4)


def test_the_real_map_of_many_values_is_no_segmentation(shared_data):
    with pytest.raises(NotASegmentationError, match="10000"):
        open_file(shared_data("em_maps/EMD-3001.map"))


# What mrcfile warns of besides (see pyproject.toml) pytest.warns tells again, as its own.
@pytest.mark.filterwarnings("ignore:Setting the dtype on a NumPy array:DeprecationWarning")
def test_the_real_vesicle_labels(shared_data):
    path = shared_data("em_segmentation/t74_vesicle3_bin6.Labels.mrc")
    container = open_file(path)
    # Written before 2000: neither magic bytes nor machine stamp, which mrcfile takes only with
    # warnings.
    with pytest.warns(RuntimeWarning), mrcfile.open(path, permissive=True) as file:
        expected = np.argwhere(file.data.transpose(2, 1, 0) == 1)
    assert len(container) == 1
    np.testing.assert_array_equal(container.shape, [100, 100, 50])
    assert container.sampling == (1, 1, 1)
    found = container[0].vertices
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], expected)


@pytest.mark.slow
def test_the_real_mitochondrion_labels_and_the_trap_in_their_header(shared_data, caplog):
    path = shared_data("em_segmentation/TE1.mrc.gz")
    container = open_file(path)
    with mrcfile.open(path) as file:
        assert file.data.shape == (312, 928, 960)
        counts = np.bincount(file.data.reshape(-1).view(np.uint8))
    assert [len(entity.vertices) for entity in container] == counts[1:].tolist()
    labels = [box.get_property("label")[0] for box in container.vertex_properties]
    assert labels == [1, 2, 3]
    np.testing.assert_array_equal(container.shape, [960, 928, 312])
    np.testing.assert_allclose(container.sampling, [12.44, 12.44, 3881.28], rtol=1e-4)
    assert "mz is 1 for 312 sections" in caplog.text


def test_the_real_nrrd_and_nifti_are_the_same_volume(shared_data):
    first = open_file(shared_data("volume_nrrd_nifti_mesh/avf_float_32.nrrd"))
    path = shared_data("volume_nrrd_nifti_mesh/avf_float_32.nii.gz")
    second = open_file(path)
    image = nibabel.load(path)
    values = np.asarray(image.dataobj)
    for container in (first, second):
        np.testing.assert_array_equal(container.shape, [74, 93, 20])
        np.testing.assert_allclose(container.sampling, [0.72266, 0.72266, 1], rtol=1e-5)
        found = np.zeros(values.shape, dtype=np.float32)
        for entity in container:
            x, y, z = entity.vertices.astype(int).T
            found[x, y, z] = entity.vertex_properties.get_property("label")
        np.testing.assert_array_equal(found, values)
    data, _ = nrrd.read(str(shared_data("volume_nrrd_nifti_mesh/avf_float_32.nrrd")))
    np.testing.assert_array_equal(data, values)
