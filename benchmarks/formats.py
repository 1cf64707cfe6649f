"""How long the format readers take on large files, against the limits we set ourselves.

Run `python benchmarks/formats.py [--json FILE]`; the exit code is 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow import formats

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 1_000_000
TRIANGLES = 1_000_000
SIDE = 512
RUNS = 3


def label_volume(side: int) -> np.ndarray:
    """Return nested shells and a few hundred small bodies: one voxel in seven is labelled."""
    grid = np.linspace(-1, 1, side, dtype=np.float32)
    labels = np.zeros((side, side, side), dtype=np.uint16)
    # Plane by plane, or making the volume would take more memory than reading it.
    for plane, x in zip(labels, grid, strict=True):
        radius = np.sqrt(x**2 + grid[:, None] ** 2 + grid[None] ** 2)
        for shell in range(1, 9):
            plane[np.abs(radius - 0.1 * shell) < 0.015] = shell
    rng = np.random.default_rng(5)
    width = side // 32
    for label in range(9, 300):
        x, y, z = rng.integers(0, side - width, 3)
        labels[x : x + width, y : y + width, z : z + width] = label
    return labels


def particles(rows: int) -> formats.GeometryData:
    """Return oriented points with three properties, as in a classified particle set."""
    rng = np.random.default_rng(6)
    quaternions = rng.normal(size=(rows, 4)).astype(np.float32)
    properties = {
        "_rlnTomoName": np.array([f"TS_{number:02d}.mrc" for number in range(50)])[
            rng.integers(0, 50, rows)
        ],
        "_rlnMaxValueProbDistribution": rng.random(rows, dtype=np.float32),
        "_rlnGroupNumber": rng.integers(1, 50, rows),
    }
    return formats.GeometryData(
        vertices=rng.uniform(0, 4000, (rows, 3)).astype(np.float32),
        quaternions=quaternions,
        vertex_properties=formats.VertexPropertyContainer(properties),
        sampling=(3.1, 3.1, 3.1),
    )


def surface(triangles: int) -> formats.GeometryData:
    """Return a wavy sheet of triangles."""
    side = int(np.sqrt(triangles / 2)) + 1
    x, y = np.meshgrid(np.arange(side + 1), np.arange(side + 1), indexing="ij")
    vertices = np.stack([x, y, np.sin(x / 9) * 5], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).reshape(-1)
    lower = np.stack([corner, corner + side + 1, corner + 1], axis=1)
    upper = np.stack([corner + side + 1, corner + side + 2, corner + 1], axis=1)
    faces = np.concatenate([lower, upper])[:triangles]
    return formats.GeometryData(vertices=vertices, faces=faces)


def best_time(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of the fastest run: the machine's other work only ever adds."""
    times = []
    for _ in range(RUNS):
        start, started = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - start, time.process_time() - started))
    return min(times)


def measure(folder: Path) -> list[dict[str, object]]:
    """Return one row for each measurement: what, seconds, limit."""
    rows: list[dict[str, object]] = []

    def note(what: str, limit: float, work: Callable[[], object]) -> None:
        seconds, busy = best_time(work)
        rows.append(
            {"what": what, "seconds": round(seconds, 2), "cpu": round(busy, 2), "limit": limit}
        )
        print(f"{what:36s} {seconds:6.2f} s, {busy:.2f} s of processor  (limit {limit} s)")
        sys.stdout.flush()

    volume = folder / "labels.mrc"
    formats.write_density(label_volume(SIDE), volume)
    note(f"{SIDE}^3 labels, MRC -> point clouds", 3, lambda: formats.open_file(volume))
    star, record = folder / "particles.star", particles(ROWS)
    note("1 M rows, write STAR", 6, lambda: formats.write_star([record], star))
    note("1 M rows, read STAR", 4, lambda: formats.open_file(star))
    mesh = folder / "mesh.stl"
    formats.write_meshes([surface(TRIANGLES)], mesh)
    note("1 M triangles, read STL", 1, lambda: formats.open_file(mesh))
    return rows


def main() -> int:
    """Measure, print, and tell by the exit code whether all limits were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(any(row["seconds"] > row["limit"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
