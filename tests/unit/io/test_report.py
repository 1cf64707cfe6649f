import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow import __version__
from mosaicflow.errors import InputError
from mosaicflow.io.report import StageReport, digest, metrics_path, read_metrics
from mosaicflow.measures import Measure

# As stages have them.
DECLARED = (
    Measure("correlation", "of pairs", warning=0.7, error=0.5, good="high"),
    Measure("empty_fraction", "without data", warning=0.5, error=0.8),
    Measure("interface_min_depth", "of the face", warning=1, good="high"),
    Measure("rms_residual", "of links", "px", warning=1, error=5),
    Measure("translation", "of a slice", "px", warning=30, error=50),
    Measure("rotation", "of a slice", "deg", warning=1, error=2, good="abs"),
    Measure("share", "of steps", warning=0.5, error=0.1, good="high"),
    Measure("n_tiles", "tiles"),
    Measure("correction", "of a slice", "px", warning=200.0, error=400.0, scaled="in um"),
)


@pytest.fixture
def report():
    return StageReport("stitch_3d", {"grid": "abc"}, {"blend": "linear"}, DECLARED)


@pytest.mark.parametrize(
    ("output", "metrics"),
    [
        ("slice_z00_stitch_3d.ome.zarr", "slice_z00_stitch_3d.metrics.json"),
        ("illumination.npz", "illumination.metrics.json"),
        ("my.volume.ome.zarr", "my.volume.metrics.json"),
        ("folder", "folder.metrics.json"),
    ],
)
def test_metrics_lie_beside_the_output_under_its_stem(output, metrics):
    assert metrics_path(Path("a") / output) == Path("a") / metrics


def test_the_worked_example_of_the_thresholds_comes_out(report):
    report.metric("correlation", 0.66)
    report.metric("translation", 52)
    report.metric("rotation", -0.4)
    status = {name: metric["status"] for name, metric in report.metrics.items()}
    assert status == {"correlation": "warning", "translation": "error", "rotation": "ok"}
    assert report.overall_status == "error"


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("correlation", 0.7, "ok"),
        ("correlation", 0.5, "warning"),
        ("correlation", 0.499, "error"),
        ("empty_fraction", 0.5, "ok"),
        ("empty_fraction", 0.8, "warning"),
        ("empty_fraction", 0.81, "error"),
        ("interface_min_depth", 0.0, "warning"),
        ("n_tiles", 1e9, "ok"),
        ("correlation", "none", "ok"),
        ("correlation", True, "ok"),
        ("correlation", np.float32(0.1), "error"),
    ],
)
def test_a_value_on_a_threshold_still_counts_as_good(report, name, value, status):
    report.metric(name, value)
    assert report.metrics[name]["status"] == status == report.overall_status


def test_thresholds_can_be_given_in_either_direction(report):
    report.metric("empty_fraction", 0.6)
    report.metric("share", 0.2)
    assert [metric["status"] for metric in report.metrics.values()] == ["warning", "warning"]


@given(value=st.floats(allow_nan=False, allow_infinity=False), low=st.booleans())
def test_a_worse_value_never_gets_a_better_status(value, low):
    rank = ("ok", "warning", "error")
    found = []
    for step in (0.0, 1.0, 10.0):
        good = "low" if low else "high"
        declared = Measure("m", "", warning=1.0, error=2.0 if low else 0.0, good=good)
        report = StageReport("x", {}, {}, [declared])
        report.metric("m", value + step if low else value - step)
        found.append(rank.index(report.metrics["m"]["status"]))
    assert found == sorted(found)


@pytest.mark.parametrize(("value", "status"), [(-2.1, "error"), (1.5, "warning"), (-1.0, "ok")])
def test_near_zero_can_be_what_is_good(report, value, status):
    report.metric("rotation", value)
    assert report.metrics["rotation"]["status"] == status


@pytest.mark.parametrize("name", ["seam_raito", "seam_ratio"])
def test_a_number_that_no_contract_declares_is_refused_by_name(report, name):
    with pytest.raises(LookupError, match=f"stitch_3d: '{name}' is no number of its contract"):
        report.metric(name, 1.0)
    assert report.metrics == {}


def test_the_data_move_only_thresholds_that_are_declared_to_move(report):
    report.metric("correction", 30.0, scale=0.1, of="slice 7")
    found = report.metrics["correction"]
    assert (found["warning_at"], found["error_at"], found["status"]) == (20.0, 40.0, "warning")
    assert found["description"] == "of a slice (slice 7)"
    report.metric("correction", 1e9, scale=math.inf)
    found = report.metrics["correction"]
    assert (found["warning_at"], found["direction"], found["status"]) == (None, "none", "ok")
    with pytest.raises(LookupError, match=r"'correlation' is no number .* whose thresholds are"):
        report.metric("correlation", 0.6, scale=0.5)


def test_the_report_of_an_output_is_held_to_the_same_contract(report):
    own = report.of_an_output()
    own.metric("rms_residual", 0.1)
    assert (own.key, report.metrics) == (report.key, {})


def test_what_nothing_depends_on_is_judged_by_nobody(report):
    report.set_aside("the slices share no tissue")
    report.metric("correlation", 0.1)
    assert report.metrics["correlation"]["status"] == report.overall_status == "not_used"
    assert report.metrics["correlation"]["error_at"] == 0.5
    assert (report.notes, report.warnings) == (["the slices share no tissue"], [])


def test_a_number_for_information_says_that_it_has_no_good_direction(report):
    report.metric("n_tiles", 9)
    found = report.metrics["n_tiles"]
    assert (found["direction"], found["warning_at"], found["error_at"]) == ("none", None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_a_number_that_is_none_becomes_null_with_a_warning(report, value):
    report.metric("correlation", value)
    assert report.metrics["correlation"]["value"] is None
    assert report.overall_status == "warning"
    assert "correlation is" in report.warnings[0]


def test_sentences_count_too(report):
    assert report.overall_status == "ok"
    report.warn("look at this", "ledger")
    assert report.overall_status == "warning"
    report.error("this is wrong", "not_registered")
    assert report.overall_status == "error"
    assert report.codes == {"warnings": ["ledger"], "errors": ["not_registered"]}


def test_the_written_envelope_has_the_keys_of_the_format(report, tmp_path):
    report.metric("rms_residual", np.float64(1.5))
    report.section("pitch_um", np.array([1.0, 2.0]))
    path = report.write(tmp_path / "slice_z00_stitch_3d.ome.zarr")
    found = read_metrics(path)
    assert path.name == "slice_z00_stitch_3d.metrics.json"
    assert found.pop("timestamp").endswith("+00:00")
    assert found == {
        "schema": 1,
        "step_name": "stitch_3d",
        "overall_status": "warning",
        "metrics": {
            "rms_residual": {
                "value": 1.5, "unit": "px", "description": "of links",
                "warning_at": 1, "error_at": 5, "direction": "low", "status": "warning",
            }
        },
        "warnings": [],
        "errors": [],
        "notes": [],
        "codes": {"warnings": [], "errors": []},
        "inputs": {"grid": "abc"},
        "parameters": {"blend": "linear"},
        "software": f"mosaicflow {__version__}",
        "pitch_um": [1.0, 2.0],
    }  # fmt: skip


@dataclass(frozen=True)
class Options:
    codec: str = "blosc"


def arguments(folder, **changes):
    given = {
        "grid": folder / "grid.json",
        "others": (folder / "b.json", folder / "a.json"),
        "output": folder / "out.ome.zarr",
        "output_dir": folder,
        "raw": folder,
        "store": Options(),
        "levels": (10.0, 25.0),
        "illumination": None,
        "threads": 4,
    }
    return given | changes


@pytest.fixture
def inputs(tmp_path):
    for name in ("grid", "a", "b"):
        (tmp_path / f"{name}.json").write_text(name)
    return tmp_path


def test_arguments_are_sorted_into_inputs_and_parameters(inputs):
    report = StageReport.of("x", arguments(inputs))
    assert report.parameters == {"codec": "blosc", "levels": [10.0, 25.0], "illumination": None}
    assert list(report.inputs) == ["grid", "others"]
    assert list(report.inputs["others"]) == ["a.json", "b.json"]


def test_only_what_changes_the_result_changes_the_key(inputs):
    key = StageReport.of("x", arguments(inputs)).key
    same = arguments(inputs, threads=1, output=inputs / "elsewhere.ome.zarr", raw=Path("/raw"))
    assert StageReport.of("x", same).key == key
    assert StageReport.of("x", arguments(inputs, levels=(10.0,))).key != key
    assert StageReport.of("x", arguments(inputs, store=Options("zstd"))).key != key
    (inputs / "a.json").write_text("changed")
    assert StageReport.of("x", arguments(inputs)).key != key


def test_provenance_holds_neither_time_nor_place(inputs):
    entry = StageReport.of("x", arguments(inputs)).provenance()
    assert str(inputs) not in json.dumps(entry)
    assert set(entry) == {"step", "params", "inputs", "software"}


def test_a_block_inherits_what_its_stage_does_not_know(report):
    parent = {"foreign": 1, "tile_shape": [1, 2, 3], "history": [{"step": "create_mosaic_grid"}]}
    block = report.block(parent, kind="slice", tile_shape=None)
    assert block["foreign"] == 1
    assert "tile_shape" not in block
    assert [entry["step"] for entry in block["history"]] == ["create_mosaic_grid", "stitch_3d"]
    assert len(parent["history"]) == 1


def test_a_store_is_known_by_what_it_was_made_from(write_slice_store):
    volume = np.ones((2, 4, 4), np.float32)
    first = digest(write_slice_store(volume, name="a.ome.zarr", history=[1]))
    assert digest(write_slice_store(volume, name="b.ome.zarr", history=[2])) != first


def test_an_input_that_is_not_there_is_named(tmp_path):
    (tmp_path / "empty.ome.zarr").mkdir()
    for name in ("gone.csv", "empty.ome.zarr"):
        with pytest.raises(InputError, match=f"{name}: not found, expected a file or an OME-Zarr"):
            digest(tmp_path / name)
