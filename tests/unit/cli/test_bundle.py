"""One file for a machine without internet: what is in it, and that it starts there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.nextflow import environment

from mosaicflow import __version__
from mosaicflow.cli.bundle import bundle
from mosaicflow.errors import InputError
from mosaicflow.io.zarr import is_finished

ROOT = Path(__file__).parents[3]
IMAGE = f"mosaicflow:{__version__}"


@pytest.fixture
def unpacked(tmp_path):
    image = tmp_path / "mosaicflow.sif"
    image.write_bytes(b"image")
    bundle(tmp_path / "all.tar", image=image, pipeline=ROOT)
    with tarfile.open(tmp_path / "all.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    assert not list(tmp_path.glob(".*.tmp"))
    return tmp_path / f"mosaicflow-{__version__}"


def test_all_that_a_run_reads_is_in_it(unpacked):
    assert (unpacked / "image/mosaicflow.sif").read_bytes() == b"image"
    assert {path.name for path in (unpacked / "example").iterdir()} >= {"raw", "params.yml"}
    for folder in ("bin", "conf", "functions", "modules", "workflows"):
        there = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and not {"tests", "__pycache__"} & set(path.parts[len(ROOT.parts) :])
        }
        packed = {
            path.relative_to(unpacked / "pipeline").as_posix()
            for path in (unpacked / "pipeline" / folder).rglob("*")
            if path.is_file()
        }
        assert there == packed
    command = unpacked / "pipeline/bin/stack.py"
    assert command.stat().st_mode & 0o111
    guide = (unpacked / "README.txt").read_text()
    assert '-profile apptainer --container "file://$PWD/image/mosaicflow.sif"' in guide


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no main\.nf"):
        bundle(tmp_path / "all.tar", pipeline=tmp_path)
    with pytest.raises(InputError, match="is no image"):
        bundle(tmp_path / "all.tar", image=tmp_path, pipeline=ROOT)
    assert not (tmp_path / "all.tar").exists()


needs_both = pytest.mark.skipif(
    shutil.which("nextflow") is None or shutil.which("unshare") is None,
    reason="needs nextflow, and unshare to take the network away",
)


def assert_no_network(alone):
    ask = (
        "import socket, errno\n"
        "try: socket.create_connection(('192.0.2.1', 9), 1)\n"
        "except OSError as e: raise SystemExit(e.errno != errno.ENETUNREACH)"
    )
    subprocess.run([*alone, sys.executable, "-c", ask], check=True)


@pytest.mark.slow
@needs_both
def test_the_workflow_of_a_bundle_runs_without_a_network(unpacked):
    """In a network of its own without any device up; stages are those of this Python."""
    alone = ["unshare", "--map-root-user", "--user", "--net"]
    assert_no_network(alone)
    words = ["nextflow", "run", "pipeline", "-profile", "test", "-stub-run", "--output", "OUT"]
    done = subprocess.run(
        [*alone, *words],
        cwd=unpacked, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (unpacked / "OUT/3d_volume.ome.zarr").is_dir()


def has_image() -> bool:
    words = ["podman", "image", "exists", IMAGE]
    return shutil.which("podman") is not None and subprocess.run(words, check=False).returncode == 0


@pytest.mark.slow
@needs_both
@pytest.mark.skipif(
    not has_image(),
    reason=f"podman has no image {IMAGE}: build it with containers/Dockerfile to test it",
)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for Podman in a network of its own")
def test_the_image_of_a_bundle_runs_without_a_network(tmp_path):
    """Every step of its README, for real; nothing but Nextflow and Podman is this machine's."""
    image = tmp_path / "mosaicflow.tar"
    subprocess.run(["podman", "save", "--quiet", "--output", image, IMAGE], check=True)
    bundle(tmp_path / "all.tar", image=image, pipeline=ROOT)
    image.unlink()
    with tarfile.open(tmp_path / "all.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    alone = ["unshare", "--net"]
    assert_no_network(alone)
    guide = (tmp_path / f"mosaicflow-{__version__}" / "README.txt").read_text()
    assert "docker load -i image/mosaicflow.tar   (or podman, with -profile podman)" in guide
    line = "podman load --quiet -i image/mosaicflow.tar && nextflow run pipeline"
    line += f" -profile podman,test --container {IMAGE} --output OUT"
    done = subprocess.run(
        [*alone, "sh", "-c", line],
        cwd=tmp_path / f"mosaicflow-{__version__}",
        # Without this Python: what is not in the bundle is not there.
        env=environment() | {"PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_finished(tmp_path / f"mosaicflow-{__version__}" / "OUT/3d_volume.ome.zarr")
