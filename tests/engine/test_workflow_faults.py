"""Under Nextflow: a bug costs its slice and the exit code; a killed run resumes exactly."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Tasks of a toy run whose end is waited for before everything is killed, of 24.
PLACES = (1, 4, 10, 16, 21)

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
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    command = ["-m", "mosaicflow.cli.main", "simulate", "--preset", "toy", "--output", "toy"]
    subprocess.run([sys.executable, *command], cwd=folder, check=True)
    return folder


def start(toy: Path, output: str, *options: str, **more: str) -> subprocess.Popen[str]:
    folder = toy / f"launch_{output}"
    folder.mkdir(exist_ok=True)
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "NXF_OFFLINE": "true",
        "NXF_ANSI_LOG": "false",
        "NXF_JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        **more,
    }
    words = ["nextflow", "run", ROOT, "-profile", "test", "-params-file", toy / "toy/params.yml"]
    words += ["--input", toy / "toy/raw", "--output", toy / output, *options]
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def tasks(output: Path, status: str) -> set[str]:
    trace = output / "pipeline_info/trace.txt"
    if not trace.is_file():
        return set()
    with trace.open() as file:
        return {
            row["name"] for row in csv.DictReader(file, delimiter="\t") if row["status"] == status
        }


def results(output: Path) -> dict[str, bytes]:
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file()
        and "pipeline_info" not in path.parts
        and not path.name.endswith((".metrics.json", ".crc32c.json"))
    }


@pytest.fixture(scope="module")
def clean(toy: Path) -> dict[str, bytes]:
    run = start(toy, "clean")
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert not (toy / "clean/RUNNING").exists()
    return results(toy / "clean")


def test_a_bug_in_one_slice_fails_the_run_once_all_else_is_published(toy: Path) -> None:
    (toy / "site").mkdir()
    (toy / "site/sitecustomize.py").write_text(PLANTED)
    run = start(toy, "bug", PYTHONPATH=str(toy / "site"))
    said, _ = run.communicate()
    output = toy / "bug"
    assert run.returncode == 1, said
    assert "a bug in mosaicflow ended z01_failure.json" in said
    assert "planted" in (output / "tables/z01_failure.json").read_text()
    assert (output / "3d_volume.ome.zarr/.zattrs").is_file()
    assert (output / "pipeline_info/run.json").is_file()
    assert not (output / "RUNNING").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_resumes_to_the_same_and_does_nothing_twice(
    toy: Path, clean: dict[str, bytes], place: int
) -> None:
    output = toy / f"killed{place}"
    run = start(toy, output.name)
    end = time.monotonic() + 900
    while len(tasks(output, "COMPLETED")) < place and run.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    finished = tasks(output, "COMPLETED")
    time.sleep(3)  # Nextflow notes an end in its trace first, and remembers it a moment later
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert (output / "RUNNING").is_file()
    assert not (output / "pipeline_info/run.json").exists()
    again = start(toy, output.name, "-resume")
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert finished <= tasks(output, "CACHED")
    assert results(output) == clean
    assert not (output / "RUNNING").exists()
