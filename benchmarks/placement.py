"""How well tiles are placed on stages that err in every way the simulator knows.

    python benchmarks/placement.py                     every kind, one seed
    python benchmarks/placement.py walk --seeds 101-105

Each kind is simulated, measured and placed with default settings; one line per seed, then the
median and the worst of each kind.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts
import numpy as np

from mosaicflow.simulation import preset, simulate
from mosaicflow.simulation.evaluation import evaluate
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from mosaicflow.simulation.placement_error import SlicePlacementScore

# One slice of tiles 160 px wide, with speckle, shading and no tilt; a kind changes the rest.
BASE: dict[str, object] = {
    "n_slices": 1,
    "grid": (4, 4),
    "tile_shape": (24, 160, 160),
    "pitch_um": (10.0, 10.0, 10.0),
    "water_um": 20.0,
    "n_extra": 0,
    "files_per_tile": 1,
}
SMALL = {**BASE, "tile_shape": (24, 120, 120)}
WIDE = {**BASE, "tile_shape": (16, 240, 240), "overlap_fraction": 0.25}
GRID = "mosaic_grid_3d_z00.ome.zarr"
KINDS: dict[str, dict[str, object]] = {
    "tissue 5x5": {**BASE, "grid": (5, 5)},
    "tissue 10x10": {**SMALL, "grid": (10, 10)},
    "jitter 20": {**BASE, "jitter_px": 20.0, "overlap_fraction": 0.3},
    "walk 20": {**BASE, "grid": (5, 5), "jitter_px": 20.0, "stage_error": "walk"},
    "walk 40": {**WIDE, "jitter_px": 40.0, "stage_error": "walk"},
    "jumps 30": {**BASE, "grid": (5, 5), "jitter_px": 30.0, "stage_error": "jumps"},
    "jumps 60": {**WIDE, "jitter_px": 60.0, "stage_error": "jumps", "overlap_fraction": 0.4},
    "wrong step": {**BASE, "overlap_fraction": 0.3, "lattice_scale": 0.5714},
    "periodic": {**BASE, "tissue": "periodic", "jitter_px": 8.0},
    "overlap 3 %": {**BASE, "tile_shape": (24, 280, 280), "overlap_fraction": 0.03,
                    "jitter_px": 1.5, "grid": (3, 4)},
    "overlap 40 %": {**BASE, "overlap_fraction": 0.4, "jitter_px": 5.0},
    "strip": {**BASE, "grid": (1, 9), "jitter_px": 10.0},
    "strip walk": {**BASE, "grid": (1, 9), "jitter_px": 15.0, "stage_error": "walk"},
    "cores": {**BASE, "tissue": "cores", "grid": (5, 5), "jitter_px": 5.0},
    "cores pattern": {
        **BASE, "tissue": "cores", "jitter_px": 5.0, "rough": 0.05, "rough_scale": 0.015,
        "dust": 20, "grid": (3, 5),
    },
    "scan": {**BASE, "grid": (5, 5), "scan_distortion_px": 2.0},
    "lens": {**BASE, "grid": (5, 5), "lens_distortion_px": 2.0, "jitter_px": 5.0},
}  # fmt: skip


def simulated(kind: str, seed: int, folder: Path) -> None:
    """Make sim/ and the mosaic grid of one kind in a folder, unless they are there."""
    from mosaicflow.io.zarr import is_finished
    from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
    from mosaicflow.stages.inspect_acquisition import inspect_acquisition

    grid = folder / GRID
    if grid.exists() and is_finished(grid):
        return
    made = simulate(folder / "sim", settings=preset("demo", **{**KINDS[kind], "seed": seed}))
    inspect_acquisition(raw=made.raw, output_dir=folder, axial_resolution_um=10.0)
    create_mosaic_grid(tiles=folder / "z00_tiles.json", raw=made.raw, output=grid)


def place(folder: Path) -> tuple[SlicePlacementScore, float]:
    """Measure and place the slice of a folder; also the CPU seconds of that."""
    from mosaicflow.stages.estimate_tile_positions import estimate_tile_positions
    from mosaicflow.stages.pool_tile_positions import pool_tile_positions

    run = folder / "run"
    run.mkdir(exist_ok=True)
    start = time.process_time()
    estimate_tile_positions(grid=folder / GRID, output_dir=run)
    pool_tile_positions(
        links=(run / "z00_tile_links.csv",),
        stages=(run / "z00_tile_stage.json",),
        windows=(run / "z00_tile_windows.csv",),
        tiles=(folder / "z00_tiles.json",),
        output_dir=run,
    )
    seconds = time.process_time() - start
    return evaluate(run, folder / "sim" / "truth").placement[0], seconds


def line(kind: str, label: str, values: tuple[float, ...]) -> str:
    share, p95, worst, wrong, islands, links, tiles, seconds = values
    return (
        f"{kind:<14} {label:>6}  {share:5.2f} {p95:7.3f} {worst:8.3f} {wrong:5.0f} {islands:7.0f}"
        f" {links:6.2f} {tiles:6.2f} {seconds:6.1f}"
    )


def main(
    kinds: list[str] | None = None, /, *, seeds: str = "1-1", folder: Path | None = None
) -> None:
    """Print one line per kind and seed.

    Parameters
    ----------
    kinds : list of str
        Names; all when empty.
    seeds : str
        First and last seed.
    folder : Path
        Keeps what is simulated, for another run; nothing is kept without.
    """
    limit_threads(1)
    first, last = (int(part) for part in seeds.split("-"))
    print("kind             seed  share     p95    worst wrong islands  links  tiles  CPU s")
    for kind in kinds or list(KINDS):
        rows = []
        for seed in range(first, last + 1):
            with tempfile.TemporaryDirectory() as scratch:
                here = (folder or Path(scratch)) / f"{kind.replace(' ', '-')}-{seed}"
                here.mkdir(parents=True, exist_ok=True)
                simulated(kind, seed, here)
                one, seconds = place(here)
            rows.append((
                one.share_by_evidence, one.evidence_p95_px, one.evidence_worst_px,
                float(len(one.false_tiles)), float(one.n_islands), one.link_calibration,
                one.tile_calibration, seconds,
            ))  # fmt: skip
            print(line(kind, str(seed), rows[-1]), flush=True)
        if len(rows) > 1:
            table = np.array(rows)
            print(line(kind, "median", tuple(np.nanmedian(table, axis=0))))
            worst = np.nanmax(table, axis=0)
            worst[0] = table[:, 0].min()
            print(line(kind, "worst", tuple(worst)))


if __name__ == "__main__":
    cyclopts.run(main)
    sys.exit(0)
