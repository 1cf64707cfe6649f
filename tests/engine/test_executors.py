"""The workflow on a real SLURM and in real containers, where this machine has them."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "mosaicflow:0.1.0"
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


def _run(folder: Path, *options: object) -> Path:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NXF_OFFLINE": "true",
        "NXF_ANSI_LOG": "false",
        "NXF_JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    for command in (
        ("mosaicflow", "simulate", "--preset", "toy", "--output", folder / "toy"),
        (
            *("nextflow", "run", ROOT, "-params-file", folder / "toy" / "params.yml"),
            *("--output", folder / "out", *options),
        ),
    ):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    return folder / "out"


def _assert_complete(output: Path) -> None:
    with (output / "pipeline_info" / "trace.txt").open() as file:
        states = [row["status"] for row in csv.DictReader(file, delimiter="\t")]
    assert states == ["COMPLETED"] * 22
    assert (output / "3d_volume.ome.zarr" / ".zattrs").is_file()


@pytest.mark.skipif(
    not _answers("sinfo", "-h"), reason="no SLURM answers here: start one to test its profile"
)
def test_slurm(tmp_path):
    quick = tmp_path / "quick.config"
    quick.write_text("executor.pollInterval = '2 sec'\nexecutor.queueStatInterval = '2 sec'\n")
    _assert_complete(_run(tmp_path, "-profile", "slurm,test", "-c", quick))


@pytest.mark.skipif(
    not _answers("podman", "image", "exists", IMAGE),
    reason=f"podman has no image {IMAGE}: build it with containers/Dockerfile to test it",
)
def test_podman(tmp_path):
    _assert_complete(_run(tmp_path, "-profile", "podman,test"))


@pytest.mark.skipif(
    not (_answers("apptainer", "--version") and SIF.is_file()),
    reason="needs apptainer and MOSAICFLOW_SIF=image.sif, made from containers/Dockerfile",
)
def test_apptainer(tmp_path):
    site = tmp_path / "site.config"
    # Without a set-uid installation root needs a user namespace too.
    site.write_text(f"process.container = 'file://{SIF}'\napptainer.runOptions = '--userns'\n")
    _assert_complete(_run(tmp_path, "-profile", "apptainer,test", "-c", site))
