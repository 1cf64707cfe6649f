import pytest

from mosaicflow.cli.main import main
from mosaicflow.simulation import preset, simulate


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    settings = preset("toy", truth_volume=False, n_slices=1)
    return simulate(tmp_path_factory.mktemp("acquisition"), settings=settings).raw


def test_a_sound_acquisition_is_described(raw, invoke):
    printed = invoke(main, "inspect", raw, "--axial_resolution_um", "10").stdout

    assert "slice 00: 4 of 4 tiles found are used, lattice 2 x 2" in printed
    assert "tile 40 x 40 x 40 samples of 10 x 10 x 10 um" in printed
    assert "0 problems, a run can start" in printed


def test_a_stopping_problem_gives_code_1(raw, invoke):
    printed = invoke(main, "inspect", raw, "--ny", "5", "--nz", "10", code=1).stdout

    assert "info.txt does not belong to this data" in printed


def test_wrong_usage_gives_code_2(raw, invoke):
    ended = invoke(main, "inspect", raw, "--tile_grid", "2x2", code=2)

    assert "tile_pattern is missing" in ended.stderr


def test_orientations_are_listed_and_a_better_one_is_named(raw, invoke):
    right = invoke(main, "check-orientation", raw).stdout
    wrong = invoke(main, "check-orientation", raw, "--no-preprocess").stdout

    assert len(right.splitlines()) == 9
    assert right.splitlines()[1].split()[::2] == ["-fast,-slow", "configured"]
    assert wrong.splitlines()[-1].endswith("give --orientation=-fast,-slow")
