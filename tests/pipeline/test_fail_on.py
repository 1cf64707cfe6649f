"""A run that lost too much ends with its volume and report there, and a failing exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.nextflow import environment

from mosaicflow.simulation import preset, simulate

ROOT = Path(__file__).parents[2]
TELL = 'echo "$MOSAICFLOW_STATUS $MOSAICFLOW_REPORT" > told.txt'


def started(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with what it says."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


class Lossy:
    """Three slices, two of which hold no image, and both engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = preset(
            "toy", n_slices=3, bad_slices=(0, 1), bad_kind="blank", truth_volume=False
        )
        self.truth = simulate(folder / "simulated", settings=settings, threads=2)

    def embedded(self, *options: str) -> subprocess.CompletedProcess[str]:
        return started(
            *("mosaicflow", "run", "-i", self.truth.raw, "-o", "embedded", "--threads", "2"),
            *("-p", self.truth.params, *options),
            folder=self.folder,
        )

    def workflow(self, *options: str) -> subprocess.CompletedProcess[str]:
        return started(
            *("nextflow", "run", ROOT, "-profile", "test", "-params-file", self.truth.params),
            *("--input", self.truth.raw, "--output", "workflow", "-resume", *options),
            folder=self.folder,
        )

    def told(self) -> str:
        """What the command of `on_end` left, once."""
        file = self.folder / "told.txt"
        text = file.read_text().strip()
        file.unlink()
        return text


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Lossy:
    return Lossy(tmp_path_factory.mktemp("lossy"))


def assert_published(root: Path) -> list[str]:
    """Everything is there in spite of the exit code; the closing lines, as the record has them."""
    assert (root / "3d_volume.ome.zarr/.zattrs").is_file()
    assert "This volume cannot be trusted as a whole" in (root / "report.html").read_text()
    assert not (root / "RUNNING").exists()
    record = json.loads((root / "pipeline_info/run.json").read_text())
    assert record["verdict"]["status"] == "error"
    return list(record["closing"])


def test_a_spoiled_volume_ends_with_exit_code_3_and_everything_published(lossy):
    done = lossy.embedded("--on_end", TELL)
    assert done.returncode == 3, done.stderr
    assert lossy.told() == f"error {lossy.folder / 'embedded/report.html'}"
    closing = assert_published(lossy.folder / "embedded")
    for line in closing:
        assert line.replace("{output}", "embedded") in done.stdout
    assert "slice 0 is not in the volume (failed): " in done.stdout
    assert "1 of 3 slices in the volume" in done.stdout
    assert "next      open the report in a browser; then: mosaicflow view embedded/" in done.stdout


def test_fail_on_never_lets_the_same_run_pass(lossy):
    done = lossy.embedded("--fail_on", "never")
    assert done.returncode == 0, done.stderr
    assert "verdict   error: This volume cannot be trusted as a whole" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("nextflow") is None,
    reason="nextflow is not on PATH: install it to test the workflow",
)
def test_under_nextflow_the_same_run_says_the_same_and_fails(lossy):
    done = lossy.workflow("--on_end", TELL)
    assert done.returncode == 1, done.stdout + done.stderr
    output = lossy.folder / "workflow"
    assert lossy.told() == f"error {output / 'report.html'}"
    closing = assert_published(output)
    said = (done.stdout + done.stderr).splitlines()
    for line in closing:
        assert line.replace("{output}", str(output)) in said
    lossy.embedded()
    record = json.loads((lossy.folder / "embedded/pipeline_info/run.json").read_text())
    assert record["closing"] == closing
    passed = lossy.workflow("--fail_on", "never")
    assert passed.returncode == 0, passed.stdout + passed.stderr
