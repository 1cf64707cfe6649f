"""A folder of results may come from somebody else: nothing outside of it is believed or removed."""

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.engine.claim import locked
from mosaicflow.engine.disk import open_lock
from mosaicflow.engine.finished import all_outputs, forget_others
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.errors import InputError


def tree(folder):
    """Every path below a folder, with what the files hold; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): None
        if path.is_symlink() or path.is_dir()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def outside(tmp_path):
    """Somebody's files beside the results."""
    folder = tmp_path / "victim"
    (folder / "scratch").mkdir(parents=True)
    (folder / "slice_z00_stitch_3d.ome.zarr").mkdir()
    for name in ("a.txt", "scratch/b.txt", "slice_z00_stitch_3d.ome.zarr/.zattrs", ".x.tmp"):
        (folder / name).write_text("mine")
    return folder


def write_record(root, name, outputs):
    finished = root / ".mosaicflow" / "finished"
    finished.mkdir(parents=True, exist_ok=True)
    (finished / f"{name}.json").write_text(json.dumps({"key": None, "outputs": outputs}))


def test_records_that_name_what_lies_outside_remove_nothing(
    acquisition, finished_run, run_copy, outside, content
):
    """Of tasks that the run has, and of one that it has not."""
    before = tree(outside)
    names = [
        "../victim",
        f"{outside}/a.txt",
        str(outside),
        "slices/../../victim",
        "tables/../../victim/a.txt",
    ]
    for record in ("stack", "normalize_z00", "inspect_acquisition", "holiday"):
        write_record(run_copy, record, {name: [1, 1] for name in names})
    run_pipeline(acquisition.raw, run_copy, Parameters.read(acquisition.params, {}), 2)
    assert tree(outside) == before
    volume = next(finished_run.glob("*.ome.zarr")).name
    assert content(run_copy / volume) == content(finished_run / volume)


NAMES = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "",
                "/",
                "victim",
                "a.txt",
                "slices",
                "tables",
                "x.ome.zarr",
                "slices/stitch_3d",
                "~",
            ]
        )
    ).map("/".join),
    st.none() | st.integers(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(names=st.lists(NAMES, max_size=4))
def test_whatever_a_record_names_nothing_outside_changes(tmp_path, outside, names):
    root = tmp_path / "out"
    write_record(root, "holiday", {str(name): [1, 1] for name in names})
    before = tree(outside)
    forget_others(root, [])
    assert tree(outside) == before
    assert not (root / ".mosaicflow/finished/holiday.json").exists()


@pytest.mark.parametrize(
    "name", [None, 3, "", "..", "a.txt/", "tables/a.txt", "./a.txt", "slices/x/slice_z0_y.ome.zarr"]
)
def test_only_names_that_the_layout_gives_are_trusted(tmp_path, name):
    assert not RunFolder(tmp_path).places(name)


@pytest.mark.parametrize(
    "name",
    ["a.txt", "x.ome.zarr", "tables/a.json", "slices/normalize/slice_z00_normalize.ome.zarr"],
)
def test_what_a_run_publishes_is_trusted(tmp_path, name):
    assert RunFolder(tmp_path).places(name)


def test_names_of_a_finished_run_are_all_trusted(finished_run):
    folder = RunFolder(finished_run)
    records = [json.loads(p.read_text()) for p in folder.finished.glob("*.json")]
    assert records
    assert all(folder.places(name) for record in records for name in record["outputs"])


@pytest.mark.parametrize(
    "link",
    [
        ".mosaicflow",
        ".mosaicflow/scratch",
        ".mosaicflow/finished",
        ".mosaicflow/lock",
        ".mosaicflow/records.lock",
        ".mosaicflow/edited_slice_config.csv",
        ".mosaicflow/published_slice_config.csv",
        "slices",
        "slices/stitch_3d",
        "tables",
        "tables/slice_config.csv",
        "metrics/a.metrics.json",
        "pipeline_info",
    ],
)
@pytest.mark.parametrize("target", ["../victim", "../victim/a.txt", "../nothing"])
def test_a_link_out_of_the_results_stops_the_run(acquisition, run_copy, outside, link, target):
    before, place = tree(outside), run_copy / link
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(outside.parent / target[3:], place.parent))
    with pytest.raises(InputError, match=r"is a link to .*below --output only"):
        run_pipeline(acquisition.raw, run_copy, Parameters.read(acquisition.params, {}), 2)
    assert tree(outside) == before
    assert not (outside.parent / "nothing").exists()


def test_a_link_in_place_of_an_output_is_replaced_not_followed(
    acquisition, finished_run, run_copy, outside, content
):
    before = tree(outside)
    volume = next(run_copy.glob("*.ome.zarr"))
    shutil.rmtree(volume)
    volume.symlink_to(outside)
    run_pipeline(acquisition.raw, run_copy, Parameters.read(acquisition.params, {}), 2)
    assert tree(outside) == before
    assert not volume.is_symlink()
    assert content(volume) == content(finished_run / volume.name)


def test_an_output_folder_that_is_a_link_is_what_the_user_gave(acquisition, run_copy, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(run_copy)
    result = run_pipeline(acquisition.raw, link, Parameters.read(acquisition.params, {}), 2)
    later = [one for one in result.outcomes[1:] if one.stage != "report"]
    assert {one.state for one in later} <= {"kept", "absent"}


@pytest.mark.parametrize("name", ["lock", "records.lock"])
def test_a_lock_that_is_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match="No such device"):
        open_lock(tmp_path / name)
    if name == "lock":
        (tmp_path / "out/.mosaicflow").mkdir(parents=True)
        (tmp_path / name).rename(tmp_path / "out/.mosaicflow/lock")
        with (
            pytest.raises(InputError, match="cannot be written"),
            locked(RunFolder(tmp_path / "out")),
        ):
            pass


def test_a_record_that_is_a_pipe_counts_as_absent(tmp_path):
    finished = tmp_path / ".mosaicflow/finished"
    finished.mkdir(parents=True)
    os.mkfifo(finished / "stack.json")
    assert all_outputs(tmp_path) == ()


def test_a_record_that_is_a_folder_or_nested_deep_counts_as_absent(acquisition, run_copy):
    finished = run_copy / ".mosaicflow/finished"
    for name, text in (("stack", None), ("normalize_z00", "[" * 100_000)):
        record = finished / f"{name}.json"
        record.unlink()
        if text is None:
            (record / "x").mkdir(parents=True)
        else:
            record.write_text(text)
    (run_copy / "tables/z00_failure.json").mkdir()
    result = run_pipeline(acquisition.raw, run_copy, Parameters.read(acquisition.params, {}), 2)
    again = {outcome.name for outcome in result.outcomes if outcome.state == "done"}
    assert {"stack", "normalize z00"} <= again
    assert result.failures == {}
