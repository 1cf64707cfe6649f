"""Every write, rename and allocation that fails in turn: a clean run's result, or one line.

The calls fail in the C library, below Python and the Rust codecs (tests/faults/shim.c).
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.engine.test_damage import results

from mosaicflow.cli.verify import verify

FAULTS = Path(__file__).parents[2] / "faults"
COMMAND = [sys.executable, "-m", "mosaicflow.cli.main", "run"]
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
)
# Of a toy run, counted over all its processes; drawn without a look at what they are.
TOY_CALLS = {"write": 700, "rename": 400, "fsync": 30, "alloc": 6000}

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


def run_once(shim, acquisition, root, *, plan=None):
    """Run the toy; with a plan (kind, at, error) one call fails. Give exit code, errors, fired."""
    state = root.parent / f"{root.name}.state"
    state.write_bytes(bytes(48))
    kinds = {"write": 1, "rename": 2, "fsync": 3, "alloc": 4}
    if plan is not None:
        kind, at, error = plan
        fields = (kinds[kind], at, error, 64 * 1024, 0, 0)
        state.write_bytes(b"".join(value.to_bytes(8, "little") for value in fields))
    ended = subprocess.run(
        [*COMMAND, "-i", acquisition.raw, "-o", root, "-p", acquisition.params, "--threads", "2"],
        env=environment(shim, root, state),
        capture_output=True,
        text=True,
        check=False,
    )
    fired = state.read_bytes()[40:48] != bytes(8)
    return ended.returncode, ended.stderr, fired


def one_fault(shim, acquisition, root, clean, plan):
    code, said, fired = run_once(shim, acquisition, root, plan=plan)
    lines = [line for line in said.splitlines() if line.startswith("error")]
    assert "Traceback" not in said, (plan, said)
    assert (code, len(lines)) in ((0, 0), (1, 1)), (plan, code, said)
    if code == 0:
        assert results(root) == clean, plan
    code, said, _ = run_once(shim, acquisition, root)
    assert code == 0, (plan, said)
    assert results(root) == clean, plan
    assert verify(root) == 0
    shutil.rmtree(root)
    return fired


def drawn(kind, count, seed):
    numbers = random.Random(seed).sample(range(1, TOY_CALLS[kind] + 1), count)
    return [(kind, number, EIO if number % 2 else ENOSPC) for number in numbers]


PLANS = [*drawn("write", 110, 1), *drawn("rename", 70, 2), *drawn("fsync", 20, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_drawn_write_rename_or_sync_of_a_run_that_fails(
    shim, acquisition, finished_run, tmp_path, plan
):
    one_fault(shim, acquisition, tmp_path / "out", results(finished_run), plan)


@pytest.mark.slow
@pytest.mark.parametrize("plan", drawn("alloc", 100, 4), ids=str)
def test_a_drawn_array_of_a_run_that_gets_no_memory(
    shim, acquisition, finished_run, tmp_path, plan
):
    one_fault(shim, acquisition, tmp_path / "out", results(finished_run), (*plan[:2], 12))
