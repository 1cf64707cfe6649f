"""Every stage as a command, as ``bin/<stage>.py`` runs it."""

import subprocess
import sys

import numpy as np
import pytest

from mosaicflow import __version__
from mosaicflow.cli import stage_command
from mosaicflow.engine.parameters import stage_settings
from mosaicflow.io.tables import read_json
from mosaicflow.io.zarr import is_finished
from mosaicflow.stages._table import STAGES


@pytest.fixture
def command(invoke, monkeypatch):
    # A stage limits the pools of its own process for good; a test must not.
    monkeypatch.setattr("mosaicflow.threads.limit_threads", lambda n: None)

    def call(stage, *arguments, code=0):
        return invoke(lambda: stage_command(stage), *arguments, code=code)

    return call


@pytest.fixture
def source(write_slice_store):
    data = np.where(np.arange(60) < 30, 1.0, 5.0) * np.ones((4, 50, 60))
    return write_slice_store(data * np.random.default_rng(0).uniform(0.9, 1.1, data.shape))


@pytest.mark.parametrize("stage", STAGES)
def test_help_names_every_setting(command, stage):
    text = command(stage, "--help").stdout
    for name in stage_settings(stage):
        assert f"--{name.replace('_', '-')}"[:28] in text
    assert ("--failure-record" in text) == (STAGES[stage].per != "run")
    assert "--threads" in text


def test_the_version_is_told(command):
    assert command("normalize", "--version").stdout.strip() == __version__


def test_a_stage_runs_and_takes_both_spellings(command, source, tmp_path):
    for number, option in enumerate(("--n-levels", "--n_levels")):
        output = tmp_path / f"out{number}.ome.zarr"
        command("normalize", "--slice-path", source, "--output", output, option, 1)
        assert is_finished(output)
        assert (output / "1").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus", "1"],
        ["--n_levels", "many"],
        ["--ngff_version", "0.3"],
        [],
    ],
)
def test_wrong_usage_is_exit_code_2_with_one_message(command, source, tmp_path, arguments):
    given = ["--slice-path", source, *arguments] if arguments else []
    found = command("normalize", *given, "--output", tmp_path / "o.ome.zarr", code=2)
    assert "Traceback" not in found.stderr
    assert found.stderr
    assert not (tmp_path / "o.ome.zarr").exists()


def test_bad_data_is_exit_code_1_with_one_line(command, tmp_path):
    arguments = ["--slice-path", tmp_path / "gone", "--output", tmp_path / "o.ome.zarr"]
    found = command("normalize", *arguments, code=1)
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert "gone: not found" in found.stderr


def test_a_bad_setting_is_wrong_usage(command, source, tmp_path):
    arguments = ["--slice-path", source, "--output", tmp_path / "o.ome.zarr"]
    found = command("crop_interface", *arguments, "--crop_depth_um", "-3", code=2)
    assert "crop_depth_um is -3.0" in found.stderr


def test_with_a_failure_record_a_bad_slice_is_no_failure(command, tmp_path):
    record = tmp_path / "z07_failure.json"
    arguments = ["--slice-path", tmp_path / "gone", "--output", tmp_path / "o.ome.zarr"]
    command("normalize", *arguments, "--failure-record", record)
    assert read_json(record)["slice_id"] == 7
    assert not (tmp_path / "o.ome.zarr").exists()


def test_a_command_of_its_own_process_ends_with_the_same_code(tmp_path):
    program = "from mosaicflow.cli import stage_command; stage_command('normalize')"
    arguments = ["--slice-path", str(tmp_path / "gone"), "--output", str(tmp_path / "o.ome.zarr")]
    found = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True)
    assert found.returncode == 1
