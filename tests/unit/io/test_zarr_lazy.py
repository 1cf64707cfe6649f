"""A lazy image is a dask array, and is read in one go where nothing was done to it."""

from __future__ import annotations

import math
import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.io.zarr import LevelReader, OmeZarrWriter, copying, open_level, read_omezarr
from mosaicflow.io.zarr.copying import copy_step

from .conftest import noise

DATA = noise((6, 40, 50))


@pytest.fixture
def reads(monkeypatch) -> list:
    """Keys of all reads from a store."""
    found: list = []
    read = LevelReader.__getitem__
    monkeypatch.setattr(
        LevelReader, "__getitem__", lambda self, key: (found.append(key), read(self, key))[1]
    )
    return found


@pytest.mark.parametrize(
    "cut",
    [
        lambda a: a,
        lambda a: a[:],
        lambda a: a[2:5, 3:33, -7:],
        lambda a: a[1:][:4, ..., 10:][2:, 5, 3:9],
        lambda a: a[-1, np.int64(3)],
        lambda a: a[2, 3, 4],
        lambda a: a[4:2, 50:],
    ],
)
def test_a_box_is_one_read(store, reads, cut):
    image, _ = read_omezarr(store)
    part = cut(image)
    for found in (part.compute(), np.asarray(part), np.asarray(part, dtype=np.float64)):
        np.testing.assert_array_equal(found, cut(DATA))
    assert part.compute().dtype == np.float32
    assert type(part.compute()) is type(cut(DATA))
    assert part.shape == cut(DATA).shape
    assert len(reads) == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[::2],
        lambda a: a[:, ::-1],
        lambda a: a[:, [3, 1]],
        lambda a: a[None, 2:],
        lambda a: a[2:] * 2,
        lambda a: a[:, a[0, :, 0] > 1],
        lambda a: a.astype(np.float64)[1],
    ],
)
def test_everything_else_is_left_to_dask(store, change):
    image, _ = read_omezarr(store)
    np.testing.assert_array_equal(change(image).compute(), change(DATA))


def test_what_was_assigned_is_not_lost(store):
    image, _ = read_omezarr(store)
    part, expected = image[1:], DATA.copy()
    image[0] = 7
    expected[0] = 7
    np.testing.assert_array_equal(image.compute(), expected)
    np.testing.assert_array_equal(image[:2].compute(), expected[:2])
    np.testing.assert_array_equal(part.compute(), DATA[1:])


def test_the_scheduler_of_the_user_is_used(store, reads):
    image, _ = read_omezarr(store)
    for settings in ({"scheduler": "synchronous"}, {"num_workers": 1}):
        reads.clear()
        np.testing.assert_array_equal(image.compute(**settings), DATA)
        assert len(reads) == 6
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(image.compute(), DATA)
    tasks = []
    with Callback(pretask=lambda key, *_: tasks.append(key)):
        np.testing.assert_array_equal(image[:, 20:].compute(), DATA[:, 20:])
    assert len(tasks) >= 3


def test_it_is_a_dask_array_in_all_respects(store):
    image, _ = read_omezarr(store)
    copies = [image.persist(), image.copy(), pickle.loads(pickle.dumps(image)), image.rechunk(13)]
    copies += [da.concatenate([image[:2], image[2:]]), dask.compute(image)[0]]
    for copy in copies:
        np.testing.assert_array_equal(np.asarray(copy), DATA)
    assert image.chunks == ((6,), (20, 20), (20, 20, 10))
    assert float(image.sum()) == pytest.approx(DATA.sum(), rel=1e-5)


def test_swapped_axes_stay_swapped(store):
    image, _ = read_omezarr(store, lateral_order="xy")
    swapped = DATA.transpose(0, 2, 1)
    np.testing.assert_array_equal(image.compute(), swapped)
    np.testing.assert_array_equal(image[2, 5:31, 7].compute(), swapped[2, 5:31, 7])


@pytest.mark.parametrize("chunks", [(6, 20, 20), (4, 7, 16), (3, 40, 50)])
@pytest.mark.parametrize("step_bytes", [1, 2000, 2**26])
def test_a_store_is_copied_part_by_part(store, tmp_path, flavour, monkeypatch, chunks, step_bytes):
    monkeypatch.setattr(copying, "_STEP_BYTES", step_bytes)
    image, resolution = read_omezarr(store)
    monkeypatch.setattr(da, "store", None)  # dask is not asked
    writer = OmeZarrWriter(tmp_path / "b.ome.zarr", DATA.shape, chunks, ngff_version=flavour)
    writer[:] = image
    writer.finalize(resolution)
    np.testing.assert_array_equal(open_level(tmp_path / "b.ome.zarr")[...], DATA)


def test_a_part_of_a_store_is_copied_to_another_place(store, tmp_path, flavour):
    image, resolution = read_omezarr(store)
    writer = OmeZarrWriter(
        tmp_path / "b.ome.zarr", (2, 40, 40), (1, 20, 20), ngff_version=flavour, sharding_factor=1
    )
    writer[1:, :20, 20:] = image[3:4, 11:31, 30:]
    writer[0] = image[5, :, 5:45]  # an axis less
    writer.finalize(resolution)
    found = open_level(tmp_path / "b.ome.zarr")[...]
    np.testing.assert_array_equal(found[0], DATA[5, :, 5:45])
    np.testing.assert_array_equal(found[1, :20, 20:], DATA[3, 11:31, 30:])
    assert not found[1, 20:].any()


def test_a_copy_of_another_type_is_converted_or_refused(store, tmp_path):
    image, resolution = read_omezarr(store)
    writer = OmeZarrWriter(tmp_path / "b.ome.zarr", DATA.shape, dtype=np.float64)
    writer[:] = image
    writer.finalize(resolution)
    np.testing.assert_array_equal(open_level(tmp_path / "b.ome.zarr")[...], DATA)
    with pytest.raises(TypeError, match="do not fit a uint8 store"):
        OmeZarrWriter(tmp_path / "c.ome.zarr", DATA.shape, dtype=np.uint8)[:] = image


extents = st.lists(st.integers(1, 3000), min_size=3, max_size=3)
sizes = st.lists(st.integers(1, 300), min_size=3, max_size=3)


@given(extents, sizes, sizes, st.sampled_from([1, 2, 4, 8]))
def test_a_step_is_whole_files_and_fits_the_memory(shape, block, chunks, itemsize):
    step = copy_step(shape, tuple(block), chunks, itemsize)
    assert all(s % b == 0 for s, b in zip(step, block, strict=True))
    assert math.prod(step) * itemsize <= 64 * 2**20 or step == tuple(block)


def test_chunks_of_the_source_are_not_decoded_for_every_file():
    step = copy_step((640, 8192, 8192), (10, 128, 128), (64, 256, 256), 4)
    assert step[0] % 64 == 0
    assert step[1] % 256 == 0
