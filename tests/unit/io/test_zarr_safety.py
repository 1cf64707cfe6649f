"""Writing never loses data in silence, and never leaves half a store that looks whole."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest

from mosaicflow.errors import StoreError
from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    check_distinct,
    is_finished,
    open_level,
    read_omezarr,
    read_omezarr_info,
    save_omezarr,
    write_regions,
)

from .conftest import noise

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        (np.s_[0:3, 0:20, 0:20], r"\[0:6, 0:20, 0:20\]"),
        (np.s_[:, 5:25, :20], r"\[0:6, 0:40, 0:20\]"),
        (np.s_[2], r"\[0:6, 0:40, 0:50\]"),
    ],
)
def test_a_part_of_a_chunk_is_refused(tmp_path, flavour, key, nearest):
    writer = OmeZarrWriter(
        tmp_path / "a.ome.zarr", (6, 40, 50), (6, 20, 20), ngff_version=flavour, sharding_factor=1
    )
    with pytest.raises(ValueError, match=f"nearest region that does is {nearest}"):
        writer[key] = 1
    assert not writer[...].any()


def test_a_part_of_a_shard_is_refused(tmp_path):
    writer = OmeZarrWriter(
        tmp_path / "a.ome.zarr", (6, 40, 50), (6, 10, 10), ngff_version="0.5", sharding_factor=2
    )
    assert writer.shards == (6, 20, 20)
    with pytest.raises(ValueError, match=r"whole blocks of \(6, 20, 20\)"):
        writer[:, :10, :10] = 1
    writer[:, 20:, 40:] = 1  # up to the end of the array


def test_shards_need_the_second_flavour(tmp_path):
    with pytest.raises(ValueError, match=r"sharding needs --ngff_version 0\.5"):
        OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50), sharding_factor=2)
    assert OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50), sharding_factor=1).shards is None


def test_values_must_fit_the_region(tmp_path):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50))
    with pytest.raises(ValueError, match="broadcast"):
        writer[:] = np.ones((6, 40, 49), np.float32)
    with pytest.raises(IndexError, match="step 1"):
        writer[::2] = 1
    writer[:] = np.arange(50, dtype=np.float32)
    np.testing.assert_array_equal(writer[3, 3], np.arange(50))


def test_two_threads_in_one_region_are_refused(tmp_path, monkeypatch):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50), (6, 20, 20))
    inside, leave = threading.Event(), threading.Event()

    class Slow:
        def write(self, region, content):
            inside.set()
            leave.wait(10)

    target, writer._target = writer._target, Slow()
    thread = threading.Thread(target=writer.__setitem__, args=(np.s_[:, :20, :20], 1))
    thread.start()
    inside.wait(10)
    writer._target = target
    with pytest.raises(StoreError, match="two threads write"):
        writer[:, :20] = 1
    writer[:, 20:] = 1
    leave.set()
    thread.join()
    writer[:, :20] = 1


def test_an_interrupted_write_is_unfinished(tmp_path, flavour):
    path = tmp_path / "a.ome.zarr"
    with (  # noqa: PT012  # the interruption is the last of the statements
        pytest.raises(RuntimeError, match="power cut"),
        OmeZarrWriter(path, (6, 40, 50), ngff_version=flavour) as writer,
    ):
        writer[:] = 1
        raise RuntimeError("power cut")
    assert names(tmp_path) == [".a.ome.zarr.tmp"]
    assert not is_finished(path)
    assert not is_finished(tmp_path / ".a.ome.zarr.tmp")
    with pytest.raises(StoreError, match="unfinished"):
        read_omezarr(path)
    with pytest.raises(StoreError, match="unfinished"):
        read_omezarr(tmp_path / ".a.ome.zarr.tmp")
    save_omezarr(np.ones((6, 4, 4)), path, 0.01, ngff_version=flavour)
    assert names(tmp_path) == ["a.ome.zarr"]
    assert is_finished(path)


@pytest.mark.parametrize("writer", ["OmeZarrWriter", "AnalysisOmeZarrWriter"])
def test_a_killed_process_leaves_no_store(tmp_path, writer):
    path = tmp_path / "a.ome.zarr"
    code = (
        f"import os, signal; from mosaicflow.io.zarr import {writer};"
        f"w = {writer}({str(path)!r}, (6, 40, 50)); w[:] = 1; os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False)
    assert run.returncode == -signal.SIGKILL
    assert not path.exists()
    again = getattr(sys.modules["mosaicflow.io.zarr"], writer)(path, (6, 40, 50))
    again[:] = 2
    again.finalize(0.01)
    assert names(tmp_path) == ["a.ome.zarr"]


def test_a_living_writer_of_another_process_is_not_disturbed(tmp_path):
    path = tmp_path / "a.ome.zarr"
    code = (
        "import sys; from mosaicflow.io.zarr import OmeZarrWriter;"
        f"w = OmeZarrWriter({str(path)!r}, (6, 40, 50)); w[:] = 1; print('ready', flush=True);"
        "sys.stdin.readline(); w.finalize(0.01)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(StoreError, match="another process is writing"):
            OmeZarrWriter(path, (6, 40, 50))
        process.communicate("go\n")
    assert open_level(path)[...].min() == 1


def test_a_second_writer_in_the_same_process_takes_over(tmp_path):
    path = tmp_path / "a.ome.zarr"
    first = OmeZarrWriter(path, (6, 40, 50))
    second = OmeZarrWriter(path, (6, 40, 50))
    with pytest.raises(StoreError, match="another writer of the same path"):
        first[:] = 1
    second[:] = 2
    second.finalize(0.01)
    assert open_level(path)[...].max() == 2


def test_finalize_is_called_once(tmp_path):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50))
    writer[:] = 1
    writer.finalize(0.01)
    with pytest.raises(RuntimeError, match="finalize was called before"):
        writer.finalize(0.01)
    with pytest.raises(RuntimeError, match="finished"):
        writer[:] = 1
    with pytest.raises(RuntimeError, match="read with read_omezarr"):
        writer[0]  # its folder has another name now: it would read zeros


def test_leaving_without_finalize_warns(tmp_path):
    with (
        pytest.warns(UserWarning, match="finalize was not called"),
        OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50)),
    ):
        pass


def test_discard_removes_everything(tmp_path):
    for writer in (OmeZarrWriter, AnalysisOmeZarrWriter):
        writer(tmp_path / "a.ome.zarr", (6, 40, 50)).discard()
        assert names(tmp_path) == []


@pytest.mark.parametrize(
    "value", [0, -0.01, float("nan"), (0.01, 0.01), (0.01, 0.01, float("inf"))]
)
def test_senseless_resolutions_are_refused(tmp_path, value):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 40, 50))
    with pytest.raises(ValueError, match="resolution"):
        writer.finalize(value)
    with pytest.raises(ValueError, match="resolution"):
        save_omezarr(np.ones((6, 4, 4)), tmp_path / "b.ome.zarr", value)
    assert not (tmp_path / "b.ome.zarr").exists()


def test_overwrite_replaces_the_whole_store(tmp_path, flavour):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 40, 50)), path, 0.01, n_levels=3)
    with pytest.raises(FileExistsError, match="overwrite is off"):
        OmeZarrWriter(path, (6, 8, 8), overwrite=False)
    save_omezarr(noise((6, 8, 8)), path, 0.01, ngff_version=flavour)
    assert read_omezarr_info(path).shapes == ((6, 8, 8),)
    assert [n for n in names(path) if not n.startswith(".") and n != "zarr.json"] == ["0"]
    assert names(tmp_path) == ["a.ome.zarr"]


def test_the_old_store_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(np.ones((6, 8, 8)), path, 0.01)
    writer = OmeZarrWriter(path, (6, 8, 8))
    writer[:] = 2
    assert open_level(path)[...].max() == 1
    writer.finalize(0.01)
    assert open_level(path)[...].max() == 2


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_replaced_and_never_followed(tmp_path, dangling):
    target = tmp_path / "input" / "a.ome.zarr"
    target.parent.mkdir()
    if not dangling:
        save_omezarr(noise((6, 40, 50)), target, 0.01)
    before = content(target) if not dangling else {}
    path = tmp_path / "work" / "b.ome.zarr"
    path.parent.mkdir()
    path.symlink_to(target)
    save_omezarr(np.ones((6, 8, 8)), path, 0.01)
    assert not path.is_symlink()
    assert open_level(path).shape == (6, 8, 8)
    assert (content(target) if target.exists() else {}) == before
    assert target.exists() == (not dangling)


def test_writing_onto_the_input_is_refused(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 40, 50)), path, 0.01)
    before = content(path)
    link = tmp_path / "link.ome.zarr"
    link.symlink_to(path)
    image, resolution = read_omezarr(path)
    for output in (path, link, tmp_path / "x" / ".." / "a.ome.zarr"):
        with pytest.raises(StoreError, match="is also the input"):
            save_omezarr(image * 2 + 1, output, resolution)
        with pytest.raises(StoreError, match="is also the input"):
            check_distinct(output, path)
    writer = OmeZarrWriter(path, image.shape)
    with pytest.raises(StoreError, match="is also the input"):
        writer[:] = image
    with pytest.raises(StoreError, match="is also the input"):
        writer[:] = open_level(path)
    writer.discard()
    assert content(path) == before


@pytest.mark.parametrize("folder", ["", "memory://nested"])
def test_writing_around_or_into_the_input_is_refused(tmp_path, folder):
    base = f"{folder or tmp_path}/a.ome.zarr"
    save_omezarr(noise((6, 8, 8)), base, 0.01)
    with pytest.warns(UserWarning, match="no pixel size"):
        level, _ = read_omezarr(f"{base}/0")
    with pytest.raises(StoreError, match="lies inside the other"):
        save_omezarr(level, base, 0.01)
    with pytest.raises(StoreError, match="lies inside the other"):
        save_omezarr(read_omezarr(base)[0], f"{base}/sub/b.ome.zarr", 0.01)
    save_omezarr(level, f"{base}2.ome.zarr", 0.01)  # a longer name is another store
    np.testing.assert_array_equal(open_level(base)[...], noise((6, 8, 8)))


def test_copies_of_read_only_inputs_are_writable(tmp_path):
    source = tmp_path / "a.ome.zarr"
    save_omezarr(np.ones((6, 8, 8)), source, 0.01)
    for file in [*source.rglob("*"), source]:
        file.chmod(0o555 if file.is_dir() else 0o444)
    image, resolution = read_omezarr(source)
    save_omezarr(image, tmp_path / "b.ome.zarr", resolution)
    assert all(os.stat(p).st_mode & 0o200 for p in (tmp_path / "b.ome.zarr").rglob("*"))
    for file in [source, *source.rglob("*")]:
        file.chmod(0o755)


def _fill(writer, part):
    for number, region in enumerate(write_regions(writer)):
        if number % 2 == part:
            writer[region] = number + 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_write_the_same_bytes_as_one(tmp_path, flavour, method):
    def make(name):
        return OmeZarrWriter(
            tmp_path / name,
            (8, 64, 64),
            (8, 8, 8),
            np.float32,
            ngff_version=flavour,
            sharding_factor=None if flavour == "0.4" else 2,
            name="same",
        )

    context = multiprocessing.get_context(method)
    two = make("two.ome.zarr")
    if method == "fork":
        processes = [context.Process(target=_fill, args=(two, part)) for part in (0, 1)]
    else:
        processes = [
            context.Process(target=_fill_pickled, args=(pickle.dumps(two), part)) for part in (0, 1)
        ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    two.finalize(0.01, n_levels=1)
    one = make("one.ome.zarr")
    _fill(one, 0)
    _fill(one, 1)
    one.finalize(0.01, n_levels=1)
    assert content(tmp_path / "one.ome.zarr") == content(tmp_path / "two.ome.zarr")


def _fill_pickled(text, part):
    _fill(pickle.loads(text), part)


def test_only_the_creator_finalises(tmp_path):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (8, 16, 16), (8, 8, 8))
    handle = pickle.loads(pickle.dumps(writer))
    handle[:, :8] = 1
    with pytest.raises(RuntimeError, match="only the process that made the writer"):
        handle.finalize(0.01)
    writer[:, 8:] = 2
    writer.finalize(0.01)
    found = open_level(tmp_path / "a.ome.zarr")[...]
    assert (found[:, :8] == 1).all()
    assert (found[:, 8:] == 2).all()


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path, flavour, monkeypatch):
    data = noise((20, 70, 90))
    for threads in ("1", "2"):
        monkeypatch.setenv("MOSAICFLOW_THREADS", threads)
        writer = AnalysisOmeZarrWriter(
            tmp_path / f"{threads}.ome.zarr", data.shape, 16, ngff_version=flavour, name="same"
        )
        writer[:] = data
        writer.finalize(0.01)
    assert content(tmp_path / "1.ome.zarr") == content(tmp_path / "2.ome.zarr")


def test_an_error_in_finalize_removes_the_base(tmp_path):
    writer = AnalysisOmeZarrWriter(tmp_path / "a.ome.zarr", (8, 16, 16))
    writer[:] = 1
    with pytest.raises(ValueError, match="not a positive number"):
        writer.finalize(0.01, [10, -5])
    assert names(tmp_path) == []


def test_a_lazy_writer_target_follows_the_chunk_lattice(tmp_path, flavour):
    """Blocks of the source that share a chunk of the store are merged before they are written."""
    data = noise((10, 50, 60))
    lazy = da.from_array(data, chunks=(3, 7, 11))
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (10, 50, 60), (4, 16, 16), ngff_version=flavour)
    writer[:] = lazy
    writer.finalize(0.01)
    np.testing.assert_array_equal(open_level(tmp_path / "a.ome.zarr")[...], data)


def test_attributes_must_be_json(tmp_path):
    writer = OmeZarrWriter(tmp_path / "a.ome.zarr", (8, 16, 16), attrs={"value": float("nan")})
    with pytest.raises(StoreError, match="not plain JSON"):
        writer.finalize(0.01)


def test_a_store_can_be_removed_while_a_reader_exists(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 8, 8)), path, 0.01)
    reader = open_level(path)
    assert pickle.loads(pickle.dumps(reader))[0, 0, 0] == reader[0, 0, 0]
    shutil.rmtree(path)
