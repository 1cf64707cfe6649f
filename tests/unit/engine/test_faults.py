"""Every write, rename and allocation that fails in turn: a clean run's result, or one line.

The calls fail in the C library, below Python and the Rust codecs (tests/faults/shim.c).
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.unit.engine.test_resume import RECORDS

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.optics.focal import curvature_terms

FAULTS = Path(__file__).parents[2] / "faults"
EIO, ENOSPC = 5, 28
STAGES = (
    "inspect_acquisition",
    "create_mosaic_grid z00",
    "resample_mosaic_grid z00",
    "estimate_illumination",
    "fix_illumination z00",
    "estimate_tile_positions z00",
    "pool_tile_positions",
    "stitch_3d z00",
    "correct_axial z00",
    "crop_interface z00",
    "normalize z00",
    "detect_rehoming",
    "register_pairwise z00 z01",
    "solve_alignment",
    "estimate_depth_profile",
    "stack",
    "report",
)
# Of a run that takes places and curvature of another one, exports, and has angles as a channel.
OTHER_STAGES = ("take_positions", "fix_focal_curvature z00", "export", "join_angle")

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not sys.platform.startswith("linux"),
    reason="the faults are made by a C library that is preloaded: needs cc on Linux",
)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = str(FAULTS / "shim.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True
    )
    return library


def environment(shim, folder, state):
    return os.environ | {
        "LD_PRELOAD": str(shim),
        "FAULT_STATE": str(state),
        "FAULT_ROOT": str(folder),
        "PYTHONPATH": str(FAULTS.parents[1]),
    }


def attacked(shim, acquisition, root, tmp_path, names, **options):
    state = tmp_path / "state"
    state.write_bytes(bytes(48))
    found = subprocess.run(
        [
            *(sys.executable, FAULTS / "stage_driver.py", root, acquisition.raw),
            *(acquisition.params, json.dumps(names), json.dumps(options)),
        ],
        env=environment(shim, tmp_path / "scratch", state),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    *wrong, last = map(json.loads, found.stdout.splitlines())
    assert wrong == []
    return last["tried"]


def test_some_failing_writes_and_renames_of_a_stage(shim, acquisition, finished_run, tmp_path):
    options = {"kinds": ["write", "rename"], "error": ENOSPC, "only": [1, 2, 4, 7]}
    assert attacked(shim, acquisition, finished_run, tmp_path, ["normalize z00"], **options) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_every_write_rename_and_sync_of_a_stage_that_fails(
    shim, acquisition, finished_run, tmp_path, name
):
    options = {"kinds": ["write", "rename", "fsync"], "error": EIO, "only": []}
    assert attacked(shim, acquisition, finished_run, tmp_path, [name], **options) >= 3


@pytest.fixture(scope="module")
def other_run(acquisition, finished_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    measured, root, params = folder / "measured", folder / "out", folder / "params.yml"
    shutil.copytree(finished_run, measured)
    terms = curvature_terms(np.full((40, 40), 12.0) * np.linspace(-1, 1, 40) ** 2)
    (measured / "tables/focal_curvature.json").write_text(json.dumps({"terms_um": terms}))
    # What shows that the other run used it.
    (measured / "metrics/mosaic_grid_3d_z00_focal_fix.metrics.json").write_text("{}")
    params.write_text(
        acquisition.params.read_text()
        + f"positions_from: {measured}\n"
        + "export_formats: [mrc, ome-tiff, placements, session]\n"
    )
    run_pipeline(acquisition.raw, root, Parameters.read(params, {}), 2)
    for part in ("1cos", "1sin"):
        copy = root / f"3d_volume_c{part}.ome.zarr"
        shutil.copytree(root / "3d_volume.ome.zarr", copy)
        attributes = json.loads((copy / ".zattrs").read_text())
        attributes["mosaicflow"]["channel"] = part
        (copy / ".zattrs").write_text(json.dumps(attributes))
    return root, dataclasses.replace(acquisition, params=params)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_STAGES)
def test_every_write_rename_and_sync_of_another_stage_that_fails(shim, other_run, tmp_path, name):
    root, acquisition = other_run
    options = {"kinds": ["write", "rename", "fsync"], "error": EIO, "only": []}
    assert attacked(shim, acquisition, root, tmp_path, [name], **options) >= 3


def tried(shim, acquisition, tmp_path, series):
    """Run the toy with the faults and kills of a series; give what became of each trial."""
    state = tmp_path / "state"
    state.write_bytes(bytes(48))
    words = (FAULTS / "run_driver.py", acquisition.raw, acquisition.params, json.dumps(series))
    found = subprocess.run(
        [sys.executable, *words],
        env=environment(shim, tmp_path / "out", state),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_some_faults_and_kills_of_a_run_leave_a_clean_run_s_result_or_one_line(
    shim, acquisition, tmp_path
):
    series = {"write": [90], "alloc": [2485], "kill": [7]}
    trials = tried(shim, acquisition, tmp_path, series)
    assert [one["wrong"] for one in trials] == [[]] * 4
    assert [one["fired"] for one in trials if "fired" in one] == [True, True]


# 200 and 100 in all, every wait for the disk (one in two seconds of a run), and every number of
# records.
DRAWN = {
    "write": {"count": 120, "seed": 1},
    "rename": {"count": 80, "seed": 2},
    "fsync": {"count": 20, "seed": 3},
    "alloc": {"count": 100, "seed": 4},
    "kill": list(range(RECORDS + 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_every_drawn_fault_or_kill_of_a_run_leaves_a_clean_run_s_result_or_one_line(
    shim, acquisition, tmp_path, kind
):
    trials = tried(shim, acquisition, tmp_path, {kind: DRAWN[kind]})
    expected = 2 * RECORDS if kind == "kill" else DRAWN[kind]["count"]
    if kind == "fsync":
        assert 3 <= len(trials) <= expected
    else:
        assert len(trials) == expected
    wrong = [one for one in trials if one["wrong"]]
    assert not wrong, json.dumps(wrong, indent=1)
