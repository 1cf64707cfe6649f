"""Speed and memory of mosaicflow's stores beside bare Zarr arrays.

Writes and reads one array of speckle with (a) `mosaicflow.io.zarr`, (b) a bare zarr array with
the Rust codecs of zarrs, (c) a bare zarr array with zarr-python's own codecs, in turns, so that
whatever else the machine does meets all of them; then times the analysis pyramid against plain
copies of its volume, and measures its peak memory at two sizes. On a busy machine the processor
time, shown in brackets, says more than the time on the clock.

    python benchmarks/io_zarr.py --gigabytes 1 --repeats 3 --folder /tmp
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from mosaicflow.io.threads import limit_threads
from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    open_level,
    read_omezarr,
    write_regions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUST = "zarrs.ZarrsCodecPipeline"
PYTHON = "zarr.core.codec_pipeline.BatchedCodecPipeline"
CHUNKS = (64, 128, 128)
SHARDS = (64, 512, 512)


def main() -> None:
    """Run everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--peak", type=float, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--flavour", default="0.4", help=argparse.SUPPRESS)
    options = parser.parse_args()
    limit_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.peak is not None:
            print(build_pyramid(folder, options.peak, options.flavour))
            return
        print(f"# {os.cpu_count()} cores, {options.threads} threads, zarr {zarr.__version__}")
        arrays(folder, options.gigabytes, options.repeats)
        pyramid(folder, 2 * options.gigabytes, options.repeats)
        for flavour in ("0.4", "0.5"):
            for size in (options.gigabytes / 2, 2 * options.gigabytes):
                print(
                    f"peak memory, analysis pyramid of {size:g} GB, {flavour}:", peak(size, flavour)
                )


def speckle(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return fully developed speckle: the magnitude of a complex normal field."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal(shape, dtype=np.float32)
    return np.hypot(real, rng.standard_normal(shape, dtype=np.float32))


def arrays(folder: Path, gigabytes: float, repeats: int) -> None:
    """Time whole writes and whole reads of chunked and sharded arrays."""
    planes = max(64, round(gigabytes * 1e9 / 4 / 1024**2 / 64) * 64)
    data = speckle((planes, 1024, 1024))
    print(
        f"\n{data.nbytes / 1e9:.2f} GB of speckle, float32, blosc-lz4, best of {repeats}, seconds"
    )
    print(f"{'':50}{'write':>8}{'read':>16}")
    for kind, shards in (("chunks (Zarr v2)", None), ("shards (Zarr v3)", SHARDS)):
        cases: dict[str, tuple[Callable[[], Any] | None, Callable[[], Any]]] = {
            "mosaicflow": (lambda s=shards: ours(folder, data, s), lambda: ours_back(folder)),
            "mosaicflow, read through dask": (None, lambda: dask_back(folder)),
            "zarr with zarrs": (
                lambda s=shards: bare(folder / "rust", data, s, RUST),
                lambda: bare_back(folder / "rust", RUST),
            ),
            "zarr alone": (
                lambda s=shards: bare(folder / "python", data, s, PYTHON),
                lambda: bare_back(folder / "python", PYTHON),
            ),
        }
        best = {name: [Cost(), Cost()] for name in cases}
        for turn in range(repeats):
            for step in (0, 1):
                # Whoever comes first pays for what the writers before left to the kernel.
                names = list(cases)[turn % len(cases) :] + list(cases)[: turn % len(cases)]
                for name in names:
                    function = cases[name][step]
                    if function is not None:
                        best[name][step] = best[name][step].least(cost(function))
        for name, (write, read) in best.items():
            print(f"{kind + ': ' + name:<50}{write}{read}", flush=True)
    shutil.rmtree(folder / "rust")
    shutil.rmtree(folder / "python")


def ours(folder: Path, data: NDArray[np.float32], shards: tuple[int, ...] | None) -> None:
    """Write with mosaicflow."""
    flavour = "0.5" if shards else "0.4"
    writer = OmeZarrWriter(folder / "a.ome.zarr", data.shape, CHUNKS, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01)


def ours_back(folder: Path) -> NDArray[Any]:
    """Read with mosaicflow."""
    return open_level(folder / "a.ome.zarr")[...]


def dask_back(folder: Path) -> NDArray[Any]:
    """Read with mosaicflow, as a dask array."""
    return read_omezarr(folder / "a.ome.zarr")[0].compute()


def bare(
    path: Path, data: NDArray[np.float32], shards: tuple[int, ...] | None, pipeline: str
) -> None:
    """Write a bare zarr array in the same layout."""
    import numcodecs

    v2 = shards is None
    codec = (
        numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1)
        if v2
        else zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)
    )
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        array = zarr.create_array(
            path, shape=data.shape, chunks=CHUNKS, shards=shards, dtype="f4", compressors=codec,
            fill_value=0, zarr_format=2 if v2 else 3, overwrite=True,
            chunk_key_encoding={"name": "v2" if v2 else "default", "separator": "/"},
        )  # fmt: skip
        array[:] = data


def bare_back(path: Path, pipeline: str) -> NDArray[Any]:
    """Read a bare zarr array."""
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        return np.asarray(zarr.open_array(path, mode="r")[:])


def pyramid(folder: Path, gigabytes: float, repeats: int) -> None:
    """Time the four-level analysis pyramid against plain copies of its volume."""
    print(f"\n{gigabytes:g} GB volume, best of {repeats}, seconds")
    best: dict[str, Cost] = {}
    for base in (0.01, 0.0015):
        for _ in range(repeats):
            build = f"pyramid from {1000 * base:g} um planes"
            made = build_pyramid(folder, gigabytes, base=base)
            best[build] = best.get(build, Cost()).least(made)
            copied = cost(lambda: copy_base(folder))
            best["one plain copy"] = best.get("one plain copy", Cost()).least(copied)
    best["three plain copies"] = best["one plain copy"].times(3)
    for name, value in best.items():
        print(f"{name:<50}{value}", flush=True)


def build_pyramid(
    folder: Path, gigabytes: float, flavour: str = "0.4", *, base: float = 0.01
) -> Cost:
    """Write a volume region by region, keep a copy of it, and return the cost of `finalize`."""
    planes = max(64, round(gigabytes * 1e9 / 4 / 1280**2))
    shape = (planes, 1280, 1280)
    writer = AnalysisOmeZarrWriter(folder / "v.ome.zarr", shape, ngff_version=flavour)
    plain = OmeZarrWriter(folder / "base.ome.zarr", shape)
    tile = speckle((64, 256, 256))
    for target in (writer, plain):
        for region in write_regions(target):
            size = tuple(part.stop - part.start for part in region)
            times = tuple(-(-n // t) for n, t in zip(size, tile.shape, strict=True))
            target[region] = np.tile(tile, times)[tuple(slice(0, n) for n in size)]
    plain.finalize(0.01)
    return cost(lambda: writer.finalize((base, 0.01, 0.01)))


def copy_base(folder: Path) -> None:
    """Copy the volume slab by slab between bare zarr arrays with the Rust codecs."""
    import numcodecs

    with zarr.config.set({"codec_pipeline.path": RUST}):
        source = zarr.open_array(folder / "base.ome.zarr" / "0", mode="r")
        target = zarr.create_array(
            folder / "copy", shape=source.shape, chunks=source.chunks, dtype="f4", zarr_format=2,
            compressors=numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1), fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"}, overwrite=True,
        )  # fmt: skip
        depth = source.chunks[0]
        for start in range(0, source.shape[0], depth):
            target[start : start + depth] = source[start : start + depth]


def peak(gigabytes: float, flavour: str) -> str:
    """Return the largest memory of a process that makes a pyramid."""
    command = [sys.executable, __file__, "--peak", str(gigabytes), "--flavour", flavour]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        largest = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except FileNotFoundError:
                break
            lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
            largest = max([largest, *(int(line.split()[1]) for line in lines)])
            time.sleep(0.05)
        taken = process.stdout.read().strip() if process.stdout else "?"
    return f"{largest / 1024:.0f} MB (finalize {taken})"


@dataclass(frozen=True, order=True)
class Cost:
    """Seconds on the clock, and of the processors."""

    wall: float = math.inf
    cpu: float = math.inf

    def least(self, other: Cost) -> Cost:
        """Return the best of both figures."""
        return Cost(min(self.wall, other.wall), min(self.cpu, other.cpu))

    def times(self, factor: int) -> Cost:
        """Return a multiple."""
        return Cost(self.wall * factor, self.cpu * factor)

    def __str__(self) -> str:
        return f"{self.wall:8.2f} ({self.cpu:5.2f})" if math.isfinite(self.wall) else " " * 16


def cost(function: Callable[[], Any]) -> Cost:
    """Return what a call costs."""
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return Cost(time.perf_counter() - start, time.process_time() - cpu)


if __name__ == "__main__":
    main()
