"""The workflow on this machine, on a real SLURM and in real containers, where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.wiring import files_given, files_planned

from mosaicflow import names
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.names import parse_slice_id

IMAGE = "mosaicflow:0.1.0"
# A task that is given one processor (conf/test.config) keeps no more busy, whatever pools its
# libraries have; a little more is the shell's around it.
ONE_CPU = 1.15
SIF = Path(os.environ.get("MOSAICFLOW_SIF", "absent.sif")).absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nextflow") is None,
        reason="nextflow is not on PATH: install it to test the workflow",
    ),
]


def _answers(*words: str) -> bool:
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0


def site(engine, name: str, text: str) -> Path:
    path = engine.folder / f"{name}.config"
    path.write_text(text)
    return path


def assert_same(engine, name, embedded, *, killed=()) -> None:
    """Whether all tasks ended well, the killed ones at their second try, with the same results."""
    assert engine.tasks(name, "FAILED") == set(killed)
    assert len(engine.tasks(name, "COMPLETED")) == 26
    assert engine.results(name) == embedded
    assert engine.most_cpu(name) <= ONE_CPU


@pytest.mark.parametrize("granularity", ["stage", "slice"])
def test_this_machine(engine, embedded, granularity):
    name = f"local_{granularity}"
    engine.run(name, "-profile", "test", "--granularity", granularity)
    assert engine.tasks(name, "FAILED") == set()
    assert len(engine.tasks(name, "COMPLETED")) == {"stage": 26, "slice": 15}[granularity]
    assert engine.results(name) == embedded
    assert engine.most_cpu(name) <= ONE_CPU
    # What waits for what stands in the workflows and in the plan: both hand on the same files.
    made = {path.name for path in (engine.folder / name).rglob("*")}
    ids = sorted(parse_slice_id(one) for one in made if names.TILES.labels(one) is not None)
    parameters = Parameters.read(engine.toy / "params.yml", {})
    plan = plan_run(engine.toy / "raw", engine.folder / name, ids, parameters, 2)
    given = files_given(engine.folder / f"launch_{name}" / "work")
    assert given == files_planned(plan, made)
    assert len({stage for stage, _ in given}) >= 14


@pytest.mark.skipif(
    not _answers("sinfo", "-h"), reason="no SLURM answers here: start one to test its profile"
)
@pytest.mark.parametrize("granularity", ["stage", "slice"])
def test_slurm_with_a_task_that_is_killed_by_its_time_limit(engine, embedded, granularity):
    victim = {"stage": "CROP_INTERFACE", "slice": "RUN_SLICE_STAGES"}[granularity]
    quick = site(engine, f"slurm_{granularity}", f"""
        executor.pollInterval = '2 sec'
        executor.queueStatInterval = '2 sec'
        process {{
            time = {{ 10.min }}
            withName: '.*:{victim}' {{
                time         = {{ task.attempt == 1 ? 1.min : 10.min }}
                beforeScript = {{ task.attempt == 1 ? 'sleep 300' : '' }}
            }}
        }}
        """)  # fmt: skip
    name = f"slurm_{granularity}"
    engine.run(name, "-profile", "slurm,test", "-c", quick, "--granularity", granularity)
    killed = {f"{victim} ({z})" for z in ("z00", "z01")}
    assert engine.tasks(name, "FAILED") == killed
    assert killed <= engine.tasks(name, "COMPLETED")
    assert engine.results(name) == embedded
    assert engine.most_cpu(name) <= ONE_CPU


@pytest.mark.skipif(
    not _answers("podman", "image", "exists", IMAGE),
    reason=f"podman has no image {IMAGE}: build it with containers/Dockerfile to test it",
)
def test_podman_with_a_task_that_is_killed_by_its_memory_limit(engine, embedded):
    tight = site(engine, "podman", """
        process { withName: '.*:NORMALIZE' { memory = { task.attempt == 1 ? 24.MB : 2.GB } } }
        """)  # fmt: skip
    engine.run("podman", "-profile", "podman,test", "-c", tight)
    assert_same(engine, "podman", embedded, killed=["NORMALIZE (z00)", "NORMALIZE (z01)"])


@pytest.mark.skipif(
    not (_answers("apptainer", "--version") and SIF.is_file()),
    reason="needs apptainer and MOSAICFLOW_SIF=image.sif, made from containers/Dockerfile",
)
def test_apptainer_from_a_file(engine, embedded):
    # Without a set-uid installation root needs a user namespace too.
    where = site(engine, "apptainer", f"""
        params.container = 'file://{SIF}'
        apptainer.runOptions = '--userns'
        """)  # fmt: skip
    engine.run("apptainer", "-profile", "apptainer,test", "-c", where)
    assert_same(engine, "apptainer", embedded)
