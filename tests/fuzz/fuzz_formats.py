"""Feed damaged files to the format readers: nothing but a result or a FormatError may come back.

    python tests/fuzz/fuzz_formats.py --runs 100000              every reader, one by one
    python tests/fuzz/fuzz_formats.py mrc ply --runs 1000000     these two
    python tests/fuzz/fuzz_formats.py mrc --engine atheris       guided by coverage

Each reader runs in a process of its own, in which an allocation beyond 1 GiB fails, an input that
takes more than ten seconds counts as a hang, and the input at work is on disk when it crashes.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import faulthandler
import gzip
import io
import json
import logging
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

GIBIBYTE = 1 << 30
SECONDS_PER_INPUT = 10
_WORDS = (0, 1, -1, 2, 3, 255, 65535, 65536, 2**24, 2**30, 2**31 - 1, -(2**31))
_BINARY = ("mrc", "mrc.gz", "em", "h5", "nrrd", "nii", "stl", "ply", "glb", "vtu", "vtk", "pickle")
_TEXT = (
    "star",
    "tsv",
    "txt",
    "xyz",
    "csv",
    "ndjson",
    "obj",
    "off",
    "gltf",
    "tsi",
    "q",
    "pdb",
    "cif",
    "gro",
)
_DIGITS = (b"0", b"9", b"-1", b"99999999", b"1e30", b"nan", b"2147483648")


def say(text: str) -> None:
    """Report a line at once, also when the next input kills the process."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class HangError(Exception):
    """An input took too long."""


def seed_files() -> dict[str, list[bytes]]:
    """Return small sound files by extension, from which the damaged ones are made."""
    from mosaicflow import formats

    labels = (np.indices((5, 4, 3)).sum(axis=0) % 4).astype(np.int16)
    seeds: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for extension in ("mrc", "em", "h5", "nrrd", "nii", "mrc.gz"):
            target = Path(folder) / f"seed.{extension}"
            # EM has one voxel size for all axes.
            rate = 1.5 if extension == "em" else (1.5, 2.5, 3.5)
            formats.write_density(labels, target, rate, (10, 20, 30))
            seeds[extension] = [target.read_bytes()]
        mesh = formats.GeometryData(
            vertices=np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=np.float32),
            faces=np.array([[0, 1, 2], [0, 1, 3], [1, 2, 3]]),
        )
        for extension in ("stl", "ply"):
            target = Path(folder) / f"seed.{extension}"
            formats.write_meshes([mesh], target)
            seeds[extension] = [target.read_bytes()]
    seeds["h5"].append(_chunked_hdf5(labels))
    seeds["nrrd"].append(_gzipped_nrrd(seeds["nrrd"][0]))
    seeds["ply"].append(_mixed_ply())
    seeds["glb"] = [_glb()]
    seeds["vtu"] = [_vtu(raw=True)]
    seeds["vtk"] = [_legacy_vtk()]
    seeds["pickle"] = session_seeds()
    for extension, text in text_seeds().items():
        seeds.setdefault(extension, []).append(text.encode())
    return seeds


def text_seeds() -> dict[str, str]:
    """Return a small sound text of each format that has one, by extension."""
    triangle = "0 0 0\n1 0 0\n0 1 0\n"
    matrix = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    return {
        "star": "data_optics\nloop_\n_rlnImagePixelSize\n2\n\ndata_particles\n\nloop_\n"
        "_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnClassNumber\n_n\n"
        "1 2 3 1 'a b'\n4 5 6 2 c # d\n",
        "tsv": "x\ty\tz\teuler_x\teuler_y\teuler_z\tscore\tdetail\n1\t2\t3\t4\t5\t6\t7\t8\n",
        "txt": "1 2 3\n4 5 6\n",
        "xyz": "x,y,z\n1,2,3\n",
        "csv": "x,y,z,nx,ny,nz,id,n\n1,2,3,0,0,1,1,a\n4,5,6,0,0,1,2,b\n",
        "ndjson": json.dumps(
            {"location": {"x": 1, "y": 2, "z": 3}, "xyz_rotation_matrix": matrix, "type": "a"}
        ),
        "obj": "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nvn 0 0 1\nf 1//1 2//1 -1//1\n",
        "off": "COFF\n3 1 0\n0 0 0 9 9 9 255\n1 0 0 9 9 9 255\n0 1 0 9 9 9 255\n3 0 1 2\n",
        "ply": "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
        f"{triangle}3 0 1 2\n",
        "stl": "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n"
        "vertex 0 1 0\nendloop\nendfacet\nendsolid a\n",
        "gltf": _gltf(),
        "tsi": "version 1.1\nbox 1 1 1\nvertex 3\n0 0 0 0\n1 1 0 0\n2 0 1 0\ntriangle 1\n0 0 1 2\n"
        "inclusion 1\n0 1 2 0 1\n",
        "q": "1 1 1\n3\n0 0 0 0 0\n1 1 0 0 0\n2 0 1 0 0\n1\n0 0 1 2 1\n",
        "vtu": _vtu(raw=False).decode(),
        "vtk": "# vtk DataFile Version 3.0\nt\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n"
        f"{triangle}POLYGONS 1 4\n3 0 1 2\nPOINT_DATA 3\nSCALARS a float\n"
        "LOOKUP_TABLE default\n1 2 3\n",
        "pdb": "ATOM      1  N   GLY A   1       1.000   2.000   3.000\n",
        "cif": "data_X\nloop_\n_atom_site.group_PDB\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
        "_atom_site.Cartn_z\nATOM 1 2 3\n",
        "gro": "t\n1\n    1SOL     OW    1   1.000   2.000   3.000\n1 1 1\n",
    }


def _gltf() -> str:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4").tobytes()
    corners = np.array([0, 1, 2, 0], dtype="<u2").tobytes()
    data = base64.b64encode(points + corners).decode()
    mesh = {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [1, 2, 3]}],
        "meshes": [mesh],
        "buffers": [{"uri": f"data:application/octet-stream;base64,{data}", "byteLength": 44}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 8},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
    }
    return json.dumps(document)


def _chunked_hdf5(labels: np.ndarray) -> bytes:
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("labels", data=labels, chunks=(2, 2, 2), compression="gzip")
        file.attrs["note"] = "seed"
    return content.getvalue()


def _gzipped_nrrd(raw: bytes) -> bytes:
    header, _, values = raw.partition(b"\n\n")
    header = header.replace(b"encoding: raw", b"encoding: gzip")
    return header + b"\n\n" + gzip.compress(values, mtime=0)


def _mixed_ply() -> bytes:
    header = (
        "ply\nformat binary_big_endian 1.0\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar quality\nelement face 2\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    rows = b"".join(struct.pack(">3fB", i, i * i, 0, i) for i in range(5))
    return header.encode() + rows + struct.pack(">B3iB4i", 3, 0, 1, 2, 4, 1, 2, 3, 4)


def _glb() -> bytes:
    import trimesh

    scene = trimesh.Scene()
    box = trimesh.creation.box()
    scene.add_geometry(box)
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    content: bytes = scene.export(file_type="glb")
    return content


def _vtu(*, raw: bool) -> bytes:
    points = np.arange(12, dtype="<f4").tobytes()
    corners = np.array([0, 1, 2, 3], dtype="<i8").tobytes()
    parts = [points, corners, np.array([4], "<i8").tobytes(), bytes([10])]
    offsets = np.cumsum([0, *(len(part) + 4 for part in parts)])
    names = [("Float32", "Points"), ("Int64", "connectivity"), ("Int64", "offsets")]
    names.append(("UInt8", "types"))
    arrays = [
        f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{3 if i == 0 else 1}" '
        f'format="appended" offset="{offsets[i]}"/>'
        for i, (kind, name) in enumerate(names)
    ]
    head = (
        '<VTKFile type="UnstructuredGrid" byte_order="LittleEndian" header_type="UInt32">'
        '<UnstructuredGrid><Piece NumberOfPoints="4" NumberOfCells="1"><Points>'
        f"{arrays[0]}</Points><Cells>{''.join(arrays[1:])}</Cells></Piece></UnstructuredGrid>"
    )
    if raw:
        body = b"".join(struct.pack("<I", len(part)) + part for part in parts)
        return (
            head.encode() + b'<AppendedData encoding="raw">_' + body + b"</AppendedData></VTKFile>"
        )
    text = head
    for index, (kind, name) in enumerate(names):
        values = np.frombuffer(
            parts[index], {"Float32": "<f4", "Int64": "<i8", "UInt8": "u1"}[kind]
        )
        inline = f'<DataArray type="{kind}" Name="{name}">{" ".join(map(str, values))}</DataArray>'
        text = text.replace(arrays[index], inline)
    return (text + "</VTKFile>").encode()


def session_seeds() -> list[bytes]:
    """Return sessions and bare pickles with everything that a session may hold."""
    from mosaicflow import formats

    box = formats.VertexPropertyContainer({"area": np.arange(3.0), "name": np.array(list("abc"))})
    container = formats.GeometryDataContainer([np.eye(3)], [np.eye(3)], vertex_properties=[box])
    fields = np.zeros(2, [("a", "<f4"), ("b", ">i2", (2,))])
    state = {
        "geometry": container,
        "first": container[0],
        "arrays": [np.arange(6).reshape(2, 3), np.asfortranarray(np.eye(2, 3)), fields],
        "more": [np.array(["a", None], object), np.array([5], "M8[ms]"), np.float32(2.5)],
        "plain": [
            1,
            -(2**80),
            2.5,
            1j,
            b"x",
            bytearray(b"y"),
            {1, 2},
            frozenset("z"),
            (None, True),
        ],
        "ordered": collections.OrderedDict(b=1, a=2),
        (1, ("x", 2)): "\u00e9\U0001f600",
    }
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "seed.pickle"
        meta = json.dumps({"name": "seed", "slices": 3}).encode()
        formats.write_session(target, state, {"meta": ("json", meta), "thumbnail": ("png", b"P")})
        return [target.read_bytes(), *(pickle.dumps(state, number) for number in (2, 4, 5))]


# What a pickle is put together from; the calls of `os.system` must stay words.
_PIECES = (
    *(b"N", b"\x88", b"K\x05", b"J\xff\xff\xff\x7f", b"G" + bytes(8), b"\x8a\x02\x01\x02"),
    *(b"\x8c\x01a", b"C\x01a", b"X\x01\0\0\0b", b"\x96\x01" + bytes(8), b"U\x02ab"),
    *(b"]", b")", b"}", b"\x8f", b"(", b"0", b"1", b"a", b"e", b"l", b"t", b"\x85", b"\x86"),
    *(b"\x87", b"d", b"s", b"u", b"\x90", b"\x91", b"\x94", b"h\x00", b"h\x01", b"q\x02"),
    *(b"r\xff\xff\xff\xff", b"j\xff\xff\xff\xff", b"R", b"\x81", b"\x92", b"b", b"\x93", b"."),
    *(b"cos\nsystem\n", b"cposix\nsystem\n", b"cbuiltins\neval\n", b"\x8c\x02os\x8c\x06system\x93"),
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy._core.multiarray\n_reconstruct\n"),
    *(b"cnumpy._core.multiarray\nscalar\n", b"cnumpy._core.numeric\n_frombuffer\n"),
    *(
        b"X\x02\0\0\0f8\x89\x88\x87R",
        b"K\0\x85C\x01b\x87R",
        b"(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xff",
    ),
    *(b"J\xff\xff\xff\xffK\0tb", b"(K\x01K\x02\x85", b"\x89C\x08abcdefghtb", b"cbuiltins\nset\n"),
    *(b"ccollections\nOrderedDict\n)R", b"cbuiltins\nbytearray\n", b"c_codecs\nencode\n"),
    *(b"cmosaic.formats.parser\nGeometryDataContainer\n)\x81", b"X\x08\0\0\0vertices"),
    *(b"cmosaic.formats.parser\nVertexPropertyContainer\n)\x81", b"X\x0b\0\0\0_properties"),
    *(b"X\x0b\0\0\0_n_vertices", b"\x95" + bytes(8), b"P1\n", b"Q", b"\x82\x01", b"\x97", b"\x98"),
)


def pickle_soup(rng: random.Random) -> bytes:
    """Return pieces of pickles in any order."""
    return b"\x80\x04" + b"".join(rng.choices(_PIECES, k=rng.randint(1, 60))) + b"."


def _legacy_vtk() -> bytes:
    points = np.arange(12, dtype=">f4").tobytes()
    return (
        b"# vtk DataFile Version 3.0\nseed\nBINARY\nDATASET POLYDATA\nPOINTS 4 float\n" + points
        + b"\nPOLYGONS 2 8\n" + np.array([3, 0, 1, 2, 3, 0, 2, 3], dtype=">i4").tobytes()
        + b"\nPOINT_DATA 4\nSCALARS height float 1\nLOOKUP_TABLE default\n"
        + np.arange(4, dtype=">f4").tobytes() + b"\n"
    )  # fmt: skip


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with one to four injuries, mostly near the start, where headers are."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        _INJURIES[rng.randrange(len(_INJURIES))](data, rng)
    return bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    limit = len(data) if rng.random() < 0.3 else min(len(data), 256)
    return rng.randrange(max(limit, 1))


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.randrange(256)


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set_word(data: bytearray, rng: random.Random) -> None:
    place = _place(data, rng) & ~3
    data[place : place + 4] = struct.pack(rng.choice("<>") + "i", rng.choice(_WORDS))


def _set_digits(data: bytearray, rng: random.Random) -> None:
    digits = [place for place in range(min(len(data), 1024)) if 48 <= data[place] < 58]
    if digits:
        place = rng.choice(digits)
        data[place : place + 1] = rng.choice(_DIGITS)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    place = _place(data, rng)
    del data[place : place + rng.randint(1, 16)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    place = _place(data, rng)
    data[place:place] = data[place : place + rng.randint(1, 64)]


def _insert(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng) : 0] = rng.randbytes(rng.randint(1, 8))


_INJURIES = (
    _set_byte, _flip_bit, _set_word, _set_word, _set_digits, _cut, _remove, _repeat, _insert,
)  # fmt: skip


def check_input(extension: str, content: bytes, folder: Path) -> bool:
    """Read one input; True if it was accepted, anything but a FormatError rises."""
    from mosaicflow import formats

    target = folder / f"input.{extension}"
    target.write_bytes(content)
    if extension == "pickle":
        return _check_session(target)
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            container = formats.open_file(target)
    except formats.FormatError:
        return False
    for entity in container:
        if not np.all(np.isfinite(entity.vertices)):
            raise AssertionError("vertices are not finite")
        if entity.faces is not None and len(entity.faces):
            assert 0 <= entity.faces.min() <= entity.faces.max() < len(entity.vertices)
    return True


def _check_session(target: Path) -> bool:
    from mosaicflow import formats

    accepted = 0
    for read in (
        formats.open_session,
        formats.read_session_index,
        formats.read_session_meta,
        lambda path: formats.read_session_section(path, "thumbnail"),
    ):
        # An input that calls anything raises what is no FormatError: see `_forbid_calls`.
        with contextlib.suppress(formats.FormatError), _time_limit():
            read(target)
            accepted += 1
    return accepted == 4


def _forbid_calls() -> None:
    """Make whatever an input could run or import on its way an error that ends the run."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.system", "subprocess.Popen", "exec", "compile", "pickle.find_class"):
            raise AssertionError(f"an input reached {event} {arguments!r:.80}")
        if event == "import" and arguments[0] in ("os", "posix", "nt", "subprocess"):
            raise AssertionError(f"an input imported {arguments[0]}")

    sys.addaudithook(refuse)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise HangError(f"more than {SECONDS_PER_INPUT} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS_PER_INPUT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_random(extension: str, runs: int, seed: int, folder: Path) -> tuple[int, float]:
    """Read `runs` damaged files; returns how many were accepted and the slowest one's seconds."""
    rng = random.Random(seed)
    originals = seed_files()[extension]
    accepted, slowest = 0, 0.0
    for run in range(runs):
        content = damage(rng.choice(originals), rng)
        if extension == "pickle" and run % 2:
            content = pickle_soup(rng)
        start = time.perf_counter()
        accepted += check_input(extension, content, folder)
        slowest = max(slowest, time.perf_counter() - start)
    return accepted, slowest


def run_atheris(extension: str, runs: int, seed: int, folder: Path) -> None:
    """Let libFuzzer choose the damage by what it reaches in our modules; does not return."""
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seed_files()[extension]):
        (corpus / f"seed{number}").write_bytes(content)
    for name in [name for name in sys.modules if name.startswith("mosaicflow.formats")]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["mosaicflow.formats"]):
        import mosaicflow.formats.reader  # noqa: F401

    def one(content: bytes) -> None:
        check_input(extension, content, folder)

    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        "-max_len=16384",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={tempfile.gettempdir()}/fuzz-",
    ]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], one)
    atheris.Fuzz()


def _work(extension: str, runs: int, seed: int, engine: str) -> None:
    """Do one reader in this process, under its limits."""
    faulthandler.enable()
    logging.disable()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        try:
            seed_files()  # imports every library before the limit on new memory is set
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + GIBIBYTE, resource.RLIM_INFINITY))
            if extension == "pickle":
                _forbid_calls()
            if engine == "atheris":
                run_atheris(extension, runs, seed, folder)
            accepted, slowest = run_random(extension, runs, seed, folder)
        except BaseException:
            keep = Path(tempfile.gettempdir()) / f"fuzz-failure.{extension}"
            keep.write_bytes((folder / f"input.{extension}").read_bytes())
            say(f"{extension}: FAILED, the input is {keep}")
            raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - start
    say(
        f"{extension}: {runs} inputs, {accepted} accepted, {seconds:.0f} s, slowest "
        f"{slowest:.3f} s, peak {peak:.2f} GiB",
    )


def main() -> int:
    """Fuzz the readers asked for, each in a process of its own; 1 if any failed."""
    known = [*_BINARY, *_TEXT]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "readers",
        nargs="*",
        default=known,
        metavar="reader",
        help=f"binary: {', '.join(_BINARY)}\ntext: {', '.join(_TEXT)}",
    )
    parser.add_argument("--runs", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("random", "atheris"), default="random")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        _work(arguments.readers[0], arguments.runs, arguments.seed, arguments.engine)
        return 0
    options = [f"--runs={arguments.runs}", f"--seed={arguments.seed}"]
    options += [f"--engine={arguments.engine}", "--here"]
    command = [sys.executable, __file__, *options]
    codes = {
        reader: subprocess.run([*command, reader], check=False).returncode
        for reader in arguments.readers
    }
    failed = [reader for reader, code in codes.items() if code]
    say(f"failed: {', '.join(failed)}" if failed else "no failure")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
