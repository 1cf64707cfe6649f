import errno
import inspect
import subprocess
import sys

import pytest

from mosaicflow.errors import InputError, StoreError
from mosaicflow.io.checksums import checksum, sums_path, write_checksums
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.tables import read_json
from mosaicflow.stages._table import STAGES, run_stage


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_takes_named_arguments_that_are_all_described(name):
    function = STAGES[name].function
    parameters = inspect.signature(function).parameters
    assert function.__name__ == name
    assert list(parameters)[-1] == "threads"
    assert parameters["threads"].default == 1
    assert {"output", "output_dir"} & set(parameters)
    for parameter in parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert f"\n{parameter.name} : " in inspect.getdoc(function)


def test_knowing_all_stages_loads_nothing_heavy():
    program = (
        "import sys; from mosaicflow.stages._table import STAGES\n"
        "[stage.function for stage in STAGES.values()]\n"
        "print(sorted({'numpy', 'scipy', 'zarr', 'dask'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_failure_is_raised_or_recorded(tmp_path):
    arguments = {"slice_path": tmp_path / "gone.ome.zarr", "output": tmp_path / "out.ome.zarr"}
    with pytest.raises(InputError, match=r"gone\.ome\.zarr: not found"):
        run_stage("normalize", arguments)
    record = tmp_path / "z104_failure.json"
    assert run_stage("normalize", arguments, record) is False
    found = read_json(record)
    assert found["slice_id"] == 104
    assert found["stage"] == "normalize"
    assert found["reason"].startswith("gone.ome.zarr: not found")
    assert "remedy" in found


def test_a_pair_that_fails_is_recorded_with_both_ids(tmp_path):
    arguments = {
        "fixed": tmp_path / "slice_z04_normalize.ome.zarr",
        "moving": tmp_path / "slice_z106_normalize.ome.zarr",
        "output": tmp_path / "z04_z106_transform.json",
    }
    record = tmp_path / "z04_z106_failure.json"
    assert run_stage("register_pairwise", arguments, record) is False
    found = read_json(record)
    assert (found["fixed_id"], found["moving_id"]) == (4, 106)
    assert found["stage"] == "register_pairwise"
    with pytest.raises(InputError, match=r"found 1 slice ids .*: use zII_zJJ_failure\.json"):
        run_stage("register_pairwise", arguments, tmp_path / "z04_failure.json")


def test_a_record_whose_name_tells_no_slice_is_refused_before_the_work(tmp_path):
    arguments = {"slice_path": tmp_path / "gone.ome.zarr", "output": tmp_path / "out.ome.zarr"}
    with pytest.raises(InputError, match=r"failure\.json: found 0 slice ids"):
        run_stage("normalize", arguments, tmp_path / "failure.json")


def test_a_bug_in_one_slice_is_a_record_with_its_traceback(tmp_path, monkeypatch):
    def stumble(*, output, threads=1):
        output.mkdir()
        raise RuntimeError(f"{output}: impossible")

    monkeypatch.setattr("mosaicflow.stages.normalize.normalize", stumble)
    record, output = tmp_path / "z00_failure.json", tmp_path / "slice.ome.zarr"
    assert run_stage("normalize", {"output": output}, record) is False
    assert not output.exists()
    found = read_json(record)
    assert (found["slice_id"], found["stage"]) == (0, "normalize")
    assert found["reason"] == "internal error (RuntimeError: slice.ome.zarr: impossible)"
    assert "please report it" in found["remedy"]
    assert "in stumble" in "".join(found["traceback"])
    with pytest.raises(RuntimeError, match="impossible"):  # without a place for a record
        run_stage("normalize", {"output": output})


def test_an_edit_that_a_stage_stumbles_over_is_named_and_no_bug(tmp_path, monkeypatch):
    def stumble(*, table, output_dir, threads=1):
        raise KeyError((5, -1))

    monkeypatch.setattr("mosaicflow.stages.pool_tile_positions.pool_tile_positions", stumble)
    table = tmp_path / "z00_tile_links.csv"
    table.write_text("ix_b\n1\n")
    arguments = {"table": table, "output_dir": tmp_path}
    told = (
        r"z00_tile_links.csv: not known to be .*cannot be used \(KeyError \(5, -1\) at test_table"
    )
    with pytest.raises(InputError, match=told):
        run_stage("pool_tile_positions", arguments)
    write_checksums(sums_path(table), {table.name: checksum(table)})
    with pytest.raises(KeyError):  # it is as it was written, so this is a bug
        run_stage("pool_tile_positions", arguments)
    table.write_text("ix_b\n-1\n")
    with pytest.raises(InputError, match=told):
        run_stage("pool_tile_positions", arguments)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("3 GiB"), r"not enough memory \(3 GiB\): run with fewer --threads"),
        (OSError(errno.ENOMEM, "no memory"), "not enough memory"),
        (OSError(errno.EFBIG, "too large"), "a file became larger than this place allows"),
        (OSError(errno.EIO, "I/O"), r"normalize: the disk failed \(.*\): check the disk"),
        (RuntimeError("Input/output error (os error 5)"), "normalize: the disk failed"),
        (OSError(errno.EMFILE, "many"), r"too many files are open: raise the limit"),
    ],
)
def test_what_the_machine_lacks_stops_the_run_in_one_line(tmp_path, monkeypatch, error, message):
    def lack(**_arguments):
        raise error

    monkeypatch.setattr("mosaicflow.stages.normalize.normalize", lack)
    with pytest.raises(StoreError, match=message):
        run_stage("normalize", {}, tmp_path / "z00_failure.json")


@pytest.mark.parametrize("way", ["our own", "that of zarr"])
def test_a_reader_that_blames_the_file_for_want_of_memory_costs_no_slice(
    tmp_path, monkeypatch, way
):
    """An allocation that failed in a read lost the slice, and the run ended as if that were so."""
    import numpy as np

    from mosaicflow.io.zarr import open_level, save_omezarr

    store = tmp_path / "slice_z00_n.ome.zarr"
    save_omezarr(np.ones((4, 8, 8), np.float32), store, 0.01)

    def want(*_arguments):
        raise MemoryError

    def read(**_arguments):
        level = open_level(store)
        monkeypatch.setattr(type(level._array), "__getitem__", want)
        monkeypatch.setattr(type(level._local), "_fill", want)
        level[:] if way == "our own" else level[:1]

    monkeypatch.setattr("mosaicflow.stages.normalize.normalize", read)
    record = tmp_path / "z00_failure.json"
    with pytest.raises(StoreError, match="normalize: not enough memory: run with fewer --threads"):
        run_stage("normalize", {}, record)
    assert not record.exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), RuntimeError("No space left on device (os error 28)")]
)
def test_a_full_disk_stops_the_run_in_one_line(tmp_path, monkeypatch, error):
    def fill(**_arguments):
        raise error

    monkeypatch.setattr("mosaicflow.stages.normalize.normalize", fill)
    record = tmp_path / "z00_failure.json"
    with pytest.raises(StoreError, match="normalize: no space left on the disk: free some"):
        run_stage("normalize", {}, record)
    assert not record.exists()


def test_store_options_are_what_the_writer_takes():
    assert StoreOptions(ngff_version="0.5", sharding_factor=2).writer_options() == {
        "ngff_version": "0.5", "compressor": "blosc", "sharding_factor": 2, "checksums": True,
        "find_contrast": True,
    }  # fmt: skip
