from itertools import pairwise
from pathlib import Path

import pytest

from mosaicflow.engine.declared import ENGINE_PARAMETERS
from mosaicflow.engine.parameters import (
    Parameters,
    option_values,
    read_locations,
    stage_settings,
)
from mosaicflow.errors import ParameterError
from mosaicflow.limits import choices_of, limit_of, plain_type
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
    store = {"ngff_version": "0.5"}
    parameters = given(crop_depth_um=400, clip_percentile_upper=99, **store)
    assert parameters.for_stage("crop_interface") == {"crop_depth_um": 400, **store}
    assert parameters.for_stage("normalize") == {"clip_percentile_upper": 99.0, **store}
    assert parameters.for_stage("detect_rehoming") == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("graph_sapn", 2, "graph_sapn is no parameter: did you mean graph_span"),
        ("qqqqqq", 2, r"qqqqqq is no parameter: see docs/parameters\.md"),
        ("threads", 2, "threads is no parameter"),
        ("graph_span", "many", "params.yml: graph_span is 'many', expected a whole number, 0 or"),
        ("graph_span", 1.5, "graph_span is 1.5, expected a whole number"),
        ("graph_span", -2, "graph_span is -2, expected a whole number, 0 or more"),
        ("graph_span", None, "graph_span is empty, expected a whole number, 0 or more"),
        ("crop_depth_um", [1], r"crop_depth_um is \[1\], expected a number above 0"),
        ("crop_depth_um", -5, "crop_depth_um is -5, expected a number above 0"),
        ("crop_depth_um", True, "crop_depth_um is true, expected a number above 0"),
        ("crop_depth_um", float("nan"), "crop_depth_um is nan, expected a number above 0"),
        ("slicing_interval_mm", 0, "slicing_interval_mm is 0, expected a number above 0"),
        ("resolution_um", 0, "expected a number above 0, or -1 for the native pitch"),
        ("resolution_um", -3, "resolution_um is -3, expected a number above 0, or -1"),
        ("fit_max_samples", 0, "fit_max_samples is 0, expected a whole number, 1 or more"),
        ("stitch_overlap_fraction", 20, "expected a number, 0 or more and below 1"),
        ("clip_percentile_upper", 101, "expected a number above 0 and at most 100"),
        ("max_missing_fraction", 1.5, "expected a number from 0 to 1"),
        (
            "pyramid_resolutions",
            "10,25",
            r"'10,25', expected a list of numbers above 0, such as \[",
        ),
        ("pyramid_resolutions", [], "expected a list of numbers above 0"),
        ("export_formats", ["mrc", "png"], "expected a list of: mrc, nifti, ome-tiff"),
        ("export_formats", "mrc", r"placements, session; such as \[mrc, nifti\]"),
        ("pyramid_resolutions", [10, 0], "expected a list of numbers above 0"),
        ("fix_illum_enabled", "perhaps", "fix_illum_enabled is 'perhaps', expected true or false"),
        ("ngff_version", "0.3", r"ngff_version is '0\.3', expected one of: 0\.4, 0\.5"),
        ("stitch_blending_method", "feather", "expected one of: linear, diffusion, average, none"),
        ("debug_slices", "a-b", "expected slice ids such as '3,5-8'"),
        ("exclude_first_slices", "most", "expected 'auto' or a whole number"),
        ("tile_grid", "0x9", "expected rows x columns such as '7x9'"),
        ("tile_order", "right", "expected two directions such as 'right-down'"),
        ("orientation", "fast,fast", "expected the two scan axes for Y and X"),
        ("positions", "gone.txt", "positions is 'gone.txt', which is not a file"),
        ("subject_name", "../escape", "subject_name is '../escape', expected a name of letters"),
        ("subject_name", ".hidden", "expected a name of letters"),
    ],
)
def test_a_wrong_setting_is_named_with_the_value_and_what_is_allowed(name, value, message):
    with pytest.raises(ParameterError, match=message):
        given(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolution_um", -1.0),
        ("debug_slices", "z3, 5-8"),
        ("debug_slices", ""),
        ("exclude_first_slices", "2"),
        ("tile_grid", "7 x 9"),
        ("orientation", "+slow,-fast"),
        ("pixel_size_um", None),
        ("auto_exclude_z_corr", -0.5),
        ("export_formats", ()),
        ("export_formats", ("mrc", "ome-tiff")),
    ],
)
def test_a_value_at_the_edge_is_taken(name, value):
    assert given(**{name: value}).given == {name: value}


def test_every_default_is_allowed():
    for name, item in ENGINE_PARAMETERS.items():
        given(**{name: item.default})
    for stage in STAGES:
        for name, (_, default) in stage_settings(stage).items():
            given(**{name: default})


def test_every_number_has_a_limit():
    unlimited = {
        name
        for stage in STAGES
        for name, (hint, _) in stage_settings(stage).items()
        if not choices_of(hint)
        and ("int" in str(plain_type(hint)) or "float" in str(plain_type(hint)))
        and limit_of(hint) is None
    }
    assert unlimited == set()


def test_what_is_effective_includes_the_defaults():
    found = given(graph_span=1, pyramid_resolutions=[10]).effective()
    assert found["graph_span"] == 1
    assert found["pyramid_resolutions"] == [10.0]
    assert found["crop_depth_um"] == 600.0
    assert "pixel_size_um" not in found
    assert list(found) == sorted(found)


def test_the_minimal_preset_switches_off_what_images_and_grey_values_would_change(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("alignment_preset: minimal\ngraph_span: 2\n")
    parameters = Parameters.read(path, {"normalize_enabled": True})
    assert parameters.engine("graph_span") == 0
    assert parameters.for_stage("normalize") == {"normalize_enabled": False}
    assert parameters.for_stage("stack") == {"stack_overlap_z_gain": False}
    assert parameters.effective()["use_expected_z_overlap"] is True
    assert Parameters.read(path, {"alignment_preset": "standard"}).engine("graph_span") == 2


def test_the_command_line_wins_over_the_file(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("input: raw\noutput: out\ngraph_span: 2\ncrop_depth_um: 300\n")
    parameters = Parameters.read(path, {"graph_span": 1})
    assert parameters.given == {"graph_span": 1, "crop_depth_um": 300.0}
    assert read_locations(path, None, Path("elsewhere")) == (Path("raw"), Path("elsewhere"))


def test_what_only_nextflow_needs_is_no_setting_here(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("publish_mode: link\n")
    assert Parameters.read(path, {"publish_mode": "copy"}).given == {}


def test_an_edited_file_is_read_again(tmp_path):
    path = tmp_path / "params.yml"
    for span in (1, 2):
        path.write_text(f"graph_span: {span}\n")
        assert Parameters.read(path, {}).engine("graph_span") == span


@pytest.mark.parametrize("missing", ["input", "output"])
@pytest.mark.parametrize("line", ["", "{}: \n", "{}: ''\n"])
def test_both_folders_must_be_known(tmp_path, missing, line):
    path = tmp_path / "params.yml"
    path.write_text(line.format(missing) + ("output: o\n" if missing == "input" else "input: r\n"))
    with pytest.raises(ParameterError, match=f"--{missing} is missing: give --{missing} FOLDER"):
        read_locations(path, None, None)


def test_a_folder_is_a_path(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("input: [raw]\noutput: out\n")
    with pytest.raises(
        ParameterError, match=r"yml: input is \['raw'\], expected the path of a fol"
    ):
        read_locations(path, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "cannot be read as YAML"),
        ("- a\n- b\n", "found a list, expected name: value"),
        ("\x00", "cannot be read as YAML"),
        ("", "is empty, expected name: value: leave the file out"),
        ("# crop_depth_um: 300\n", "is empty, expected name: value"),
        ("seed: 1\nseed: 2\n", "seed is set more than once"),
        ("1: 300\n", "1 is no parameter"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        Parameters.read(path, {})


def test_a_parameters_file_says_its_schema_and_one_of_a_later_program_is_refused(tmp_path):
    path = tmp_path / "params.yml"
    for head in ("", "schema: 1\n"):  # as of 0.1.0, and as of today
        path.write_text(f"{head}crop_depth_um: 300\n")
        assert Parameters.read(path, {}).given == {"crop_depth_um": 300.0}
    for other in ("2", "true", "new", "null"):
        path.write_text(f"schema: {other}\ncrop_depth_um: 300\n")
        with pytest.raises(ParameterError, match=r"params\.yml: is of schema .*, expected 1 or no"):
            Parameters.read(path, {})
    with pytest.raises(ParameterError, match=r"--schema: is of schema 2"):
        Parameters.read(None, {"schema": 2})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"gone\.yml: not found, expected a YAML file"):
        Parameters.read(tmp_path / "gone.yml", {})
    with pytest.raises(ParameterError, match=": is a folder, expected a YAML file"):
        Parameters.read(tmp_path, {})


def test_options_are_read_like_a_file_but_names_stay_names():
    options = {
        "graph-span": "2",
        "fix_illum_enabled": "false",
        "subject_name": "007",
        "pyramid_resolutions": "[10, 25]",
        "pixel_size_um": "null",
    }
    values = option_values(options)
    assert values == {
        "graph_span": 2,
        "fix_illum_enabled": False,
        "subject_name": "007",
        "pyramid_resolutions": [10, 25],
        "pixel_size_um": None,
    }
    assert given(**values).given["pyramid_resolutions"] == (10.0, 25.0)


def test_the_message_names_the_file_or_the_option_that_the_value_came_from(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("graph_span: 2\n")
    with pytest.raises(ParameterError, match=r"^--graph_span is -1, expected"):
        Parameters.read(path, {"graph_span": -1})
    path.write_text("graph_span: -1\n")
    with pytest.raises(ParameterError, match=r"params\.yml: graph_span is -1, expected"):
        Parameters.read(path, {})


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
    with pytest.raises(ParameterError, match="expected a name of letters"):
        Parameters({"subject_name": name}, "test")


def test_a_file_that_repeats_itself_a_billion_times_is_refused_and_a_few_aliases_are_not(tmp_path):
    path = tmp_path / "p.yml"
    lines = [
        "a: &a [1, 1]",
        *(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefghij")),
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(ParameterError, match="repeats values by more than 10 aliases"):
        Parameters.read(path, {})
    path.write_text("resolution_um: &fine 10\naxial_resolution_um: *fine\n")
    assert Parameters.read(path, {}).for_stage("create_mosaic_grid") is not None
