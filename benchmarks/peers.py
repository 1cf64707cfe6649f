"""The same tiles through mosaicflow and its peers: errors and CPU seconds side by side.

    python benchmarks/peers.py --ashlar PYTHON --m2stitch PYTHON --multiview-stitcher PYTHON
    python benchmarks/peers.py "walk 20" /data/brain --ashlar PYTHON

A job is a kind of benchmarks/placement.py, or a folder of 2D TIFF tiles with TileConfiguration.txt
(where the stage has them) and truth.csv (file,row_px,col_px). A peer runs in an environment of its
own, named by its interpreter; one that is not named, or fails, is said to be absent in one line.
To add a job, add a function to JOBS that returns one.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts
import numpy as np
import tifffile
from placement import KINDS

from mosaicflow.acquisition.place.tile_configuration import (
    CONFIGURATION_NAME,
    read_tile_configuration,
)
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTORS = Path(__file__).parent / "peer_adaptors"
SEARCH_PX = 60.0  # the largest error of a stage in the jobs: the peers that ask are told


@dataclass(frozen=True)
class Job:
    """Tiles (2D TIFF), their lattice index, where the stage has them and where they are [px]."""

    tiles: list[str]
    index: list[tuple[int, int]]
    stage_px: list[tuple[float, float]]
    truth_px: list[tuple[float, float]]
    tile_yx: tuple[int, int]
    search_px: float = SEARCH_PX


def simulated_job(kind: str, folder: Path) -> Job:
    """Write the tiles of a simulated kind as mean images over depth."""
    from placement import GRID, simulated

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.tables import read_json

    simulated(kind, 1, folder)
    grid = MosaicGrid(folder / GRID)
    stage = grid.positions_px()
    found = read_json(folder / "sim" / "truth" / "truth.json")["slices"][0]["tiles"]
    truth = {(t["iy"], t["ix"]): (t["row_px"], t["col_px"]) for t in found}
    raw = folder / "tiles"
    raw.mkdir(exist_ok=True)
    names = {tile: f"tile_{tile[0]:02d}_{tile[1]:02d}.tif" for tile in grid.tiles}
    for tile, name in names.items():
        image = grid.read(tile).mean(axis=0)
        tifffile.imwrite(raw / name, np.clip(image * 20, 0, 65535).astype(np.uint16))
    lines = [f"{names[t]}; ; ({stage[t][1]}, {stage[t][0]})" for t in grid.tiles]
    (raw / CONFIGURATION_NAME).write_text("\n".join(["dim = 2", *lines]))
    with (raw / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "row_px", "col_px"])
        rows.writerows([names[t], *truth[t]] for t in grid.tiles)
    return folder_job(raw)


def folder_job(raw: Path) -> Job:
    """Read a folder of tiles with TileConfiguration.txt and truth.csv."""
    listed = read_tile_configuration(raw / CONFIGURATION_NAME)
    stage = {tile.name: tile.corner_px for tile in listed}
    with (raw / "truth.csv").open(newline="") as file:
        truth = {r["file"]: (float(r["row_px"]), float(r["col_px"])) for r in csv.DictReader(file)}
    names = sorted(set(stage) & set(truth))
    places = np.array([stage[name][-2:] for name in names])
    n_y, n_x = tifffile.imread(raw / names[0]).shape[-2:]
    # Half a tile apart is another row, or another column.
    rows, columns = (_ranks(places[:, axis], n / 2) for axis, n in enumerate((n_y, n_x)))
    return Job(
        tiles=[str(raw / name) for name in names],
        index=list(zip(rows, columns, strict=True)),
        stage_px=[(float(y), float(x)) for y, x in places],
        truth_px=[truth[name] for name in names],
        tile_yx=(n_y, n_x),
    )


def _ranks(places: np.ndarray, apart: float) -> list[int]:
    order = np.argsort(places)
    steps = np.concatenate([[0], np.diff(places[order]) > apart])
    ranks = np.empty(len(places), int)
    ranks[order] = np.cumsum(steps)
    return ranks.tolist()


JOBS: dict[str, Callable[[Path], Job]] = {
    kind: partial(simulated_job, kind)
    for kind in ("tissue 5x5", "jitter 20", "walk 20", "jumps 30", "cores", "strip")
}


def ours(job: Job, folder: Path) -> tuple[np.ndarray, float]:
    """Place the tiles with mosaicflow's stages and default settings; CPU seconds as for peers."""
    from mosaicflow.io.tables import read_csv
    from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
    from mosaicflow.stages.estimate_tile_positions import estimate_tile_positions
    from mosaicflow.stages.inspect_acquisition import inspect_acquisition
    from mosaicflow.stages.pool_tile_positions import pool_tile_positions

    raw = Path(job.tiles[0]).parent
    inspect_acquisition(raw=raw, output_dir=folder, axial_resolution_um=1.0, pixel_size_um=1.0)
    (tiles,) = folder.glob("z*_tiles.json")
    name = tiles.name.split("_")[0]
    grid = folder / f"mosaic_grid_3d_{name}.ome.zarr"
    create_mosaic_grid(tiles=tiles, raw=raw, output=grid, max_missing_fraction=1.0)
    start = time.process_time()
    estimate_tile_positions(grid=grid, output_dir=folder)
    pool_tile_positions(
        links=(folder / f"{name}_tile_links.csv",),
        stages=(folder / f"{name}_tile_stage.json",),
        windows=(folder / f"{name}_tile_windows.csv",),
        tiles=(tiles,),
        output_dir=folder,
    )
    seconds = time.process_time() - start
    rows = {row["file"]: row for row in read_csv(folder / f"{name}_tile_positions.csv")}
    found = [rows[Path(tile).name] for tile in job.tiles]
    return np.array([(float(r["row_px"]), float(r["col_px"])) for r in found]), seconds


def peer(name: str, python: Path, job: Job, folder: Path) -> tuple[np.ndarray, float]:
    """Place the tiles with a peer, in its own interpreter."""
    given, told = folder / f"{name}_job.json", folder / f"{name}_result.json"
    given.write_text(json.dumps(asdict(job)))
    adaptor = ADAPTORS / f"{name}.py"
    subprocess.run(
        [python, adaptor, given, told], check=True, capture_output=True, text=True, timeout=1800
    )
    result = json.loads(told.read_text())
    return np.array(result["positions_px"]), float(result["seconds"])


def report(job_name: str, who: str, job: Job, found: tuple[np.ndarray, float]) -> None:
    positions, seconds = found
    off = positions - np.array(job.truth_px)
    size = np.hypot(*(off - np.median(off, axis=0)).T)
    numbers = (np.median(size), np.percentile(size, 95), size.max())
    errors = " ".join(f"{value:9.3f}" for value in numbers)
    print(f"{job_name:<14} {who:<20} {errors} {seconds:7.1f}", flush=True)


def run_job(name: str, job: Job, peers: dict[str, Path | None], folder: Path) -> None:
    report(name, "mosaicflow", job, ours(job, folder))
    for who, python in peers.items():
        if python is None:
            print(f"{name:<14} {who:<20} absent: no interpreter was named")
            continue
        try:
            report(name, who, job, peer(who, python, job, folder))
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
            print(f"{name:<14} {who:<20} failed: {last}", flush=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"{name:<14} {who:<20} absent: {error}", flush=True)


def main(
    jobs: list[str] | None = None,
    /,
    *,
    ashlar: Path | None = None,
    m2stitch: Path | None = None,
    multiview_stitcher: Path | None = None,
) -> None:
    """Print errors [px] and CPU seconds of every job, ours and each peer's.

    Parameters
    ----------
    jobs : list of str
        Names of JOBS, kinds of benchmarks/placement.py or folders; all of JOBS when empty.
    ashlar, m2stitch, multiview_stitcher : Path
        Python interpreters of environments in which these are installed.
    """
    limit_threads(1)
    peers = {"ashlar": ashlar, "m2stitch": m2stitch, "multiview_stitcher": multiview_stitcher}
    print("job            who                     median      95 %     worst   CPU s")
    for name in jobs or list(JOBS):
        scratch = Path(tempfile.mkdtemp(prefix="peers-"))
        try:
            if name in JOBS or name in KINDS:
                job = JOBS.get(name, partial(simulated_job, name))(scratch)
            else:
                job = folder_job(Path(name))
            (scratch / "run").mkdir()
            run_job(Path(name).name, job, peers, scratch / "run")
        finally:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    cyclopts.run(main)
    sys.exit(0)
