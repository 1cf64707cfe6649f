"""Results of a workflow behind an address: each at its place, the record of the run last."""

from __future__ import annotations

import pytest
from tests.buckets import environment, faulty_bucket

from mosaicflow.cli.put import put_results


@pytest.mark.slow
def test_all_that_a_workflow_publishes_has_a_place_and_the_record_comes_last(tmp_path, monkeypatch):
    names = ("run.json", "versions.tsv", "main.nf", "report.html", "README.txt", "alignment.json",
             "ro-crate-metadata.json", "z00_failure.json", "3d_volume.png")  # fmt: skip
    for name in names:
        (tmp_path / name).write_text(name)
    store = tmp_path / "slice_z00_normalize.ome.zarr"
    (store / "0/c").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    (store / "0/c/0").write_text("chunk")
    with faulty_bucket("put") as bucket:
        for name, value in environment(bucket.endpoint).items():
            monkeypatch.setenv(name, value)
        bucket.faults = ["503", "", "drop"]
        put_results([f"{bucket.address}/out/", *(str(tmp_path / n) for n in names), str(store)])
        found = bucket.keys("out/")
        sent = [line.split("?")[0] for line in bucket.asked if line.startswith("PUT")]
    assert {key.removeprefix("out/") for key in found} == {
        "pipeline_info/run.json", "pipeline_info/versions.tsv", "pipeline_info/main.nf",
        "report.html", "README.txt", "ro-crate-metadata.json", "tables/alignment.json",
        "tables/z00_failure.json", "previews/3d_volume.png",
        "slices/normalize/slice_z00_normalize.ome.zarr/zarr.json",
        "slices/normalize/slice_z00_normalize.ome.zarr/0/c/0",
    }  # fmt: skip
    assert sent[-1].endswith("/out/pipeline_info/run.json")
    stored = [line for line in sent if ".ome.zarr" in line]
    assert stored[-1].endswith(".ome.zarr/zarr.json")
