"""Time to the first picture, and what is fetched for it, from a large pyramid on a web server.

Makes a sharded OME-Zarr 0.5 pyramid of more than 10 GB (decoded; a few shards are written and
linked under the other names, so that it is there in seconds), serves it from another process over
the loopback interface, and looks at it as a viewer does: the coarsest level as a VTK image, with
all code loaded before, then planes of 512 x 512 voxels at full resolution, across each axis,
cold and warm. The server notes every request and its byte range; they are compared with the chunks
that the planes touch, whose places the shards' own indexes tell. Each repeat is a fresh process.

    python benchmarks/streaming.py --gigabytes 10 --repeats 5 --folder /tmp

The exit code is 1 if a limit is missed, a voxel is wrong or a byte too many was fetched.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import itertools
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Request = tuple[str, str]

CHUNK = (32, 64, 64)
SHARD = (128, 256, 256)
CHUNKS_PER_SHARD = tuple(s // c for s, c in zip(SHARD, CHUNK, strict=True))
INDEX_BYTES = 16 * math.prod(CHUNKS_PER_SHARD) + 4
N_LEVELS = 5
N_DISTINCT_SHARDS = 8
PLANE = 512
CACHE_BYTES = 64 << 20
LIMITS_S = {"coarsest": 0.5, "cold": 1.0, "warm": 0.05}


def main() -> int:
    """Run everything, print a table, and tell by the exit code whether all limits were kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--look", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look is not None:
        print(json.dumps(look(options.look[0], Path(options.look[1]))))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        store = Path(name) / "volume.ome.zarr"
        began_s = time.perf_counter()
        shape = write_store(store, options.gigabytes)
        print(
            f"# {os.cpu_count()} cores; {shape} uint16 = {math.prod(shape) * 2 / 1e9:.1f} GB at"
            f" full resolution, made in {time.perf_counter() - began_s:.0f} s; chunks {CHUNK},"
            f" shards {SHARD}; cache {CACHE_BYTES >> 20} MiB"
        )
        return measure(store, options.repeats)


def write_store(store: Path, gigabytes: float) -> tuple[int, int, int]:
    """Write a pyramid whose shards are a few different ones in turn; returns its shape."""
    import zarr
    from zarr.codecs import BloscCodec

    side = math.ceil((gigabytes * 1e9 / 2) ** (1 / 3) / SHARD[1]) * SHARD[1]
    group = zarr.open_group(store, mode="w", zarr_format=3)
    rng = np.random.default_rng(0)
    datasets = []
    for level in range(N_LEVELS):
        array = group.create_array(
            str(level),
            shape=(side >> level,) * 3,
            dtype="uint16",
            chunks=CHUNK,
            shards=SHARD,
            compressors=BloscCodec(cname="lz4", shuffle="shuffle"),
        )
        fill(store / str(level) / "c", array, rng)
        scale = [float(2**level)] * 3
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return (side, side, side)


def fill(folder: Path, array: Any, rng: np.random.Generator) -> None:  # noqa: ANN401  # zarr
    """Write the first shards with noise of 10 bits, and link the others to them in turn."""
    counts = [math.ceil(n / s) for n, s in zip(array.shape, SHARD, strict=True)]
    written: list[Path] = []
    for number, index in enumerate(itertools.product(*map(range, counts))):
        file = folder.joinpath(*map(str, index))
        whole = all((i + 1) * s <= n for i, s, n in zip(index, SHARD, array.shape, strict=True))
        if len(written) < N_DISTINCT_SHARDS and (whole or min(array.shape) < SHARD[1]):
            box = tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, SHARD, strict=True))
            shape = array[box].shape
            array[box] = rng.integers(1, 1 << 10, shape, dtype=np.uint16)
            written.append(file)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(written[number * 5 % len(written)], file)


def measure(store: Path, repeats: int) -> int:
    """Look at the store several times and print what it took."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(store.parent, theirs), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/{store.name}"
    looks = []
    for _ in range(repeats):
        command = [sys.executable, __file__, "--look", url, str(store)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        ours.send("what was asked?")
        looks.append({**json.loads(answer.stdout), "asked": steps_of(ours.recv())})
    server.kill()
    return report(store, looks)


def serve(folder: Path, pipe: Connection) -> None:
    """Serve a folder with byte ranges, and tell on request what was asked for since."""
    asked: list[Request] = []
    handler = functools.partial(CountingHandler, asked, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_port)
    while pipe.recv():
        pipe.send(list(asked))
        asked.clear()


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    """Sends files and parts of them, and notes which."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, asked: list[Request], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        self.asked = asked
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:  # the name that http.server asks for
        """Send a file, or the part asked for."""
        part = self.headers.get("Range", "")
        self.asked.append((self.path.strip("/"), part.removeprefix("bytes=")))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, last = 0, size - 1
        if part:
            start, _, stop = part.removeprefix("bytes=").partition("-")
            first = int(start) if start else size - int(stop)
            last = min(int(stop), last) if start and stop else last
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(last - first + 1))

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent."""


def planes(shape: tuple[int, ...]) -> dict[str, tuple[slice, slice, slice]]:
    """Return planes that begin and end within chunks, one across each axis."""
    middle, corner = shape[0] // 2 + 5, (shape[1] - PLANE) // 2 - 7
    long = slice(corner, corner + PLANE)
    found = {}
    for axis, name in enumerate(("across z", "across y", "across x")):
        box = [long, long, long]
        box[axis] = slice(middle, middle + 1)
        found[name] = (box[0], box[1], box[2])
    return found


def look(url: str, store: Path) -> dict[str, Any]:
    """Time one visit; marks in the server's notes tell the steps apart."""
    # Loaded before, as in a viewer that runs: code takes longer to load than the picture.
    import fsspec.implementations.http  # noqa: F401
    import zarr
    import zarrs  # noqa: F401

    import mosaicflow.io.zarr._patient
    import mosaicflow.io.zarr._pipeline  # noqa: F401
    from mosaicflow.formats import ZarrImageSource
    from mosaicflow.formats.streaming.omezarr import open_pyramid

    times: dict[str, float] = {}
    cpu: dict[str, float] = {}
    highest, stop = [0], threading.Event()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    pyramid, _ = open_pyramid(url, cache_bytes=CACHE_BYTES)
    source = ZarrImageSource(pyramid)
    source.Update()
    times["coarsest"] = time.perf_counter() - began_s
    cpu["coarsest"] = time.process_time() - began_cpu_s

    def watch() -> None:
        while not stop.wait(0.0005):
            highest[0] = max(highest[0], pyramid.cached_bytes)

    threading.Thread(target=watch, daemon=True).start()
    truth = zarr.open_group(store, mode="r")["0"]
    right, plane = True, None
    for name, box in planes(truth.shape).items():
        for kind in ("cold", "warm"):
            step = f"{name}, {kind}"
            mark(url, step)
            began_cpu_s = time.process_time()
            times[step], again = timed_read(pyramid, box)
            cpu[step] = time.process_time() - began_cpu_s
            plane = again if kind == "cold" else plane
        right &= np.array_equal(plane, truth[box]) and np.array_equal(again, plane)
    mark(url, "browsing")
    for z in range(0, truth.shape[0], 37):  # through more than the cache holds
        timed_read(pyramid, (slice(z, z + 1), slice(0, PLANE), slice(0, PLANE)))
    stop.set()
    pyramid.close()
    return {"times": times, "cpu": cpu, "right": bool(right), "highest": highest[0]}


def timed_read(pyramid: Any, box: tuple[slice, slice, slice]) -> tuple[float, Any]:  # noqa: ANN401
    """Return the seconds that a region took, and the region."""
    z, y, x = box
    bounds = (x.start, x.stop - 1, y.start, y.stop - 1, z.start, z.stop - 1)
    began_s = time.perf_counter()
    found = pyramid.read_region(0, *bounds, dtype=None)
    return time.perf_counter() - began_s, found


def mark(url: str, step: str) -> None:
    """Leave the name of the next step in the server's notes."""
    address = f"{url.rpartition('/')[0]}/mark/{step.replace(' ', '_')}"
    try:
        urllib.request.urlopen(address)
    except urllib.error.HTTPError as answer:
        answer.close()


def steps_of(asked: list[Request]) -> dict[str, list[Request]]:
    """Sort requests by the step that they came in."""
    steps: dict[str, list[Request]] = {"coarsest": []}
    current = "coarsest"
    for path, part in asked:
        if path.startswith("mark/"):
            current = path.removeprefix("mark/").replace("_", " ")
            steps[current] = []
        else:
            steps[current].append((path.partition("/")[2], part))
    return steps


def needed(store: Path, box: tuple[slice, slice, slice]) -> list[Request]:
    """Return the index of each shard that a box touches, and its chunks, as byte ranges."""
    found: list[Request] = []
    shards: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    ranges = [range(p.start // c, (p.stop - 1) // c + 1) for p, c in zip(box, CHUNK, strict=True)]
    for chunk in itertools.product(*ranges):
        pairs = [divmod(i, n) for i, n in zip(chunk, CHUNKS_PER_SHARD, strict=True)]
        shards.setdefault(tuple(p[0] for p in pairs), []).append(tuple(p[1] for p in pairs))
    for shard, inner in shards.items():
        name = "0/c/" + "/".join(map(str, shard))
        content = (store / name).read_bytes()
        index = np.frombuffer(content[-INDEX_BYTES:-4], "<u8").reshape(*CHUNKS_PER_SHARD, 2)
        found.append((name, f"-{INDEX_BYTES}"))
        for place in inner:
            offset, size = (int(n) for n in index[place])
            found.append((name, f"{offset}-{offset + size - 1}"))
    return sorted(found)


def report(store: Path, looks: list[dict[str, Any]]) -> int:
    """Print times and counts; returns 1 if a limit was missed."""
    import zarr

    kept = True
    print(f"\nseconds{'':13}{'median':>9}{'worst':>9}{'limit':>9}{'CPU':>9}   requests")
    boxes = planes(zarr.open_group(store, mode="r")["0"].shape)
    for step in looks[0]["times"]:
        plane, _, kind = step.partition(", ")
        times = [look["times"][step] for look in looks]
        limit = LIMITS_S[kind or step]
        median = statistics.median(times)
        kept &= median <= limit
        note, exact = requests_note(store, looks, step, boxes.get(plane))
        kept &= exact
        cpu = statistics.median(look["cpu"][step] for look in looks)
        print(f"{step:20}{median:9.3f}{max(times):9.3f}{limit:9.3f}{cpu:9.3f}   {note}")
    highest = max(look["highest"] for look in looks)
    right = all(look["right"] for look in looks)
    kept &= highest <= CACHE_BYTES and right
    print(f"\ncache at its fullest {highest} bytes of {CACHE_BYTES}; voxels right: {right}")
    return 0 if kept else 1


def requests_note(
    store: Path, looks: list[dict[str, Any]], step: str, box: tuple[slice, slice, slice] | None
) -> tuple[str, bool]:
    """Say how many requests a step took, and whether they were those it needs and no other."""
    asked = [sorted(tuple(request) for request in look["asked"][step]) for look in looks]
    counts = "/".join(sorted({str(len(requests)) for requests in asked}))
    if box is None:
        finer = any(path.startswith("0/c/") for requests in asked for path, _ in requests)
        return f"{counts}, full resolution untouched: {not finer}", not finer
    if step.endswith("warm"):
        return counts, all(not requests for requests in asked)
    expected = needed(store, box)
    planned = [r for r in expected if r[1] != f"-{INDEX_BYTES}"]
    # An index may be known from the plane before.
    exact = all(
        len(set(requests)) == len(requests)
        and set(planned) <= set(requests) | set(earlier(look, step))
        and set(requests) <= set(expected)
        for requests, look in zip(asked, looks, strict=True)
    )
    return f"{counts} (chunks touched: {len(planned)}), no byte more: {exact}", exact


def earlier(look: dict[str, Any], step: str) -> list[Request]:
    """Return what was asked for in the steps before."""
    steps = list(look["asked"])
    before = steps[: steps.index(step)]
    return [tuple(request) for name in before for request in look["asked"][name]]


if __name__ == "__main__":
    sys.exit(main())
