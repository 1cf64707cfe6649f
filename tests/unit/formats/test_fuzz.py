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


BINARY = ("mrc", "mrc.gz", "em", "h5", "nrrd", "nii", "stl", "ply", "glb", "vtu", "vtk", "pickle")
TEXT = (
    *("star", "tsv", "txt", "xyz", "csv", "ndjson", "obj", "off", "gltf", "tsi", "q"),
    *("pdb", "cif", "gro"),
)


@pytest.mark.parametrize("reader", BINARY)
def test_damaged_binary_files_are_read_or_refused(driver, tmp_path, reader):
    accepted, slowest = driver.run_random(reader, runs=150, seed=7, folder=tmp_path)
    assert accepted < 150
    assert slowest < 5  # s, on a busy machine; a hang would take ten


def test_the_undamaged_files_of_every_reader_are_accepted(driver, tmp_path):
    seeds = driver.seed_files()
    assert set(seeds) == {*BINARY, *TEXT}
    for reader, contents in seeds.items():
        assert all(driver.check_input(reader, content, tmp_path) for content in contents)
