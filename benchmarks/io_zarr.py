"""Speed and memory of mosaicflow's stores beside bare Zarr arrays, against the limits we set.

Writes and reads one array of speckle with (a) `mosaicflow.io.zarr`, (b) a bare zarr array with
the Rust codecs of zarrs, (c) a bare zarr array with zarr-python's own codecs. They take turns, each
turn begins with another one and every second turn goes backwards, every write goes to a new folder,
and the disk is given time to finish before each measurement: whatever the machine does meets all of
them. Then the analysis pyramid is
timed against plain copies of its volume, and its peak memory measured at two sizes.

    python benchmarks/io_zarr.py --gigabytes 1 --repeats 5 --folder /tmp

The exit code is 1 if a limit is missed on the clock. On a busy machine the processor time, shown in
brackets, says more.
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

from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    open_level,
    read_omezarr,
    write_regions,
)
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUST = "zarrs.ZarrsCodecPipeline"
PYTHON = "zarr.core.codec_pipeline.BatchedCodecPipeline"
CHUNKS = (64, 128, 128)
SHARDS = (64, 512, 512)
PEAK_MB = 600.0
# Two measurements of the same thing differ by this much.
NOISE = 1.05

Cases = dict[str, tuple["Callable[[], Any] | None", "Callable[[], Any]"]]


def main() -> int:
    """Run everything, print one table, and tell by the exit code whether all limits were kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
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
            return 0
        print(f"# {os.cpu_count()} cores, {options.threads} threads, zarr {zarr.__version__}")
        limits = arrays(folder, options.gigabytes, options.repeats)
        limits += pyramid(folder, 2 * options.gigabytes, options.repeats)
        limits += peaks(options.gigabytes)
    print("\nlimits")
    for limit in limits:
        print(limit)
    return 0 if all(limit.kept for limit in limits) else 1


def speckle(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return fully developed speckle: the magnitude of a complex normal field."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal(shape, dtype=np.float32)
    return np.hypot(real, rng.standard_normal(shape, dtype=np.float32))


def arrays(folder: Path, gigabytes: float, repeats: int) -> list[Limit]:
    """Time whole writes and whole reads of chunked and sharded arrays."""
    planes = max(64, round(gigabytes * 1e9 / 4 / 1024**2 / 64) * 64)
    data = speckle((planes, 1024, 1024))
    print(
        f"\n{data.nbytes / 1e9:.2f} GB of speckle, float32, blosc-lz4, best of {repeats}, seconds"
        f"\n{'':46}{'write':>8}{'read':>16}"
    )
    limits = []
    for kind, shards in (("chunks (Zarr v2)", None), ("shards (Zarr v3)", SHARDS)):
        best = take_turns(cases_of(folder, data, shards), folder, repeats)
        for name, (write, read) in best.items():
            print(f"{kind + ': ' + name:<46}{write}{read}", flush=True)
        bare_write, bare_read = best["zarr with zarrs"]
        limits += [
            Limit(f"{kind}: write", best["mosaicflow"][0], bare_write),
            Limit(f"{kind}: read", best["mosaicflow"][1], bare_read),
            Limit(
                f"{kind}: read_omezarr(...)[0].compute()", best["the same, lazily"][1], bare_read
            ),
        ]
    return limits


def cases_of(folder: Path, data: NDArray[np.float32], shards: tuple[int, ...] | None) -> Cases:
    """Return how to write and how to read, for each competitor."""
    return {
        "mosaicflow": (lambda: ours(folder, data, shards), lambda: ours_back(folder)),
        "the same, lazily": (None, lambda: lazy_back(folder)),
        "zarr with zarrs": (
            lambda: bare(folder / "rust", data, shards, RUST),
            lambda: bare_back(folder / "rust", RUST),
        ),
        "zarr alone": (
            lambda: bare(folder / "python", data, shards, PYTHON),
            lambda: bare_back(folder / "python", PYTHON),
        ),
    }


def take_turns(cases: Cases, folder: Path, repeats: int) -> dict[str, list[Cost]]:
    """Return the least cost of writing and of reading in each case."""
    best = {name: [Cost(), Cost()] for name in cases}
    for turn in range(repeats + 1):
        for left in folder.iterdir():
            shutil.rmtree(left)
        names = list(cases)[turn % len(cases) :] + list(cases)[: turn % len(cases)]
        if turn % 2:  # so that nobody always comes after the same one
            names.reverse()
        # Reads are short, and what memory the system has at hand matters: there and back again.
        for step, order in ((0, names), (1, names + names[::-1])):
            os.sync()  # what the disk still owes to one must not slow the next
            for name in order:
                function = cases[name][step]
                if function is not None:
                    taken = cost(function)
                    # The first turn loads libraries and makes the system hand out its memory.
                    best[name][step] = best[name][step].least(taken) if turn else Cost()
    return best


def ours(folder: Path, data: NDArray[np.float32], shards: tuple[int, ...] | None) -> None:
    """Write with mosaicflow."""
    flavour = "0.5" if shards else "0.4"
    writer = OmeZarrWriter(folder / "a.ome.zarr", data.shape, CHUNKS, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01)


def ours_back(folder: Path) -> NDArray[Any]:
    """Read with mosaicflow."""
    return open_level(folder / "a.ome.zarr")[...]


def lazy_back(folder: Path) -> NDArray[Any]:
    """Read with mosaicflow what its users get: a dask array."""
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


def pyramid(folder: Path, gigabytes: float, repeats: int) -> list[Limit]:
    """Time the four-level analysis pyramid against plain copies of its volume."""
    print(f"\n{gigabytes:g} GB volume, best of {repeats}, seconds")
    best: dict[str, Cost] = {}
    for base in (0.01, 0.0015):
        for _ in range(repeats):
            build = f"pyramid from {1000 * base:g} um planes"
            made = build_pyramid(folder, gigabytes, base=base)
            best[build] = best.get(build, Cost()).least(made)
            shutil.rmtree(folder / "copy", ignore_errors=True)
            copied = cost(lambda: copy_base(folder))
            best["one plain copy"] = best.get("one plain copy", Cost()).least(copied)
    best["three plain copies"] = best["one plain copy"].times(3)
    for name, value in best.items():
        print(f"{name:<46}{value}", flush=True)
    copies = best["three plain copies"]
    return [Limit(name, value, copies) for name, value in best.items() if "pyramid" in name]


def build_pyramid(
    folder: Path, gigabytes: float, flavour: str = "0.4", *, base: float = 0.01
) -> Cost:
    """Write a volume region by region, keep a copy of it, and return the cost of `finalize`."""
    planes = max(64, round(gigabytes * 1e9 / 4 / 1280**2))
    shape = (planes, 1280, 1280)
    shutil.rmtree(folder / "v.ome.zarr", ignore_errors=True)
    writer = AnalysisOmeZarrWriter(folder / "v.ome.zarr", shape, ngff_version=flavour)
    plain = OmeZarrWriter(folder / "base.ome.zarr", shape)
    tile = speckle((64, 256, 256))
    for target in (writer, plain):
        for region in write_regions(target):  # by chunk: a whole shard would be memory of our own
            target.render(
                region, lambda c: tile[tuple(slice(0, part.stop - part.start) for part in c)]
            )
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


def peaks(gigabytes: float) -> list[Limit]:
    """Measure the memory that the pyramids of a small and a large volume take."""
    sizes = [(v, size) for v in ("0.4", "0.5") for size in (gigabytes / 2, 2 * gigabytes)]
    return [
        Limit(f"peak MB, pyramid of {size:g} GB, {v}", peak(size, v), Cost(PEAK_MB, PEAK_MB))
        for v, size in sizes
    ]


def peak(gigabytes: float, flavour: str) -> Cost:
    """Return the largest memory, in MB, of a process that makes a pyramid."""
    command = [sys.executable, __file__, "--peak", str(gigabytes), "--flavour", flavour]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        largest = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except FileNotFoundError:
                break
            lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
            largest = max([largest, *(int(line.split()[1]) for line in lines)])
            time.sleep(0.05)
    return Cost(largest / 1024, largest / 1024)


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


@dataclass(frozen=True)
class Limit:
    """Something measured, and what it must not exceed by more than the noise of the clock."""

    what: str
    found: Cost
    most: Cost

    @property
    def kept(self) -> bool:
        """Whether the time on the clock is within the limit."""
        return self.found.wall <= self.most.wall * NOISE

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "MISSED"
        return f"{self.what:<46}{self.found}  limit{self.most}  {verdict}"


def cost(function: Callable[[], Any]) -> Cost:
    """Return what a call costs, once the disk has written what earlier calls left to it."""
    os.sync()
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return Cost(time.perf_counter() - start, time.process_time() - cpu)


if __name__ == "__main__":
    sys.exit(main())
