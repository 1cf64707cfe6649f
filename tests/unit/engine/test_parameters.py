from pathlib import Path

import pytest

from mosaicflow.engine.parameters import (
    ENGINE_PARAMETERS,
    Parameters,
    option_values,
    read_locations,
    stage_settings,
)
from mosaicflow.errors import ParameterError
from mosaicflow.stages._options import StoreOptions
from mosaicflow.stages._table import STAGES

CONNECTIONS = {"grid", "grids", "output", "output_dir", "threads", "raw", "illumination", "store"}


def given(**values):
    return Parameters(values, "params.yml")


@pytest.mark.parametrize("stage", STAGES)
def test_what_connects_stages_is_not_a_setting(stage):
    assert not CONNECTIONS & set(stage_settings(stage))


def test_one_name_has_one_type_and_one_default():
    found = {}
    for stage in STAGES:
        for name, setting in stage_settings(stage).items():
            assert found.setdefault(name, setting) == setting, f"{name} differs in {stage}"
    assert not set(found) & (set(ENGINE_PARAMETERS) - {"detect_rehoming"})


def test_the_defaults_are_those_of_the_stages():
    empty = given()
    assert empty.engine("graph_span") == 3
    assert empty.engine("fix_illum_enabled") is True
    assert empty.setting("resample_mosaic_grid", "resolution_um") == 10.0
    assert empty.for_stage("crop_interface") == {}


def test_a_setting_reaches_the_stages_that_know_it():
    parameters = given(crop_depth_um=400, clip_percentile_upper=99, ngff_version="0.5")
    store = StoreOptions(ngff_version="0.5")
    assert parameters.for_stage("crop_interface") == {"crop_depth_um": 400, "store": store}
    assert parameters.for_stage("normalize") == {"clip_percentile_upper": 99.0, "store": store}
    assert parameters.for_stage("detect_rehoming") == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("graph_sapn", 2, "unknown parameter 'graph_sapn': did you mean graph_span"),
        ("qqqqqq", 2, r"unknown parameter 'qqqqqq': see docs/parameters\.md"),
        ("threads", 2, "unknown parameter 'threads'"),
        ("graph_span", "many", "params.yml: graph_span is 'many': .*integer"),
        ("graph_span", 1.5, r"graph_span is 1\.5: .*integer"),
        ("crop_depth_um", [1], r"crop_depth_um is \[1\]: .*number"),
        ("fix_illum_enabled", "perhaps", "fix_illum_enabled is 'perhaps': .*boolean"),
        ("ngff_version", "0.3", r"ngff_version is '0\.3': .*'0\.4' or '0\.5'"),
        ("stitch_blending_method", "diffusion", "stitch_blending_method is 'diffusion'"),
        ("subject_name", "../escape", "subject_name is '../escape', expected a plain file name"),
        ("subject_name", ".hidden", "expected a plain file name"),
    ],
)
def test_a_wrong_setting_is_named_with_the_value_and_a_way_out(name, value, message):
    with pytest.raises(ParameterError, match=message):
        given(**{name: value})


def test_the_command_line_wins_over_the_file(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("input: raw\noutput: out\ngraph_span: 2\ncrop_depth_um: 300\n")
    parameters = Parameters.read(path, {"graph_span": 1})
    assert parameters.given == {"graph_span": 1, "crop_depth_um": 300.0}
    assert read_locations(path, None, Path("elsewhere")) == (Path("raw"), Path("elsewhere"))


def test_an_edited_file_is_read_again(tmp_path):
    path = tmp_path / "params.yml"
    for span in (1, 2):
        path.write_text(f"graph_span: {span}\n")
        assert Parameters.read(path, {}).engine("graph_span") == span


@pytest.mark.parametrize("missing", ["input", "output"])
def test_both_folders_must_be_known(tmp_path, missing):
    path = tmp_path / "params.yml"
    path.write_text("output: out\n" if missing == "input" else "input: raw\n")
    with pytest.raises(ParameterError, match=f"--{missing} is missing: give --{missing} FOLDER"):
        read_locations(path, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "cannot be read as YAML"),
        ("- a\n- b\n", "found a list, expected name: value"),
        ("\x00", "cannot be read as YAML"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        Parameters.read(path, {})
    with pytest.raises(ParameterError, match=r"gone.yml: cannot be read as YAML"):
        Parameters.read(tmp_path / "gone.yml", {})


def test_options_are_read_like_a_file_but_names_stay_names():
    options = {
        "graph-span": "2",
        "fix_illum_enabled": "false",
        "subject_name": "007",
        "pyramid_resolutions": "[10, 25]",
        "smoothness_flatfield": "null",
    }
    values = option_values(options)
    assert values == {
        "graph_span": 2,
        "fix_illum_enabled": False,
        "subject_name": "007",
        "pyramid_resolutions": [10, 25],
        "smoothness_flatfield": None,
    }
    assert given(**values).given["pyramid_resolutions"] == (10.0, 25.0)


def test_an_option_that_is_no_value_is_named():
    with pytest.raises(ParameterError, match=r"--graph_span is '\[': cannot be read as a value"):
        option_values({"graph-span": "["})


def test_a_number_may_stand_where_a_word_may():
    given = {"exclude_first_slices": 1, "debug_slices": 3, "ngff_version": 0.5}
    parameters = Parameters(given, "params.yml")
    assert parameters.given == {name: str(value) for name, value in given.items()}


@pytest.mark.parametrize(
    "name", ["mouse 7", "a;b", "../x", ".hidden", "slice_z01_x", "mosaic_grid_a"]
)
def test_a_subject_name_is_a_file_name_that_no_other_output_has(name):
    with pytest.raises(ParameterError, match="expected a plain file name"):
        Parameters({"subject_name": name}, "test")
