"""Sound simulated runs raise nothing, and each fault of the simulator raises its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.simulation import preset, simulate

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Told:
    """What a run said of itself."""

    verdict: dict
    slices: dict
    raised: frozenset[str]


def told(folder, name="demo", **changes) -> Told:
    """Simulate, run, and gather what is beyond its threshold."""
    settings = preset(name, truncated_tiles=(), truth_volume=False, **changes)
    truth = simulate(folder / "simulated", settings=settings, threads=2)
    result = run_pipeline(truth.raw, folder / "out", Parameters.read(truth.params, {}), 2)
    record = json.loads((result.root / "pipeline_info/run.json").read_text())
    raised = set()
    for path in (result.root / "metrics").glob("*.metrics.json"):
        found = json.loads(path.read_text())
        stem = path.name.removesuffix(".metrics.json")
        bad = {k for k, one in found["metrics"].items() if one["status"] in ("warning", "error")}
        raised |= {f"{stem}:{name}" for name in bad}
        raised |= {f"{stem}:sentence"} if found["warnings"] or found["errors"] else set()
    return Told(record["verdict"], record["slices"], frozenset(raised))


@pytest.mark.parametrize("seed", range(41, 46))
@pytest.mark.parametrize("name", ["demo", "benchmark"])
def test_a_sound_run_raises_nothing(tmp_path, name, seed):
    found = told(tmp_path, name, seed=seed)
    assert found.raised == frozenset()
    assert found.verdict["status"] == "ok"


# Fault of slice 2 -> what it raises, and what the verdict says of it.
FAULTS = {
    "noise": ("z02_tile_positions:sentence", "slice 2 is not in it (excluded automatically"),
    "saturated": ("slice_z02_stitch_3d:seam_ratio", "slice 2 is not in it (excluded auto"),
    "blank": ("mosaic_grid_3d_z02:sentence", "slice 2 is not in it (failed"),
    "dark": ("3d_volume:gain_max", "largest brightness factor of a slice (slice 2)"),
    "noisy": ("3d_volume:gain_min", "smallest brightness factor of a slice (slice 2)"),
    "blurred": (None, "look at slice 2 first"),
    "half_empty": ("mosaic_grid_3d_z02:sentence", "2 of 4 tiles of slice 2 have no image"),
    "frozen": ("z02_tile_positions:sentence", "within slice 2 most tiles lie where the stage"),
    "duplicated": ("z01_z02_transform:correlation", "slice 2 is doubtful"),
    "shifted": ("alignment:max_correction", "largest departure from the stage (slice 2)"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_raises_its_own(tmp_path, kind):
    raised, said = FAULTS[kind]
    size = {"n_slices": 5, "grid": (2, 2)}
    found = told(tmp_path, seed=41, bad_slices=(2,), bad_kind=kind, **size)
    assert raised is None or raised in found.raised
    assert found.verdict["status"] == "warning"
    assert said in found.verdict["sentence"]
    assert not found.verdict["failed"]
    is_lost = "not in it" in said
    assert ("2" in {**found.slices["excluded"], **found.slices["failed"]}) == is_lost
