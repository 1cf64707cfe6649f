"""A short run of the fuzz driver; the long one is started by hand, see tests/fuzz."""

import importlib.util
from pathlib import Path

import pytest

DRIVER = Path(__file__).resolve().parents[2] / "fuzz" / "fuzz_formats.py"


@pytest.fixture(scope="module")
def driver():
    spec = importlib.util.spec_from_file_location("fuzz_formats", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READERS = ("mrc", "mrc.gz", "em", "h5", "nrrd", "nii", "stl", "ply", "glb", "vtu", "vtk")


@pytest.mark.parametrize("reader", READERS)
def test_damaged_binary_files_are_read_or_refused(driver, tmp_path, reader):
    accepted, slowest = driver.run_random(reader, runs=150, seed=7, folder=tmp_path)
    assert accepted < 150
    assert slowest < 5  # s, on a busy machine; a hang would take ten


@pytest.mark.parametrize("reader", READERS)
def test_the_undamaged_files_are_accepted(driver, tmp_path, reader):
    for content in driver.seed_files()[reader]:
        assert driver.check_input(reader, content, tmp_path)
