"""Under Nextflow: a bug costs its slice and the exit code; a killed run resumes exactly."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest

# Tasks of a toy run whose end is waited for before everything is killed, of 25.
PLACES = (1, 4, 6, 8, 10, 13, 16, 18, 19, 21, 23, 24)
WAIT_S = 3600  # a run takes 60 s of two free cores; beside other work many times that

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nextflow") is None,
        reason="nextflow is not on PATH: install it to test the workflow",
    ),
]

# Loaded by every Python of the run: one slice meets a bug.
PLANTED = """
import importlib.abc, importlib.util, sys

class Loader(importlib.abc.Loader):
    def __init__(self, real):
        self.real = real
    def create_module(self, spec):
        return self.real.create_module(spec)
    def exec_module(self, module):
        self.real.exec_module(module)
        fit = module.fit_surface
        def stumble(*arguments, **options):
            if any("z01" in word for word in sys.argv):
                raise RuntimeError("planted")
            return fit(*arguments, **options)
        module.fit_surface = stumble

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "mosaicflow.slices.surface":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        spec.loader = Loader(spec.loader)
        return spec

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(scope="module")
def clean(engine) -> dict[str, bytes]:
    engine.run("clean", "-profile", "test")
    assert not (engine.folder / "clean/RUNNING").exists()
    return engine.results("clean")


def test_a_bug_in_one_slice_fails_the_run_once_all_else_is_published(engine) -> None:
    site = engine.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(PLANTED)
    run = engine.start("bug", "-profile", "test", PYTHONPATH=str(site))
    said, _ = run.communicate()
    output = engine.folder / "bug"
    assert run.returncode == 1, said
    assert "a bug in mosaicflow ended z01_failure.json" in said
    assert "planted" in (output / "tables/z01_failure.json").read_text()
    assert (output / "3d_volume.ome.zarr/.zattrs").is_file()
    assert (output / "pipeline_info/run.json").is_file()
    assert not (output / "RUNNING").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_resumes_to_the_same_and_does_nothing_twice(
    engine, clean: dict[str, bytes], place: int
) -> None:
    name = f"killed{place}"
    output = engine.folder / name
    run = engine.start(name, "-profile", "test")
    end = time.monotonic() + WAIT_S
    while len(engine.tasks(name, "COMPLETED")) < place and run.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    finished = engine.tasks(name, "COMPLETED")
    time.sleep(3)  # Nextflow notes an end in its trace first, and remembers it a moment later
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert (output / "RUNNING").is_file()
    assert not (output / "pipeline_info/run.json").exists()
    engine.run(name, "-profile", "test", "-resume")
    assert finished <= engine.tasks(name, "CACHED")
    assert engine.results(name) == clean
    assert not (output / "RUNNING").exists()


def test_a_failed_inspection_is_the_only_error(engine) -> None:
    (engine.folder / "nothing").mkdir()
    run = engine.start("failed", "-profile", "test", "--input", engine.folder / "nothing")
    said, _ = run.communicate()
    assert run.returncode == 1
    assert said.count("ERROR ~") == 1
    assert "no tile found" in said
    assert "no slice could be used" not in said
