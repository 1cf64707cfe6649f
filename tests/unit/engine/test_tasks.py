from dataclasses import replace

import pytest

from mosaicflow import __version__
from mosaicflow.engine.finished import all_outputs, forget_others
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.tasks import execute
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_json, write_json
from mosaicflow.io.zarr import is_finished

SLICE = "slices/crop_interface/slice_z00_crop_interface.ome.zarr"


@pytest.fixture
def task(run_copy, acquisition):
    """A task whose outputs are all there."""
    parameters = Parameters.read(acquisition.params, {})
    plan = plan_run(acquisition.raw, run_copy, [0, 1], parameters, 2)
    return plan.tasks["crop_interface z00"]


def test_a_task_whose_outputs_match_is_kept(task):
    assert execute(task).state == "kept"
    assert execute(replace(task, threads=7)).state == "kept"


def test_another_parameter_makes_the_task_run_again(task):
    settings = {**task.settings, "crop_depth_um": 200.0}
    assert execute(replace(task, settings=settings)).state == "done"
    assert execute(replace(task, settings=settings)).state == "kept"
    assert execute(task).state == "done"


def test_another_input_makes_the_task_run_again(task, run_copy, acquisition):
    parameters = Parameters.read(acquisition.params, {})
    plan = plan_run(acquisition.raw, run_copy, [0, 1], parameters, 2)
    other = replace(task, inputs={"slice_path": "slice_z01_axial_corr.ome.zarr"})
    assert execute(other).state == "done"
    assert execute(plan.tasks["normalize z00"]).state == "done"
    assert execute(plan.tasks["normalize z01"]).state == "kept"


def test_another_version_makes_the_task_run_again_and_says_so(task, monkeypatch):
    assert execute(task).replaced == ""
    monkeypatch.setattr("mosaicflow.io.report.SOFTWARE", "mosaicflow 99")
    again = execute(task)
    assert again.state == "done"
    assert again.replaced == f"mosaicflow {__version__}"
    assert execute(task).replaced == ""


@pytest.mark.parametrize(
    "lost", [f"{SLICE}/.zattrs", "metrics/slice_z00_crop_interface.metrics.json"]
)
def test_a_lost_output_makes_the_task_run_again(task, run_copy, lost):
    (run_copy / lost).unlink()
    assert execute(task).state == "done"
    assert (run_copy / lost).is_file()


@pytest.mark.parametrize("how", ["cut", "lose"])
def test_a_damaged_store_is_made_again(task, run_copy, content, how):
    before = content(run_copy / SLICE)
    chunk = next(
        path for path in sorted((run_copy / SLICE / "0").rglob("[0-9]*")) if path.is_file()
    )
    chunk.write_bytes(b"") if how == "cut" else chunk.unlink()
    assert execute(task).state == "done"
    assert content(run_copy / SLICE) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "', '{"key": 1, "outputs": ["a"]}'])
def test_a_damaged_record_of_a_task_makes_it_run_again(task, run_copy, text):
    record = run_copy / ".mosaicflow/finished/crop_interface_z00.json"
    record.write_text(text)
    assert execute(task).state == "done"
    assert execute(task).state == "kept"


def test_the_same_task_gives_the_same_bytes(task, run_copy, content):
    before = content(run_copy / SLICE)
    (run_copy / "metrics/slice_z00_crop_interface.metrics.json").unlink()
    assert execute(task).state == "done"
    assert content(run_copy / SLICE) == before


def test_without_its_input_a_task_has_nothing_to_do_and_its_old_output_goes(task, run_copy):
    absent = replace(task, inputs={"slice_path": "slice_z55_axial_corr.ome.zarr"})
    assert execute(absent).state == "absent"
    assert not (run_copy / SLICE).exists()


def test_an_input_that_stands_in_for_another_is_taken_only_without_its_witness(task, run_copy):
    true = task.inputs["slice_path"]
    lost = {"slice_path": "slice_z55_axial_corr.ome.zarr"}
    instead = replace(task, inputs=lost, unless={"slice_path": ("no_such_table.csv", true)})
    assert execute(instead).state == "kept"
    # The witness is there, so what it stands for must be too.
    there = replace(task, inputs=lost, unless={"slice_path": ("slice_config.csv", true)})
    assert execute(there).state == "absent"


def test_a_failure_becomes_a_record_and_nothing_else(task, run_copy):
    # A volume is no grid: the stage refuses it.
    broken = replace(
        task,
        name="fix_illumination z00",
        stage="fix_illumination",
        inputs={"grid": "3d_volume.ome.zarr", "illumination": "illumination.npz"},
        settings={},
        output="mosaic_grid_3d_z00_illum_fix.ome.zarr",
    )
    outcome = execute(broken)
    assert outcome.state == "failed"
    assert "the mosaicflow block has no" in outcome.reason
    record = read_json(run_copy / "tables/z00_failure.json")
    assert (record["slice_id"], record["stage"]) == (0, "fix_illumination")
    assert record["reason"] == outcome.reason
    assert record["remedy"]
    assert not (run_copy / "mosaic_grids" / broken.output).exists()
    assert not RunFolder(run_copy).scratch.joinpath("fix_illumination_z00").exists()


def test_without_a_place_for_a_record_a_failure_is_raised(task):
    broken = replace(
        task,
        name="fix_illumination z00",
        stage="fix_illumination",
        inputs={"grid": "3d_volume.ome.zarr", "illumination": "illumination.npz"},
        settings={},
        output="mosaic_grid_3d_z00_illum_fix.ome.zarr",
        record="",
    )
    with pytest.raises(InputError, match="the mosaicflow block has no"):
        execute(broken)


@pytest.mark.parametrize(
    ("there", "kept"), [("fix_illumination", "fix_illumination"), ("normalize", "crop_interface")]
)
def test_of_two_branches_that_fail_the_earlier_stage_tells(task, run_copy, there, kept):
    record = run_copy / "tables/z00_failure.json"
    write_json(record, {"slice_id": 0, "stage": there, "reason": "r", "remedy": ""})
    broken = replace(task, inputs={"slice_path": "slice_z00_empty.ome.zarr"})
    (run_copy / "slice_z00_empty.ome.zarr").mkdir(parents=True)
    assert execute(broken).state == "failed"
    assert read_json(record)["stage"] == kept


def test_what_a_failed_task_published_is_known(task, run_copy):
    (run_copy / "slice_z00_empty.ome.zarr").mkdir(parents=True)
    assert execute(replace(task, inputs={"slice_path": "slice_z00_empty.ome.zarr"})).reason
    assert not (run_copy / SLICE).exists()
    assert "tables/z00_failure.json" in all_outputs(run_copy)
    assert SLICE not in all_outputs(run_copy)
    assert execute(task).state == "done"


def test_a_result_wanted_under_another_name_is_made_anew(run_copy, acquisition):
    parameters = Parameters.read(acquisition.params, {"subject_name": "mouse"})
    plan = plan_run(acquisition.raw, run_copy, [0, 1], parameters, 2)
    assert execute(plan.tasks["stack"]).state == "done"
    assert is_finished(run_copy / "mouse.ome.zarr")
    assert not (run_copy / "3d_volume.ome.zarr").exists()


def test_what_left_the_plan_is_removed(run_copy, acquisition):
    parameters = Parameters.read(acquisition.params, {"compensate_psf_enabled": False})
    plan = plan_run(acquisition.raw, run_copy, [0], parameters, 2)
    for name in ("z00", "z01", "z00_z01"):  # what failed is done again
        (run_copy / f"tables/{name}_failure.json").write_text("{}")
    forget_others(run_copy, plan.tasks.values())
    assert not list((run_copy / "slices/axial_corr").iterdir())
    assert sorted(p.name for p in (run_copy / "slices/normalize").iterdir()) == [
        "slice_z00_normalize.crc32c.json",
        "slice_z00_normalize.ome.zarr",
    ]
    assert not list((run_copy / "transforms").glob("z00_z01*"))
    assert not list((run_copy / "tables").glob("*_failure.json"))
    assert (run_copy / "3d_volume.ome.zarr").exists()
