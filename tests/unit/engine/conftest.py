"""A tiny acquisition, and one finished run of it that tests may copy."""

import shutil

import pytest

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.simulation import preset, simulate


@pytest.fixture(scope="session")
def acquisition(tmp_path_factory):
    """Two slices of four tiles."""
    folder = tmp_path_factory.mktemp("toy") / "sim"
    return simulate(folder, settings=preset("toy", truth_volume=False), threads=2)


@pytest.fixture(scope="session")
def finished_run(acquisition, tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "out"
    run_pipeline(acquisition.raw, root, Parameters.read(acquisition.params, {}), 2)
    return root


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A folder that holds a finished run."""
    root = tmp_path / "out"
    shutil.copytree(finished_run, root)
    return root


@pytest.fixture
def raw_copy(acquisition, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(acquisition.raw, raw)
    return raw
