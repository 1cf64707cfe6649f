"""Outputs that are not what was written, and runs that do not end."""

import contextlib
import json
import os
import shutil
from dataclasses import replace

import pytest

from mosaicflow.cli.verify import verify
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.run import run_pipeline
from mosaicflow.engine.tasks import execute
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_json, write_json

# One file of each kind that a run publishes.
KINDS = (
    "mosaic_grids/mosaic_grid_3d_z00.ome.zarr/0/0/1/1",
    "mosaic_grids/mosaic_grid_3d_z00_resampled.ome.zarr/0/.zarray",
    "slices/normalize/slice_z01_normalize.ome.zarr/0/0/0/0",
    "3d_volume.ome.zarr/0/0/0/0",
    "3d_volume.crc32c.json",
    "tables/z00_tile_positions.csv",
    "tables/alignment.json",
    "tables/illumination.npz",
    "tables/shifts_xy.csv",
    "transforms/z01_transform_xy.npy",
    "transforms/z00_z01_transform.tfm",
    "previews/3d_volume.png",
    "metrics/stage_model.metrics.json",
)


def flip(path, place, bit=1):
    """Change one bit; size and time of change stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def is_json(path):
    try:
        json.loads(path.read_bytes())
    except ValueError:  # also of bytes that are no UTF-8
        return False
    return True


def results(root):
    """Everything that a run decides: no times, no records."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
        and ".mosaicflow" not in path.parts
        and not path.name.endswith((".metrics.json", ".crc32c.json"))
        and path.name not in ("run.json", "report.html", "ro-crate-metadata.json")
    }


def again(acquisition, root, **changed):
    return run_pipeline(acquisition.raw, root, Parameters.read(acquisition.params, changed), 2)


def later_states(result):
    """How the tasks between inspection and report ended, without those that had nothing to do."""
    ends = ("inspect_acquisition", "report")
    return {o.state for o in result.outcomes if o.stage not in ends} - {"absent"}


@pytest.mark.parametrize(
    "place", [0.5, *(pytest.param(p, marks=pytest.mark.slow) for p in (0, 0.1, 0.9, 1))]
)
def test_one_changed_bit_in_each_kind_of_output_is_noticed_and_mended(
    acquisition, run_copy, finished_run, place, capsys
):
    assert verify(run_copy) == 0  # a copied folder brings its checksums along
    for name in KINDS:
        flip(run_copy / name, place)
    assert verify(run_copy) == 1
    said = capsys.readouterr()[0]
    # A list that is spoiled may be no list any more, and then names nothing.
    spoiled = not is_json(run_copy / "3d_volume.crc32c.json")
    assert spoiled == ("3d_volume.crc32c.json: is no list" in said)
    beside = ("3d_volume.png",) if spoiled else ()
    names = {name.rpartition("/")[2] for name in KINDS if "crc32c" not in name}
    assert all(name in said for name in names.difference(beside))
    result = again(acquisition, run_copy)
    after = results(run_copy)
    edits = {name for name in after if name.endswith(".edited")}
    assert {name: after[name] for name in after.keys() - edits} == results(finished_run)
    assert {name.removesuffix(".edited") for name in edits} == {
        name for name in KINDS if name.endswith((".csv", "alignment.json", ".tfm"))
    }
    told = "\n".join(result.notes)
    assert "mosaic_grids/mosaic_grid_3d_z00.ome.zarr: 0/0/1/1 is not what was written" in told
    assert "tables/z00_tile_positions.csv: was edited by hand and is replaced" in told
    assert verify(run_copy) == 0
    assert later_states(again(acquisition, run_copy)) == {"kept"}


def test_a_damage_that_no_time_betrays_is_found_by_the_reader_and_mended(
    acquisition, run_copy, finished_run
):
    """Bits that rot change no time: the record is made to agree with them."""
    name = "slices/crop_interface/slice_z00_crop_interface.ome.zarr"
    flip(run_copy / name / "0/0/0/0", 0.5)
    plan = plan_run(acquisition.raw, run_copy, [0, 1], Parameters.read(acquisition.params, {}), 2)
    record = run_copy / ".mosaicflow/finished/crop_interface_z00.json"
    accept(RunFolder(run_copy), record)
    assert execute(plan.tasks["crop_interface z00"]).state == "kept"
    assert execute(replace(plan.tasks["crop_interface z00"], thorough=True)).state == "done"
    flip(run_copy / name / "0/0/0/0", 0.5)
    accept(RunFolder(run_copy), record)
    (run_copy / "slices/normalize/slice_z00_normalize.ome.zarr/.zattrs").unlink()
    result = again(acquisition, run_copy)
    states = {o.name: o.state for o in result.outcomes}
    assert states["normalize z00"] == "done"
    assert results(run_copy) == results(finished_run)
    assert verify(run_copy) == 0


def accept(folder, record):
    from mosaicflow.engine.changes import extent

    state = read_json(record)
    state["outputs"] = {name: extent(folder.root / name) for name in state["outputs"]}
    write_json(record, state)


def test_a_copy_of_a_finished_run_is_kept_and_compared_once(acquisition, run_copy, monkeypatch):
    states = later_states(again(acquisition, run_copy))
    assert states == {"kept"}
    read = []
    monkeypatch.setattr("mosaicflow.io.checksums.checksum", lambda path: read.append(path) or "")
    plan = plan_run(acquisition.raw, run_copy, [0, 1], Parameters.read(acquisition.params, {}), 2)
    assert {execute(task).state for task in plan.tasks.values()} == {"kept", "absent"}
    assert read == []


def test_a_ledger_that_was_cut_stops_the_run_and_is_not_taken_over(acquisition, run_copy):
    ledger = run_copy / "tables/slice_config.csv"
    made = ledger.read_text()
    for text in ("slice_id,use\n00,true\n01,tr", "slice_id,us", "slice_id,use\n"):
        ledger.write_text(text)
        before = results(run_copy)
        with pytest.raises(InputError, match=r"tables/slice_config\.csv"):
            again(acquisition, run_copy)
        assert results(run_copy) == before  # also run.json is back, and nothing says RUNNING
        assert (run_copy / "pipeline_info/run.json").is_file()
    ledger.write_text(made)
    assert later_states(again(acquisition, run_copy)) == {"kept"}


def test_every_way_to_cut_a_ledger_is_an_error_or_loses_whole_rows(run_copy, tmp_path):
    from mosaicflow.ledger.proposal import read_config

    content = (run_copy / "tables/slice_config.csv").read_bytes()
    rows = read_config(run_copy / "tables/slice_config.csv")
    for length in range(len(content)):
        path = tmp_path / "slice_config.csv"
        path.write_bytes(content[:length])
        with contextlib.suppress(InputError):
            assert read_config(path) in (rows[:1], rows[:2])


def test_an_edited_ledger_is_said_to_be_used(acquisition, run_copy):
    ledger = run_copy / "tables/slice_config.csv"
    ledger.write_text(ledger.read_text().replace("00,true", "00,false"))
    result = again(acquisition, run_copy)
    assert "tables/slice_config.csv: was edited, and its decisions are used" in result.notes
    assert not list(run_copy.rglob("*.edited"))
    assert 0 in result.excluded


def test_a_run_that_is_broken_off_never_looks_finished(acquisition, run_copy, monkeypatch, capsys):
    seen = {}

    def fail(plan, *_rest, **_options):
        seen["mark"] = (run_copy / "RUNNING").read_text()
        seen["record"] = (run_copy / "pipeline_info/run.json").exists()
        execute(plan.tasks["crop_interface z00"])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mosaicflow.engine.run.run_plan", fail)
        with pytest.raises(KeyboardInterrupt):
            again(acquisition, run_copy, crop_depth_um=200.0)
    assert seen["mark"].startswith("started: 20")
    assert "\nhost: " in seen["mark"]
    assert not seen["record"]
    assert (run_copy / "RUNNING").is_file()
    assert not (run_copy / "pipeline_info/run.json").exists()
    capsys.readouterr()
    again(acquisition, run_copy)
    assert "an earlier run here was broken off (started: 20" in capsys.readouterr()[1]
    assert not (run_copy / "RUNNING").exists()
    assert [p.name for p in (run_copy / "pipeline_info").iterdir()] == ["run.json"]


def test_a_run_that_changes_nothing_leaves_a_finished_folder_finished(acquisition, run_copy):
    before = (run_copy / "pipeline_info/run.json").read_bytes()
    shutil.rmtree(run_copy / ".mosaicflow/finished")
    (run_copy / ".mosaicflow/finished").mkdir()
    (run_copy.parent / "empty").mkdir()
    with pytest.raises(InputError):
        run_pipeline(run_copy.parent / "empty", run_copy, Parameters({}), 1)
    assert not (run_copy / "RUNNING").exists()
    assert (run_copy / "pipeline_info/run.json").read_bytes() == before


def bins(raw):
    return sorted(raw.glob("z01/**/image_*.bin"))


def grid_states(result):
    return {o.name[-3:]: o.state for o in result.outcomes if o.stage == "create_mosaic_grid"}


def test_a_raw_file_changed_with_size_and_time_put_back_is_noticed(
    acquisition, raw_copy, run_copy, capsys
):
    """A copy with all times: only inodes differ, so its content is compared, and all is kept."""
    moved = replace(acquisition, raw=raw_copy)
    assert later_states(again(moved, run_copy)) == {"kept"}
    flip(bins(raw_copy)[1], 0.5, bit=5)
    result = again(moved, run_copy)
    assert grid_states(result) == {"z00": "kept", "z01": "done"}
    name = bins(raw_copy)[1].relative_to(raw_copy).as_posix()
    assert f"{name}: its content changed, its size and time did not" in "\n".join(result.notes)
    for path in bins(raw_copy):
        path.chmod(0o400)
    assert later_states(again(moved, run_copy)) == {"kept"}


def test_rotten_raw_bits_are_found_where_all_content_is_verified(
    acquisition, raw_copy, run_copy, monkeypatch
):
    moved = replace(acquisition, raw=raw_copy)
    again(moved, run_copy)
    flip(bins(raw_copy)[0], 0.5, bit=5)
    record = run_copy / ".mosaicflow/finished/create_mosaic_grid_z01.json"
    state = read_json(record)
    rows = read_json(run_copy / "metrics/mosaic_grid_3d_z01.metrics.json")["raw_files"]
    files = [(raw_copy / row["path"]).stat() for row in rows]
    seen = [(file.st_ino, file.st_ctime_ns) for file in files]
    write_json(record, {**state, "raw": seen})  # as if no time had betrayed it
    assert grid_states(again(moved, run_copy)) == {"z00": "kept", "z01": "kept"}
    result = again(moved, run_copy, verify_content=True)
    assert grid_states(result) == {"z00": "kept", "z01": "done"}
    states = later_states(again(moved, run_copy, verify_content=True))
    assert states == {"kept"}
