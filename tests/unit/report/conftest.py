"""A run's small files, written by hand, so that every number on the page is known."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mosaicflow.io.previews import write_preview
from mosaicflow.io.report import StageReport
from mosaicflow.io.tables import write_csv, write_json
from mosaicflow.measures import Measure
from mosaicflow.report.records import RunFiles
from mosaicflow.stages.report import report

if TYPE_CHECKING:
    from pathlib import Path

# Between two slices that show no common tissue, with ten planes of nothing.
GAP = {"fixed_id": 19, "moving_id": 21, "first_plane": 380, "stop_plane": 390, "sigma_px": 3.0}
DEFAULTS = {"crop_depth_um": 600.0, "fail_on": "error"}


def _declared(name, warning=None, error=None):
    good = "high" if None not in (warning, error) and warning > error else "low"
    return Measure(name, f"meaning of {name}", warning=warning, error=error, good=good)


@dataclass
class Run:
    """A folder of files as stages write them, and the page made of it."""

    folder: Path

    def metrics(self, stem, stage, *, warnings=(), apart="", of="", **values):
        """Write a metrics file; a value may be (value, warning, error), a warning has a code."""
        numbers = {n: v if isinstance(v, tuple) else (v,) for n, v in values.items()}
        told = StageReport(stage, {}, {}, [_declared(n, *v[1:]) for n, v in numbers.items()])
        if apart:
            told.set_aside(apart)
        for name, (number, *_) in numbers.items():
            told.metric(name, number, of=of)
        for sentence, code in warnings:
            told.warn(sentence, code)
        told.write(self.folder / f"{stem}.ome.zarr")

    def slice(self, z, *, seam=1.05, residual=0.05):
        """Everything about one sound slice."""
        write_json(self.folder / f"z{z:02d}_tiles.json", {})
        counts = {"tiles_found": 4, "tiles_placed": 4, "tiles_unusable": 0, "tiles_unplaced": 0}
        self.metrics(f"mosaic_grid_3d_z{z:02d}", "create_mosaic_grid", **counts)
        placed = {"links_used": 4, "links_possible": 4, "tiles_without_link": 0, "overrides": 0}
        stem = f"z{z:02d}_tile_positions"
        self.metrics(stem, "pool_tile_positions", rms_residual=residual, **placed)
        self.metrics(f"slice_z{z:02d}_stitch_3d", "stitch_3d", seam_ratio=(seam, 1.3, 2.0))
        shares = {"below_display": 0.007, "above_display": 0.001}
        self.metrics(f"slice_z{z:02d}_normalize", "normalize", **shares)
        image = np.random.default_rng(z).random((60, 80)) + 0.1
        write_preview(self.folder / f"slice_z{z:02d}_normalize.png", image, 10.0)

    def tiles(self, z, n=10):
        """Where the tiles of a slice lie, and what that leaves of their links."""
        lattice = list(itertools.product(range(n), range(n)))
        label = f"z{z:02d}"
        write_csv(
            self.folder / f"{label}_tile_positions.csv",
            ["iy", "ix", "row_px", "col_px"],
            [{"iy": y, "ix": x, "row_px": 100.5 * y + x, "col_px": 100.0 * x} for y, x in lattice],
        )
        stage = [[y, x, 100.0 * y, 100.0 * x] for y, x in lattice]
        write_json(self.folder / f"{label}_tile_stage.json", {"stage_px": stage})
        columns = ["iy_a", "ix_a", "iy_b", "ix_b", "residual_y_px", "residual_x_px", "used"]
        rows = [(y, x, y, x + 1, 0.25, -0.5, "true") for y, x in lattice if x + 1 < n]
        write_csv(
            self.folder / f"{label}_link_residuals.csv",
            columns,
            [dict(zip(columns, row, strict=True)) for row in rows],
        )

    def align(self, ids, *, left_out=(), gaps=(), source="measured"):
        """Where the slices went."""
        slices = [self._placed(z, source if z != ids[0] else None) for z in ids]
        write_json(
            self.folder / "alignment.json",
            {
                "slices": slices, "left_out": list(left_out), "gaps": list(gaps),
                "pitch_um": [10.0, 10.0, 10.0], "canvas_yx": [60, 80], "n_planes": 20 * len(ids),
            },
        )  # fmt: skip
        self.metrics("alignment", "solve_alignment", links_used=len(ids) - 1, sections=len(ids) - 1)
        self.metrics("depth_profile", "estimate_depth_profile", profile_source="measured")

    @staticmethod
    def _placed(z, source):
        evidence = {
            "moved_from_stage_px": [3.0, 4.0], "held_out_correlation_stage": 0.3,
            "held_out_correlation_graph": 0.6, "loop_error_graph_px": None,
        }  # fmt: skip
        thickness = 200.0 if source else None
        return {
            "slice_id": z, "angle_deg": 0.25, "confidence": 0.9, "thickness_um": thickness,
            "thickness_sigma_um": 0.8 if source else None, "thickness_source": source,
            "evidence": evidence,
            "center_yx": [30.0, 40.0], "translation_yx": [1.0, 2.0],
        }  # fmt: skip

    def pair(self, fixed, moving, correlation=0.95, apart=""):
        stem = f"z{fixed:02d}_z{moving:02d}_transform"
        told = {"correlation": (correlation, 0.7, 0.5)}
        self.metrics(stem, "register_pairwise", apart=apart, **told)

    def files(self):
        return RunFiles(tuple(path for path in self.folder.iterdir() if path.is_file()))

    def make(self, fail_on="error", **parameters):
        """Run the stage; the record and the page."""
        facts = self.folder.parent / "run_facts.json"
        engine = {
            "name": "mosaicflow run", "output": "out", "input": "raw", "threads": 2,
            "seconds": 12.5,
            "stages": {
                "stack": {"seconds": 3.25, "done": 1, "peak_bytes": 300 * 2**20},
                "normalize": {"seconds": 0.5, "kept": 5},
                "fix_focal_curvature": {"seconds": 0.0, "absent": 5},
            },
        }  # fmt: skip
        write_json(
            facts,
            {
                "volume": "3d_volume.ome.zarr", "parameters": {**DEFAULTS, **parameters},
                "defaults": DEFAULTS, "outputs": ["b", "a"], "engine": engine,
            },
        )  # fmt: skip
        output = self.folder.parent / "out"
        output.mkdir(exist_ok=True)
        report(files=tuple(self.files().files), facts=facts, output_dir=output, fail_on=fail_on)
        record = json.loads((output / "run.json").read_text())
        return record, (output / "report.html").read_text()


def fill(run: Run, ids) -> Run:
    for z in ids:
        run.slice(z)
    for first, second in itertools.pairwise(ids):
        run.pair(first, second)
    return run


@pytest.fixture
def empty_run(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return Run(folder)


@pytest.fixture
def sound_run(empty_run):
    """Five slices on which everything went well."""
    fill(empty_run, range(5)).align(list(range(5)))
    empty_run.pair(0, 2, 0.3, apart="the slices share no tissue: planes 16 apart were compared")
    return empty_run


@pytest.fixture
def lossy_run(empty_run):
    """Five slices: one failed, one excluded by a stage, one by a person."""
    fill(empty_run, (0, 1, 3)).align(
        [0],
        left_out=[
            {"slice_id": 1, "status": "excluded", "reason": "matches_no_neighbour"},
            {"slice_id": 3, "status": "excluded", "reason": "torn"},
            {"slice_id": 4, "status": "missing", "reason": "no tiles found"},
        ],
    )
    write_json(empty_run.folder / "z02_tiles.json", {})
    write_json(
        empty_run.folder / "z02_failure.json",
        {"slice_id": 2, "stage": "stitch_3d", "reason": "no tile", "remedy": "copy it again"},
    )
    rows = [
        {"slice_id": f"{z:02d}", "use": z != 3, "auto_excluded": z == 1, "exclude_reason": ""}
        for z in range(4)
    ]
    columns = ["slice_id", "use", "auto_excluded", "exclude_reason"]
    write_csv(empty_run.folder / "slice_config_final.csv", columns, rows)
    return empty_run


@pytest.fixture
def long_run(empty_run):
    """Fifty slices: one failed, one doubtful, and pictures of noise, which nothing compresses."""
    ids = [z for z in range(50) if z != 20]
    fill(empty_run, ids).align(ids, gaps=[GAP])
    (empty_run.folder / "slice_z07_stitch_3d.metrics.json").unlink()
    empty_run.slice(7, seam=2.4, residual=0.4)
    write_json(empty_run.folder / "z20_tiles.json", {})
    told = {"slice_id": 20, "stage": "stitch_3d", "reason": "no tile", "remedy": "copy it again"}
    write_json(empty_run.folder / "z20_failure.json", told)
    rng = np.random.default_rng(0)
    for z in ids:
        write_preview(
            empty_run.folder / f"slice_z{z:02d}_normalize.png", rng.random((320, 400)), 5.0
        )
    write_preview(empty_run.folder / "3d_volume.png", rng.random((1000, 1300)), 5.0)
    write_preview(empty_run.folder / "layout.png", rng.random((1000, 1000)), 5.0)
    empty_run.tiles(7)
    return empty_run
