"""The workflow on a real engine: a tiny acquisition, how to start a run, what a run left."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from tests.nextflow import environment

ROOT = Path(__file__).parents[2]


class Engine:
    """Runs of the workflow on one tiny acquisition.

    Parameters
    ----------
    folder : Path
        Where everything is made: ``toy`` (the acquisition), and one folder per run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.toy = folder / "toy"
        words = ["-m", "mosaicflow.cli.main", "simulate", "--preset", "toy", "--output", self.toy]
        subprocess.run([sys.executable, *map(str, words)], check=True)

    def start(self, name: str, *options: object, **more: str) -> subprocess.Popen[str]:
        """Start a run that publishes into the folder `name`."""
        launch = self.folder / f"launch_{name}"
        launch.mkdir(exist_ok=True)
        words = ["nextflow", "run", ROOT, "-params-file", self.toy / "params.yml"]
        words += ["--input", self.toy / "raw", "--output", self.folder / name, *options]
        return subprocess.Popen(
            [str(word) for word in words],
            cwd=launch,
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, name: str, *options: object, **more: str) -> str:
        """Run to the end, which must be a good one; give what was said."""
        run = self.start(name, *options, **more)
        said, _ = run.communicate()
        assert run.returncode == 0, said
        return said

    def embedded(self, name: str, *options: object) -> None:
        """Run the same without Nextflow."""
        words = ["-m", "mosaicflow.cli.main", "run", "-p", self.toy / "params.yml", "--threads", 2]
        words += ["--input", self.toy / "raw", "--output", self.folder / name, *options]
        subprocess.run([sys.executable, *map(str, words)], check=True)

    def rows(self, name: str) -> list[dict[str, str]]:
        """Read the trace of the last run."""
        trace = self.folder / name / "pipeline_info/trace.txt"
        if not trace.is_file():
            return []
        with trace.open() as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def tasks(self, name: str, status: str) -> set[str]:
        """List tasks of the last run that ended so, without their workflow's name."""
        found = (row for row in self.rows(name) if row["status"] == status)
        return {row["name"].split(":")[-1] for row in found}

    def most_cpu(self, name: str) -> float:
        """Read how many processors the busiest task of the last run kept busy."""
        ended = (row for row in self.rows(name) if row["status"] == "COMPLETED")
        return max(float(row["%cpu"].rstrip("%")) for row in ended) / 100

    def results(self, name: str) -> dict[str, bytes]:
        """Read what was published, without what holds times."""
        output = self.folder / name
        return {
            path.relative_to(output).as_posix(): path.read_bytes()
            for path in output.rglob("*")
            if path.is_file()
            and not {"pipeline_info", ".mosaicflow"} & set(path.relative_to(output).parts)
            # The last part of the report is about the engine, and the crate says when it ended.
            and path.name not in ("report.html", "ro-crate-metadata.json")
            and not path.name.endswith((".metrics.json", ".crc32c.json"))
        }


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def embedded(engine: Engine) -> dict[str, bytes]:
    """What the embedded engine publishes."""
    engine.embedded("embedded")
    return engine.results("embedded")
