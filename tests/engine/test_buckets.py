"""The workflow from a bucket into a bucket: the engine has no plugin for it, the tasks reach it."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from tests.buckets import environment, faulty_bucket

from mosaicflow.io.zarr import read_omezarr

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nextflow") is None,
        reason="nextflow is not on PATH: install it to test the workflow",
    ),
]

OPTIONS = ("--ngff_version", "0.5")
# Of the folder's files and of its name.
TOLD = {"tables/acquisition.json", "tables/z00_tiles.json", "tables/z01_tiles.json"}


def plain(content: bytes) -> bytes:
    """Leave out what tells inputs apart: raw files in a bucket have other times."""
    return re.sub(rb'"[0-9a-f]{32}"', b'""', content)


@pytest.mark.parametrize("granularity", ["stage", "slice"])
def test_a_bucket_gets_what_a_folder_does(engine, granularity, monkeypatch):
    name = f"bucket_{granularity}"
    engine.embedded(f"folder_{granularity}", *OPTIONS)
    expected = engine.results(f"folder_{granularity}")
    with faulty_bucket(f"results-{granularity}") as bucket:
        away = environment(bucket.endpoint)
        source = bucket.put_tree(engine.toy / "raw", "raw")
        places = ("--input", source, "--output", f"{bucket.address}/out")
        bucket.faults = ["", "", "503", "", "drop", "", "", "cut"] * 3
        run = engine.start(
            name, "-profile", "test", *places, *OPTIONS, "--granularity", granularity, **away
        )
        said, _ = run.communicate()
        assert run.returncode == 0, said
        assert bucket.faults == []
        found = {key.removeprefix("out/"): one for key, one in bucket.keys("out/").items()}
        for variable, value in away.items():
            monkeypatch.setenv(variable, value)
        there, _ = read_omezarr(f"{bucket.address}/out/3d_volume.ome.zarr")
        there = there.compute()
    # Metrics and lists of checksums hold times; the record comes with what the engine adds.
    kept = {n: one for n, one in found.items() if n in expected}
    assert sorted(kept) == sorted(expected)
    volume = {n for n in expected if n.startswith("3d_volume.ome.zarr/")}
    compared = expected.keys() - TOLD - volume
    assert [n for n in compared if plain(kept[n]) != plain(expected[n])] == []
    here, _ = read_omezarr(engine.folder / f"folder_{granularity}" / "3d_volume.ome.zarr")
    np.testing.assert_array_equal(there, here.compute())
    assert "pipeline_info/run.json" in found
    assert "report.html" in found
    # The volume went straight to its place.
    local = engine.folder / f"launch_{name}"
    assert not list(local.rglob("3d_volume.ome.zarr"))
