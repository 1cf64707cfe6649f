"""One finished run of the toy acquisition, that tests may copy."""

import shutil

import pytest

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline


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
