"""How well the flat field is found under every kind of light that the simulator knows.

    python benchmarks/light.py                       every kind, one seed
    python benchmarks/light.py dust --seeds 101-105

Each kind is simulated and its flat field estimated with default settings; one line per seed, then
the median and the worst of each kind. `ratio` is the reported error over the true one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cyclopts
import numpy as np
from placement import BASE as SLICE

from mosaicflow.simulation import preset, simulate
from mosaicflow.simulation.evaluation import evaluate
from mosaicflow.threads import limit_threads

# One slice of 25 tiles; a kind changes the rest.
BASE = {**SLICE, "grid": (5, 5)}
DEEP = {**BASE, "tile_shape": (60, 160, 160)}
KINDS: dict[str, dict[str, object]] = {
    "smooth": BASE,
    "weak": {**BASE, "shading": 0.06},
    "strong": {**BASE, "shading": 0.6},
    "rough": {**BASE, "rough": 0.05},
    "rougher": {**BASE, "rough": 0.04, "rough_scale": 0.08},
    "deep": {**DEEP, "shading_depth": 0.06},
    "drift": {**BASE, "shading_drift": 0.05, "n_slices": 3, "grid": (3, 4)},
    "dark": {**BASE, "dark_offset": 0.05},
    "bleach": {**BASE, "bleaching": 0.3, "lamp_drift": 0.05},
    "dust": {**BASE, "dust": 20},
    "curved": {**BASE, "field_curvature_um": 40.0},
    "few tiles": {**BASE, "grid": (3, 3)},
}


def estimated(kind: str, seed: int, folder: Path) -> tuple[float, float, float, float]:
    """Simulate one kind; true error, that of no correction, reported one [%] and CPU seconds."""
    import json

    from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
    from mosaicflow.stages.estimate_illumination import estimate_illumination
    from mosaicflow.stages.inspect_acquisition import inspect_acquisition

    made = simulate(folder / "sim", settings=preset("demo", **{**KINDS[kind], "seed": seed}))
    inspect_acquisition(raw=made.raw, output_dir=folder, axial_resolution_um=10.0)
    run = folder / "run"
    run.mkdir()
    grids = []
    for tiles in sorted(folder.glob("z*_tiles.json")):
        grids.append(folder / f"mosaic_grid_3d_{tiles.name.split('_')[0]}.ome.zarr")
        create_mosaic_grid(tiles=tiles, raw=made.raw, output=grids[-1])
    start = time.process_time()
    estimate_illumination(grids=tuple(grids), output=run / "illumination.npz")
    seconds = time.process_time() - start
    found = evaluate(run, folder / "sim" / "truth").flatfield
    metrics = json.loads((run / "illumination.metrics.json").read_text())["metrics"]
    reported = float(metrics["flat_field_error"]["value"])
    return found.rms_percent, found.rms_percent_uncorrected, reported, seconds


def line(kind: str, label: str, values: tuple[float, ...]) -> str:
    true, none, reported, ratio, seconds = values
    errors = f"{true:6.2f} {none:6.2f} {reported:10.2f}"
    return f"{kind:<10} {label:>6} {errors} {ratio:6.2f} {seconds:6.1f}"


def main(kinds: list[str] | None = None, /, *, seeds: str = "1-1") -> None:
    """Print one line per kind and seed.

    Parameters
    ----------
    kinds : list of str
        Names; all when empty.
    seeds : str
        First and last seed.
    """
    limit_threads(1)
    first, last = (int(part) for part in seeds.split("-"))
    print("kind         seed true % none % reported %  ratio  CPU s")
    for kind in kinds or list(KINDS):
        rows = []
        for seed in range(first, last + 1):
            with tempfile.TemporaryDirectory() as scratch:
                true, none, reported, seconds = estimated(kind, seed, Path(scratch))
            rows.append((true, none, reported, reported / true, seconds))
            print(line(kind, str(seed), rows[-1]), flush=True)
        if len(rows) > 1:
            print(line(kind, "median", tuple(np.median(rows, axis=0))))
            print(line(kind, "worst", tuple(np.max(rows, axis=0))))


if __name__ == "__main__":
    cyclopts.run(main)
    sys.exit(0)
