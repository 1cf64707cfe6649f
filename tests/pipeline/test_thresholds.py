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


def told(folder, **changes) -> Told:
    """Simulate five small slices, run, and gather what is beyond its threshold, by slice."""
    settings = preset("toy", n_slices=5, grid=(2, 2), **changes)
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


def test_a_sound_run_raises_nothing(tmp_path):
    found = told(tmp_path, seed=5)
    # These sections are as thick as what is imaged: no slice shows the tissue of another.
    assert found.raised - {"depth_profile:sentence"} == frozenset()
    assert found.verdict["status"] == "ok"
    assert "brightness along z was set slice by slice" in found.verdict["sentence"]


# Fault -> what it raises, and whether the slice is still in the volume.
FAULTS = {
    "noise": ({"z01_z02_transform:correlation", "z02_tile_positions:sentence"}, False),
    "dark": ({"depth_profile:profile_sigma"}, True),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_raises_its_own(tmp_path, kind):
    raised, is_kept = FAULTS[kind]
    seed = 5 if kind == "noise" else 6
    found = told(tmp_path, seed=seed, bad_slices=(2,), bad_kind=kind)
    assert raised <= found.raised
    assert found.verdict["status"] == "warning"
    assert not found.verdict["failed"]
    assert found.slices["excluded"] == ({} if is_kept else {"2": "matches_no_neighbour"})
