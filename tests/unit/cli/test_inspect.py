import subprocess
import sys

import pytest

from mosaicflow.simulation import preset, simulate


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    settings = preset("toy", truth_volume=False, n_slices=1)
    return simulate(tmp_path_factory.mktemp("acquisition"), settings=settings).raw


def run(*arguments):
    code = "from mosaicflow.cli.main import main; main()"
    command = [sys.executable, "-c", code, "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_acquisition_is_described(raw):
    done = run(raw, "--axial_resolution_um", "10")

    assert done.returncode == 0
    printed = done.stdout
    assert "slice 00: 4 of 4 tiles found are used, lattice 2 x 2" in printed
    assert "tile 40 x 40 x 40 samples of 10 x 10 x 10 um" in printed
    assert "0 problems, a run can start" in printed


def test_a_stopping_problem_gives_code_1(raw):
    done = run(raw, "--ny", "5", "--nz", "10")

    assert done.returncode == 1
    assert "info.txt does not belong to this data" in done.stdout


def test_wrong_usage_gives_code_2(raw):
    done = run(raw, "--tile_grid", "2x2")

    assert done.returncode == 2
    assert "tile_pattern is missing" in done.stderr
