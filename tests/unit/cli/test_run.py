import subprocess
import sys

import pytest

from mosaicflow import __version__
from mosaicflow.cli.main import main


@pytest.fixture
def mosaicflow(invoke):
    return lambda *arguments, code=0: invoke(main, *arguments, code=code)


def test_the_version_is_told_at_once():
    found = subprocess.run(
        [sys.executable, "-m", "mosaicflow.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"mosaicflow {__version__}"


def test_help_shows_how_to_start(mosaicflow):
    text = mosaicflow("run", "--help").stdout
    for option in ("--input", "--output", "--params-file", "--threads"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out"], "--input is missing: give --input FOLDER"),
        (["-i", "raw"], "--output is missing: give --output FOLDER"),
        (["-i", "raw", "-o", ""], "-o is empty, expected the path of a folder"),
        (["-i", "r", "-o", "o", "--graph_sapn", "2"], "did you mean graph_span"),
        (
            ["-i", "r", "-o", "o", "--graph-span", "many"],
            "--graph_span is 'many', expected a whole",
        ),
        (["-i", "r", "-o", "o", "--crop-depth-um=-5"], "--crop_depth_um is -5, expected a number"),
        (["-i", "r", "-o", "o", "--graph-span", "["], "--graph_span is '['"),
        (["-i", "r", "-o", "o", "--threads", "0"], "--threads is 0, expected 1 or more"),
        (["-i", "r", "-o", "o", "-p", "gone.yml"], "gone.yml: not found, expected a YAML file"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_one_line(mosaicflow, arguments, message):
    found = mosaicflow("run", *arguments, code=2)
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr


def test_a_folder_that_is_not_there_is_exit_code_1(mosaicflow, tmp_path):
    found = mosaicflow("run", "-i", tmp_path / "gone", "-o", tmp_path / "out", code=1)
    assert "gone: not found, expected the folder of an acquisition" in found.stderr
    assert not (tmp_path / "out").exists()
