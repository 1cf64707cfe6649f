import json
import os
import pickle
import shutil
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.cli.info import info
from mosaicflow.cli.verify import verify
from mosaicflow.io import checksums
from mosaicflow.io.checksums import (
    DamageError,
    checksum,
    damage,
    find_checksums,
    read_checksums,
    sums_of,
    sums_path,
    write_checksums,
)
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, OmeZarrWriter, open_level

SHAPE = (6, 40, 52)
FLAVOURS = [("0.4", None), ("0.5", 1), ("0.5", 2)]


def write(path, flavour="0.4", shards=None, compressor="blosc", *, writer=OmeZarrWriter):
    """A store of two levels with an empty corner, and what it holds."""
    data = np.random.default_rng(1).random(SHAPE, np.float32)
    data[:, :20, :20] = 0
    options = {"ngff_version": flavour, "sharding_factor": shards, "compressor": compressor}
    with writer(path, SHAPE, (6, 10, 13), checksums=True, **options) as out:
        out[...] = data
        out.finalize(0.01, n_levels=1)
    return data


def files_of(store):
    return sorted(path for path in store.rglob("*") if path.is_file())


def flip(path, place, bit=2):
    """Change one bit; size and time of change stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("writer", [OmeZarrWriter, AnalysisOmeZarrWriter])
@pytest.mark.parametrize(("flavour", "shards"), FLAVOURS)
def test_a_store_comes_with_the_checksum_of_each_of_its_files(tmp_path, flavour, shards, writer):
    store = tmp_path / "a.ome.zarr"
    data = write(store, flavour, shards, writer=writer)
    found = read_checksums(tmp_path / "a.crc32c.json")
    named = {store / name: value for name, value in found.of("a.ome.zarr").items()}
    assert sorted(named) == files_of(store)
    for path, value in named.items():
        assert value[:8] == f"{google_crc32c.value(path.read_bytes()):08x}"
    np.testing.assert_array_equal(open_level(store, checked=True)[...], data)


def test_without_being_asked_a_store_comes_alone(tmp_path):
    with OmeZarrWriter(tmp_path / "a.ome.zarr", SHAPE) as writer:
        writer[...] = 1
        writer.finalize(0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert find_checksums(tmp_path / "a.ome.zarr") is None
    assert open_level(tmp_path / "a.ome.zarr", checked=True)[0, 0, 0] == 1


def test_what_another_process_wrote_is_in_the_list_too(tmp_path):
    store = tmp_path / "a.ome.zarr"
    with OmeZarrWriter(store, SHAPE, (6, 20, 26), checksums=True) as writer:
        writer[:, :20, :26] = 1
        handle = pickle.loads(pickle.dumps(writer))
        handle[:, :20, :26] = 2  # the first writer still knows the checksum of the ones
        handle[:, 20:] = 3
        writer.finalize(0.01)
    known = find_checksums(store).of("a.ome.zarr")
    assert list(damage(store, known)) == []


def test_a_second_writer_replaces_store_and_list(tmp_path):
    write(tmp_path / "a.ome.zarr")
    before = (tmp_path / "a.crc32c.json").read_bytes()
    write(tmp_path / "a.ome.zarr", compressor="zstd")
    assert (tmp_path / "a.crc32c.json").read_bytes() != before
    assert verify(tmp_path) == 0


@pytest.mark.parametrize(
    ("flavour", "shards", "compressor"),
    [
        ("0.4", None, "zstd"),
        ("0.5", 2, "none"),
        *(
            pytest.param(*flavour, compressor, marks=pytest.mark.slow)
            for flavour in FLAVOURS
            for compressor in ("blosc", "blosc-zstd", "zstd", "lz4", "gzip", "none")
        ),
    ],
)
def test_any_bit_of_any_file_is_missed_by_no_check(
    tmp_path_factory, flavour, shards, compressor, capsys
):
    root = tmp_path_factory.mktemp("flips")
    store = root / "a.ome.zarr"
    write(store, flavour, shards, compressor)
    files = files_of(store)

    @settings(max_examples=10)
    @given(number=st.integers(0, len(files) - 1), place=st.integers(0), bit=st.integers(0, 7))
    def check(number, place, bit):
        flip(files[number], place, bit)
        try:
            name = files[number].relative_to(store).as_posix()
            assert verify(root) == 1
            assert (
                f"damaged    a.ome.zarr: {name} is not what was written" in capsys.readouterr()[0]
            )
            if files[number].name[0] != "." and files[number].name != "zarr.json":
                assert info(str(store), check=True) == 1
                level = int(name.partition("/")[0])
                # A list beside, or the checksum inside: one of both names the chunk.
                with pytest.raises(DamageError, match=name):
                    open_level(store, level, checked=True)[...]
        finally:
            flip(files[number], place, bit)

    check()
    assert verify(root) == 0


@pytest.mark.parametrize(("flavour", "shards"), FLAVOURS)
def test_a_lost_and_a_strange_chunk_are_named(tmp_path, flavour, shards):
    store = tmp_path / "a.ome.zarr"
    write(store, flavour, shards)
    level = store / "0"
    chunk = next(p for p in reversed(files_of(level)) if p.name[0] != "." and p.suffix != ".json")
    name = chunk.relative_to(store).as_posix()
    content = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(DamageError, match=f"chunk {name} is missing"):
        open_level(store, checked=True)[...]
    assert verify(store) == 1
    chunk.write_bytes(content)
    assert verify(store) == 0
    if shards is None:  # the empty corner is no file: a chunk there is not ours
        shutil.copy(chunk, store / "0/0/0/0")
        with pytest.raises(DamageError, match="chunk 0/0/0/0 was not written with it"):
            open_level(store, checked=True)[...]
        assert verify(store) == 1


@pytest.mark.parametrize("compressor", ["blosc", "none"])
@pytest.mark.parametrize("part", [slice(None), slice(30, 32)])
@pytest.mark.parametrize(("flavour", "shards"), FLAVOURS[:2])
def test_exchanged_chunks_are_noticed(tmp_path, flavour, shards, compressor, part):
    """Chunks of Zarr v3 end in their own checksum: that of such a file is always the same."""
    store = tmp_path / "a.ome.zarr"
    write(store, flavour, shards, compressor)
    one, other = (store / "0" / ("c/" * (flavour == "0.5")) / f"0/3/{x}" for x in (1, 2))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(DamageError, match=r"chunk 0/(c/)?0/3/1 is not what was written"):
        open_level(store, checked=True)[:, part, 13:20]
    assert verify(store) == 1
    assert info(str(store), check=True) == 1


def test_a_chunk_is_compared_only_where_it_is_read(tmp_path):
    store = tmp_path / "a.ome.zarr"
    data = write(store)
    flip(store / "0/0/3/3", 40)
    level = open_level(store, checked=True)
    np.testing.assert_array_equal(level[:, :30, :39], data[:, :30, :39])
    with pytest.raises(DamageError, match="chunk 0/0/3/3 is not what was written") as found:
        level[0, 39, 51]
    assert found.value.output == "a.ome.zarr"
    again = pickle.loads(pickle.dumps(found.value))
    assert (str(again), again.output) == (str(found.value), "a.ome.zarr")
    with pytest.raises(DamageError):
        pickle.loads(pickle.dumps(level))[0, 39, 51]
    assert open_level(store)[0, 0, 0] == 0  # whoever only looks is not kept from it


def test_changed_metadata_are_noticed_before_anything_is_read(tmp_path):
    store = tmp_path / "a.ome.zarr"
    write(store)
    text = (store / "0/.zarray").read_text()
    (store / "0/.zarray").write_text(text.replace("52", "51"))
    with pytest.raises(DamageError, match=r"0/\.zarray is not what was written"):
        open_level(store, checked=True)


def test_the_list_is_found_through_a_link_as_a_workflow_engine_stages_inputs(tmp_path):
    write(tmp_path / "made/a.ome.zarr")
    (tmp_path / "task").mkdir()
    link = tmp_path / "task/renamed.ome.zarr"
    link.symlink_to(tmp_path / "made/a.ome.zarr")
    flip(tmp_path / "made/a.ome.zarr/0/0/3/3", 9)
    with pytest.raises(DamageError, match=r"renamed\.ome\.zarr: chunk 0/0/3/3"):
        open_level(link, checked=True)[...]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{" * 100_000,
        '{"algorithm": "crc32c", "files": []}',
        '{"algorithm": "md5", "files": {}}',
        '{"algorithm": "crc32c", "files": {"../x": "00000000"}}',
        '{"algorithm": "crc32c", "files": {"/etc/passwd": "00000000"}}',
        '{"algorithm": "crc32c", "files": {"..": "00000000", "a/../b": "0"}}',
        '{"algorithm": "crc32c", "files": {"a": 1}}',
    ],
)
def test_what_is_no_list_is_not_believed(tmp_path, capsys, text):
    (tmp_path / "a.crc32c.json").write_text(text)
    assert read_checksums(tmp_path / "a.crc32c.json") is None
    assert verify(tmp_path) == 1
    assert "is no list of checksums" in capsys.readouterr()[0]


@pytest.mark.parametrize("what", ["a pipe", "half of it"])
def test_a_list_that_is_none_any_more_is_damage_and_not_waited_for(tmp_path, capsys, what):
    store = tmp_path / "a.ome.zarr"
    write(store)
    write(tmp_path / "b.ome.zarr")
    path = sums_path(store)
    text = path.read_text()
    path.unlink()
    if what == "a pipe":
        os.mkfifo(path)
    else:
        path.write_text(text[: len(text) // 2])
    for place in (tmp_path, store):
        assert verify(place) == 1
        assert "a.crc32c.json: is no list of checksums" in capsys.readouterr()[0]
    assert open_level(store)[0, 0, 0] == 0


def test_verifying_opens_nothing_outside_the_folder(tmp_path, capsys):
    outside = tmp_path / "secret"
    outside.write_text("x")
    root = tmp_path / "out"
    root.mkdir()
    (root / "a.csv").symlink_to(outside)
    write_checksums(root / "a.crc32c.json", {"a.csv": checksum(outside)})
    assert verify(root) == 1
    assert "a.csv: is a link out of the folder" in capsys.readouterr()[0]
    os.mkfifo(root / "b.csv")
    write_checksums(root / "b.crc32c.json", {"b.csv": "00000000"})
    assert verify(root) == 1
    assert "b.csv: is no file" in capsys.readouterr()[0]


def test_a_list_is_named_after_its_output():
    names = {
        "a.ome.zarr": "a.crc32c.json",
        "z00.b.csv": "z00.b.crc32c.json",
        "c.metrics.json": "c.crc32c.json",
        "d": "d.crc32c.json",
    }
    assert {name: sums_path(Path(name)).name for name in names} == names


def test_a_list_is_sorted_and_read_back(tmp_path):
    files = {"b": "00000001", 'a/"quoted"\n': "00000002"}
    write_checksums(tmp_path / "x.crc32c.json", files)
    text = (tmp_path / "x.crc32c.json").read_text()
    assert json.loads(text) == {"schema": 1, "algorithm": "crc32c", "files": files}
    assert dict(read_checksums(tmp_path / "x.crc32c.json").files) == files
    assert text.index("quoted") < text.index('"b"')


def test_among_many_lists_each_is_read_once_or_twice(tmp_path):
    """A report of 150 slices asks for thousands of files in a folder of hundreds of lists."""
    n = 40
    for i in range(n):
        (tmp_path / f"z{i:02d}_links.csv").write_text(str(i))
        files = sums_of(tmp_path, [f"z{i:02d}_links.csv"], {})
        write_checksums(tmp_path / f"estimate_z{i:02d}.crc32c.json", files)
    checksums._read.cache_clear()
    for i in range(n):
        found = find_checksums(tmp_path / f"z{i:02d}_links.csv")
        assert found.path.name == f"estimate_z{i:02d}.crc32c.json"
    assert checksums._read.cache_info().misses <= 2 * n
    (tmp_path / "late.csv").write_text("late")
    write_checksums(tmp_path / "later.crc32c.json", sums_of(tmp_path, ["late.csv"], {}))
    assert find_checksums(tmp_path / "late.csv").path.name == "later.crc32c.json"
