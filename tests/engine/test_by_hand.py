"""A slice put off by hand comes right by hand, in the volume, and nothing else runs again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mosaicflow.corrections.package import read_package, take_table
from mosaicflow.io.zarr import open_level

pytestmark = pytest.mark.slow

HEADER = "kind,slice_id,dy_px,dx_px,angle_deg,lock\n"
# A knock of the stage that no image tells of: both slices are locked.
OFF_PX = (6.0, -4.0)
AGAIN = {"solve_alignment", "estimate_depth_profile", "stack", "report"}


def mosaicflow(engine, *words) -> str:
    command = [sys.executable, "-m", "mosaicflow.cli.main", *map(str, words)]
    done = subprocess.run(command, cwd=engine.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(one, down=0.0, right=0.0) -> str:
    y, x = one["shift_px"]
    return f"slice,{one['slice_id']},{y + down},{x + right},{one['angle_deg']},true\n"


def volume(root):
    return np.asarray(open_level(root / "3d_volume.ome.zarr", 0)[...], np.float32)


def likeness(first, second) -> float:
    """Correlation where both volumes show something."""
    assert first.shape == second.shape
    both = (first != 0) & (second != 0)
    return float(np.corrcoef(first[both], second[both])[0, 1])


class ByHand:
    """One run of an engine, put off and right again.

    Parameters
    ----------
    engine : Engine
        The acquisition and where runs go.
    name : str
        Folder of the run.
    go : callable
        Runs with a table of overrides, or None; gives the stages that did anything.
    """

    def __init__(self, engine, name, go):
        self.engine, self.go = engine, go
        self.root, self.package = engine.folder / name, engine.folder / f"{name}_align"

    def places(self):
        mosaicflow(self.engine, "align", "export", self.root, "--output", self.package)
        return read_package(self.package)["slices"]

    def proof(self) -> None:
        self.go(None)
        right, first, second = volume(self.root), *self.places()
        wrong = self.engine.folder / f"{self.root.name}_wrong.csv"
        wrong.write_text(HEADER + row(first) + row(second, *OFF_PX))
        assert self.go(wrong) == AGAIN
        off = self.places()[1]["shift_px"]
        moved = np.subtract(off, second["shift_px"]) - np.subtract(
            self.places()[0]["shift_px"], first["shift_px"]
        )
        assert moved == pytest.approx(OFF_PX, abs=0.01)
        spoiled = volume(self.root)
        # What the page hands in when both are dragged to where they belong.
        take_table(self.package, HEADER + row(first) + row(second))
        said = mosaicflow(self.engine, "align", "apply", self.package, self.root)
        assert "slice 1" in said
        assert self.go(self.package / "overrides.csv") == AGAIN
        again = volume(self.root)
        assert likeness(right, again) > 0.999
        if spoiled.shape == right.shape:
            assert likeness(right, spoiled) < 0.99


def test_embedded(engine):
    def go(table):
        options = [] if table is None else ["--overrides", table]
        engine.embedded("hand", *options)
        record = json.loads((engine.folder / "hand" / "pipeline_info" / "run.json").read_text())
        stages = record["engine"]["stages"]
        # The raw folder is looked at anew by every run, and the page is written anew.
        done = {name for name, one in stages.items() if one.get("done")}
        return (done | {"report"}) - {"inspect_acquisition"}

    ByHand(engine, "hand", go).proof()


@pytest.mark.skipif(
    shutil.which("nextflow") is None,
    reason="nextflow is not on PATH: install it to test the workflow",
)
def test_nextflow(engine):
    def go(table):
        options = [] if table is None else ["-resume", "--overrides", table]
        engine.run("hand_workflow", "-profile", "test", *options)
        ran = engine.tasks("hand_workflow", "COMPLETED")
        return {name.split(" ")[0].lower() for name in ran}

    ByHand(engine, "hand_workflow", go).proof()
