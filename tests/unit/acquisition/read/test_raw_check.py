import errno
import os
import shutil

import google_crc32c
import pytest

from mosaicflow.errors import FormatError, StoreError
from mosaicflow.io.tables import read_json
from mosaicflow.simulation import preset, simulate
from mosaicflow.stages._table import run_stage
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.inspect_acquisition import inspect_acquisition


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One slice of four tiles, inspected."""
    folder = tmp_path_factory.mktemp("raw")
    simulated = simulate(folder / "sim", settings=preset("toy", truth_volume=False), threads=1)
    inspect_acquisition(raw=simulated.raw, output_dir=folder)
    return simulated.raw, folder / "z00_tiles.json"


@pytest.fixture
def raw(made, tmp_path):
    """A copy of the raw data that has all times of the inspected."""
    return shutil.copytree(made[0], tmp_path / "raw"), made[1]


def build(raw, tiles, folder, **settings):
    output = folder / "mosaic_grid_3d_z00.ome.zarr"
    create_mosaic_grid(tiles=tiles, raw=raw, output=output, max_missing_fraction=0.5, **settings)
    problems = read_json(folder / "mosaic_grid_3d_z00.problems.json")["problems"]
    return problems, read_json(folder / "mosaic_grid_3d_z00.metrics.json")["raw_files"]


def some_bin(raw):
    return min((raw / "z00").rglob("image_00000.bin"))


def test_what_was_read_is_known_by_content(raw, tmp_path):
    problems, rows = build(*raw, tmp_path)
    assert problems == []
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(raw[0]).as_posix() for path in (raw[0] / "z00").rglob("image_*.bin")
    )
    for row in rows:
        path = raw[0] / row["path"]
        assert row["crc32c"] == f"{google_crc32c.value(path.read_bytes()):08x}"
        assert (row["inode"], row["bytes"]) == (path.stat().st_ino, path.stat().st_size)


@pytest.mark.parametrize("how", ["rewritten", "longer", "replaced"])
def test_a_file_that_changed_after_the_inspection_costs_its_tile(raw, tmp_path, how):
    path = some_bin(raw[0])
    content = path.read_bytes()
    if how == "replaced":
        path.unlink()
    path.write_bytes(content + b"\0" * 4 * (how == "longer"))
    problems, rows = build(*raw, tmp_path)
    assert [(one["code"], one["action"]) for one in problems] == [("unreadable_tile", "skip")]
    assert f"{path.name} changed since its inspection" in problems[0]["message"]
    assert len(rows) == 6  # of three tiles


def test_a_file_that_changes_while_it_is_read_costs_its_tile(raw, tmp_path, monkeypatch):
    from mosaicflow.acquisition.read import grid_build

    victim, real = some_bin(raw[0]), grid_build.read_tile

    def touch(root, tiles, tile, out, **options):
        real(root, tiles, tile, out, **options)
        if (root / tile.path) in victim.parents:
            status = victim.stat()
            victim.write_bytes(victim.read_bytes())
            os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))

    monkeypatch.setattr(grid_build, "read_tile", touch)
    problems, _ = build(*raw, tmp_path)
    assert "changed while it was read" in problems[0]["message"]
    assert len(problems) == 1


def test_with_content_in_the_list_a_changed_one_costs_its_tile(raw, tmp_path):
    inspect_acquisition(raw=raw[0], output_dir=tmp_path, verify_content=True)
    files = read_json(tmp_path / "z00_tiles.json")["tiles"][0]["files"]
    assert all(len(file["crc32c"]) == 8 for file in files)
    path = some_bin(raw[0])
    status, content = path.stat(), bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    problems, _ = build(raw[0], tmp_path / "z00_tiles.json", tmp_path)
    assert "changed since its inspection (another content)" in problems[0]["message"]
    assert len(problems) == 1


def test_copies_staged_into_the_folder_of_a_task_have_times_of_their_own(
    made, tmp_path, monkeypatch
):
    shutil.copytree(made[0], tmp_path / "task/raw", copy_function=shutil.copyfile)
    monkeypatch.chdir(tmp_path / "task")
    problems, rows = build(tmp_path / "task/raw", made[1], tmp_path / "task")
    assert (problems, len(rows)) == ([], 8)
    path = some_bin(tmp_path / "task/raw")
    path.write_bytes(path.read_bytes()[:-4])
    problems, _ = build(tmp_path / "task/raw", made[1], tmp_path / "task")
    assert len(problems) == 1


def short_of(number):
    """Fail as the system does, or as a reader that calls the file unreadable then."""
    if number is None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise FormatError("its pixels cannot be decoded") from error
    raise OSError(number, os.strerror(number), "tile")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, None])
def test_a_machine_that_is_short_of_something_costs_no_tile(raw, tmp_path, monkeypatch, number):
    monkeypatch.setattr(
        "mosaicflow.acquisition.read.grid_build.read_tile", lambda *_, **__: short_of(number)
    )
    arguments = {"tiles": raw[1], "raw": raw[0], "output": tmp_path / "g_z00.ome.zarr"}
    with pytest.raises(StoreError, match=r"too many files are open|not enough memory"):
        run_stage("create_mosaic_grid", arguments, tmp_path / "z00_failure.json")
    assert not (tmp_path / "z00_failure.json").exists()


def test_an_inspection_that_may_open_no_more_files_ends(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("mosaicflow.acquisition.drafts._BACK_OFF_S", ())
    monkeypatch.setattr(
        "mosaicflow.acquisition.find.oct_source._regular_bytes", lambda _: short_of(errno.EMFILE)
    )
    with pytest.raises(StoreError, match=r"cannot be read \(Too many open files\): this machine"):
        inspect_acquisition(raw=raw[0], output_dir=tmp_path)
