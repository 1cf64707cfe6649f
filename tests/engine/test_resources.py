"""Tasks of the workflow ask for what is predicted, and for more when that was too little."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nextflow") is None,
        reason="nextflow is not on PATH: install it to test the workflow",
    ),
]

# The first attempt at one stage ends as one that the system kills for want of memory.
CONFIG = """
trace.fields = 'name,status,attempt,memory,time,disk,peak_rss,realtime'
trace.raw = true
process { withName: CROP_INTERFACE { beforeScript = { task.attempt == 1 ? 'exit 137' : '' } } }
"""


@pytest.fixture(scope="module")
def trace(engine):
    config = engine.folder / "resources.config"
    config.write_text(CONFIG)
    engine.run("resources", "-profile", "test", "-c", config)
    with (engine.folder / "resources/pipeline_info/trace.txt").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def predicted(engine, trace):
    assert trace
    found = engine.folder / "resources/pipeline_info/resources.json"
    return json.loads(found.read_text())["stages"]


def stage_of(row):
    return row["name"].split(":")[-1].split(" ")[0].lower()


def test_every_task_asks_for_what_is_predicted_of_its_stage(trace, predicted):
    asked = {stage_of(row): int(row["memory"]) for row in trace if row["attempt"] == "1"}
    # The first two run before anything is known, and the report is not predicted.
    known = asked.keys() & predicted.keys() - {"inspect_acquisition", "detect_rehoming"}
    assert {"create_mosaic_grid", "stitch_3d", "register_pairwise", "stack"} <= known
    for stage in known:
        assert asked[stage] == predicted[stage]["memory_mb"] * 2**20, stage
        disk = {
            int(row["disk"]) for row in trace if stage_of(row) == stage and row["attempt"] == "1"
        }
        assert disk == {predicted[stage]["disk_mb"] * 2**20}, stage
    assert asked["inspect_acquisition"] == asked["report"] == 2 * 2**30


def test_what_was_killed_asks_for_twice_as_much(trace, predicted):
    rows = [row for row in trace if stage_of(row) == "crop_interface"]
    first, second = (
        {int(row["memory"]) for row in rows if row["attempt"] == number} for number in ("1", "2")
    )
    once = predicted["crop_interface"]["memory_mb"] * 2**20
    assert (first, second) == ({once}, {2 * once})


def test_no_task_takes_more_than_it_asks_for(trace):
    ended = [row for row in trace if row["status"] == "COMPLETED"]
    taken = [(row["name"], int(row["peak_rss"]), int(row["memory"])) for row in ended]
    assert [name for name, peak, asked in taken if peak > asked] == []
