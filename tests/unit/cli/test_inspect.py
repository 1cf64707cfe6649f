import shutil

import pytest
import yaml
from PIL import Image

from mosaicflow.cli.main import main
from mosaicflow.engine.parameters import Parameters
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


def test_a_parameters_file_is_read_and_options_win(raw, invoke, tmp_path):
    params = tmp_path / "params.yml"
    params.write_text("axial_resolution_um: 3.5\ncrop_depth_um: 400\n")
    assert "depth spacing 3.5 um" in invoke(main, "inspect", raw, "-p", params).stdout
    given = invoke(main, "inspect", raw, "-p", params, "--axial_resolution_um", "4").stdout
    assert "depth spacing 4 um" in given
    params.write_text("crop_dept_um: 400\n")
    ended = invoke(main, "inspect", raw, "-p", params, code=2)
    assert "did you mean crop_depth_um" in ended.stderr


@pytest.fixture
def holed(raw, tmp_path):
    """The same slice with one tile gone and two cut short."""
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    tiles = sorted(path for path in copy.rglob("tile_*") if path.is_dir())
    shutil.rmtree(tiles[0])
    for tile in tiles[1:3]:
        for file in tile.glob("image_*.bin"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return copy


def test_problems_of_one_kind_are_one_line_unless_all_are_asked_for(holed, invoke):
    most = ("--max_missing_fraction", "0.9")
    short = invoke(main, "inspect", holed, *most).stdout
    every = invoke(main, "inspect", holed, *most, "--verbose").stdout
    assert short.count("[bin_truncated") == 1
    assert "(2 such; --verbose lists them)" in short
    assert every.count("[bin_truncated") == 2


def test_holes_of_the_lattice_are_named(holed, invoke):
    printed = invoke(main, "inspect", holed, "--max_missing_fraction", "0.9").stdout
    assert "3 of 4 places have no tile: (iy, ix) = (0, 0), (" in printed


def test_the_layout_is_drawn_where_asked_and_over_nothing(holed, invoke, tmp_path):
    path, most = tmp_path / "layout.png", ("--max_missing_fraction", "0.9")
    assert f"layout in {path}" in invoke(main, "inspect", holed, *most, "--draw", path).stdout
    with Image.open(path) as picture:
        assert picture.size[0] == 660
    ended = invoke(main, "inspect", holed, *most, "--draw", path, code=1)
    assert f"--draw {path}: is there already" in ended.stderr


def test_suggestions_are_a_parameters_file_that_a_run_takes(raw, invoke, tmp_path):
    path = tmp_path / "suggested.yml"
    invoke(main, "inspect", raw, "--suggest", path)
    text = path.read_text()
    assert (
        "# no file says the depth spacing; a run takes 1.36 um\n# axial_resolution_um: 1.36" in text
    )
    # What only somebody who was there knows is a comment until they take the mark off.
    assert yaml.safe_load(text) == {"schema": 1}
    path.write_text(text.replace("# axial", "axial"))
    assert Parameters.read(path, {}).given == {"axial_resolution_um": 1.36}
    ended = invoke(main, "inspect", raw, "--suggest", path, code=1)
    assert "is there already" in ended.stderr
