"""A run from a bucket into a bucket gives what the same run from and into folders gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.buckets import Bucket, environment, faulty_bucket

from mosaicflow.io.zarr import is_finished, read_omezarr
from mosaicflow.simulation import preset, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Sharded, as docs/running.md recommends it for buckets.
OPTIONS = ("--ngff_version", "0.5", "--keep", "final")
# What holds times, the engine or the place.
OWN = (
    ".metrics.json",
    ".crc32c.json",
    "run.json",
    "report.html",
    "README.txt",
    "ro-crate-metadata.json",
)


def run(made, output: object, source: object, folder: Path, **more: str):
    words = ["-m", "mosaicflow.cli.main", "run", source, "-o", output, "-p", made.params, *OPTIONS]
    return subprocess.run(
        [sys.executable, *map(str, words), "--threads", "2"],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with faulty_bucket("results") as made:
        yield made


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "sim"
    return simulate(folder, settings=preset("toy", truth_volume=False), threads=2)


def kept(files: dict[str, bytes]) -> dict[str, bytes]:
    return {
        name: content
        for name, content in files.items()
        if not name.endswith(OWN) and not name.startswith((".mosaicflow", "3d_volume.ome.zarr"))
    }


@pytest.mark.slow
def test_a_run_of_a_bucket_is_that_of_a_folder_with_faults_on_the_way(
    acquisition, bucket, tmp_path, monkeypatch
):
    """Connections dropped and cut, refusals: all results are the same, the volume is sharded."""
    source = bucket.put_tree(acquisition.raw, "raw")
    local = run(acquisition, tmp_path / "here", acquisition.raw, tmp_path)
    assert local.returncode == 0, local.stderr
    bucket.faults = ["", "", "", "drop", "", "503", "", "", "cut", "", "", "503", "", "drop"] * 3
    away = environment(bucket.endpoint)
    remote = run(acquisition, f"{bucket.address}/one", source, tmp_path, **away)
    assert remote.returncode == 0, remote.stderr
    assert bucket.faults == []
    found = {n.removeprefix("one/"): content for n, content in bucket.keys("one/").items()}
    here = tmp_path / "here"
    expected = {
        path.relative_to(here).as_posix(): path.read_bytes()
        for path in here.rglob("*")
        if path.is_file()
    }
    assert sorted(kept(found)) == sorted(kept(expected))
    told = {"z00_tiles.json", "z01_tiles.json", "acquisition.json"}  # times of files, name of root
    wrong = [
        name
        for name, content in kept(expected).items()
        if found[name] != content and name.rpartition("/")[2] not in told
    ]
    assert wrong == []
    records = [json.loads(one["pipeline_info/run.json"]) for one in (found, expected)]
    assert [one.pop("engine")["name"] for one in records] == ["mosaicflow run"] * 2
    assert records[0] == records[1]
    for name, value in away.items():
        monkeypatch.setenv(name, value)
    there, _ = read_omezarr(f"{bucket.address}/one/3d_volume.ome.zarr")
    whole, _ = read_omezarr(here / "3d_volume.ome.zarr")
    np.testing.assert_array_equal(there.compute(), whole.compute())
    assert not (tmp_path / "one/3d_volume.ome.zarr").exists()  # never here


@pytest.mark.slow
def test_a_bucket_that_stays_away_leaves_no_volume_that_looks_whole(
    acquisition, bucket, tmp_path, monkeypatch
):
    bucket.where, bucket.faults = "/torn/3d_volume.ome.zarr/0/c", ["503"] * 100_000
    away = environment(bucket.endpoint)
    done = run(acquisition, f"{bucket.address}/torn", acquisition.raw, tmp_path, **away)
    bucket.where, bucket.faults = "", []
    assert done.returncode == 1
    assert "s3://results/torn/3d_volume.ome.zarr" in done.stderr
    assert "Traceback" not in done.stderr
    for name, value in away.items():
        monkeypatch.setenv(name, value)
    assert not is_finished(f"{bucket.address}/torn/3d_volume.ome.zarr")
    assert not [key for key in bucket.keys("torn/") if key.endswith("run.json")]


def test_exports_of_a_volume_in_a_bucket_are_refused_before_anything_runs(acquisition, tmp_path):
    with (tmp_path / "params.yml").open("w") as file:
        file.write(acquisition.params.read_text() + "export_formats: [mrc]\n")
    words = ["-m", "mosaicflow.cli.main", "run", acquisition.raw, "-o", "s3://b/out"]
    words += ["-p", tmp_path / "params.yml"]
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "export_formats with --output s3://b/out" in done.stderr
