"""`mosaicflow align`: from a run to its package, and from corrections back to the run."""

from __future__ import annotations

import json

import pytest

from mosaicflow.cli.align import _command, _in_words, _refuse_other, _settings, _used_table, apply
from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.tables import write_document
from mosaicflow.ledger.overrides import read_overrides

HEADER = "kind,slice_id,iy,ix,dy_px,dx_px,angle_deg,sigma_px,lock,exclude,note\n"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "out"
    (folder / "pipeline_info").mkdir(parents=True)
    told = {
        "parameters": {
            "crop_depth_um": 400.0,
            "resolution_um": 10.0,
            "pyramid_resolutions": [20.0],
        },
        "input": {"digest": "abc"},
        "engine": {"name": "mosaicflow run", "input": "/data/my brain"},
    }
    write_document(folder / "pipeline_info" / "run.json", told)
    return folder


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    content = {
        "run": "out", "digest": "abc", "pitch_um": [10.0] * 3, "canvas_yx": [9, 9],
        "slices": [{"slice_id": 0}, {"slice_id": 1}], "left_out": [],
        "tiles": {"1": {"tiles": [{"iy": 0, "ix": 2}]}},
    }  # fmt: skip
    write_document(folder / "package.json", content)
    return folder


def test_apply_says_what_it_found_and_how_to_run_it(run, package, capsys):
    table = package / "overrides.csv"
    table.write_text(HEADER + "slice,1,,,2.5,-1,0.3,,true,,\ntile,1,0,2,,,,,,true,\n")
    assert apply(package, run) == 0
    said = capsys.readouterr().out
    assert (
        "slice 1: 2.5 px down, -1 px right of the stage's place, turned by 0.3 deg, locked" in said
    )
    assert "slice 1, tile (0, 2): by the stage alone" in said
    assert "mosaicflow run '/data/my brain' -o" in said
    assert f"--crop_depth_um 400.0 --pyramid_resolutions '[20.0]' --overrides {table}" in said
    assert "resolution_um 10" not in said  # a default


def test_a_tile_that_is_not_there_is_named(run, package):
    (package / "overrides.csv").write_text(HEADER + "tile,1,3,3,1,1,,,,,\n")
    with pytest.raises(InputError, match=r"slice 1 has no tile .* \(3, 3\)"):
        apply(package, run)


def test_a_package_without_a_table_says_how_to_make_one(run, package):
    with pytest.raises(InputError, match="mosaicflow align edit"):
        apply(package, run)


def test_a_package_of_other_raw_data_is_refused(run, package):
    told = json.loads((package / "package.json").read_text())
    write_document(package / "package.json", {**told, "digest": "other"})
    with pytest.raises(InputError, match="other raw data"):
        apply(package, run)
    with pytest.raises(InputError, match="other raw data"):
        _refuse_other(package, {"input": {"digest": "abc"}})


def test_of_a_nextflow_run_its_own_command_is_named(run, package):
    told = {"engine": {"name": "nextflow"}, "parameters": {}}
    assert "-resume --overrides" in _command(told, run, package / "overrides.csv")
    record = run / "pipeline_info" / "run.json"
    write_document(record, {**told, "input": {"digest": "abc"}})
    (package / "overrides.csv").write_text(HEADER + "slice,1,,,1,1,,,,,\n")
    with pytest.raises(ParameterError, match="made by nextflow"):
        apply(package, run, start=True)


def test_a_table_that_is_gone_is_asked_for(run, tmp_path):
    told = {"parameters": {"overrides": str(tmp_path / "gone.csv")}}
    with pytest.raises(InputError, match="--overrides"):
        _used_table(run, told)
    assert _used_table(run, {"parameters": {}}) is None


def test_settings_come_back_as_they_were(tmp_path):
    from mosaicflow.engine.parameters import Parameters, option_values

    given = {"crop_depth_um": 310.0, "subject_name": "007", "exclude_first_slices": "1",
             "export_formats": ("nifti",), "detect_rehoming": False}  # fmt: skip
    first = Parameters(given)
    table = tmp_path / "o.csv"
    table.write_text(HEADER)
    told = {"parameters": json.loads(json.dumps(first.effective()))}
    again = Parameters.read(None, option_values(_settings(told, table)))
    assert again.effective() == {**first.effective(), "overrides": str(table)}


def test_a_row_in_words(tmp_path):
    table = tmp_path / "overrides.csv"
    table.write_text(HEADER + "slice,2,,,,,1.5,0.5,,,\nslice,3,,,1,1,,,,true,\n")
    assert [_in_words(row) for row in read_overrides(table)] == [
        "  slice 2: turned by 1.5 deg, known to 0.5 px",
        "  slice 3: left out of the volume",
    ]
