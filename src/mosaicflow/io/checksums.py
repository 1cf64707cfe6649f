"""Checksums of what was written: ``<output stem>.crc32c.json`` beside each output.

A list holds the crc32c of every file that one task, or one writer of a store, made. It is taken
while the files are written and travels with them, so that what changed since is named, whoever
changed it.
"""

from __future__ import annotations

import functools
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c

from mosaicflow.errors import StoreError
from mosaicflow.io.tables import SCHEMA, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Protocol

    import numpy as np
    from numpy.typing import NDArray

    class Writable(Protocol):
        """A file that is open for writing."""

        def write(self, data: memoryview, /) -> object:
            """Add to it."""


__all__ = [
    "SUFFIX",
    "Checksums",
    "DamageError",
    "as_listed",
    "checksum",
    "damage",
    "find_checksums",
    "list_files",
    "own_checksum",
    "read_checksums",
    "read_summed",
    "sums_of",
    "sums_path",
    "write_checksums",
    "write_summed",
]

SUFFIX = ".crc32c.json"
# Read at a time [bytes], to fit into a core's own cache. Measured on files that the system holds,
# CPU: 256 KiB 4.1-5.0 GB/s, 1 MiB 5.2, 4 MiB 2.7-3.9 (each block is fresh memory then). Mapping the
# file gives 6.7, but a disk that fails would kill the process.
_BLOCK = 256 * 2**10
# Length of a checksum at the end of what it is of, and the crc32c of both together.
_OWN_BYTES, _OF_SELF_SUMMED = 4, 0x48674BC7
# Length of a checksum as it is written down.
_DIGITS = 8


class DamageError(StoreError):
    """A file is not what was written.

    Parameters
    ----------
    message : str
        What was found where.
    remedy : str, optional
        What to do.
    output : str
        Base name of the output that the file belongs to.
    """

    def __init__(self, message: str, *, remedy: str = "", output: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.output = output

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.args[0], self.remedy, self.output)


def _rebuilt(message: str, remedy: str, output: str) -> DamageError:
    return DamageError(message, remedy=remedy, output=output)


def checksum(path: Path | str) -> str:
    """Give the crc32c of a file's content, as `as_listed`."""
    value, tail = 0, b""
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            value = google_crc32c.extend(value, block)
            tail = (tail + block[-_OWN_BYTES:])[-_OWN_BYTES:]
    return as_listed(value, tail)


def as_listed(value: int, tail: bytes) -> str:
    """Write a checksum down.

    Parameters
    ----------
    value : int
        crc32c of a file.
    tail : bytes
        Its last four bytes.

    Returns
    -------
    str
        8 hexadecimal digits. Of a file that ends in its own crc32c, as chunks of Zarr v3 do, these
        are always the same, and 8 more tell which it is: that number.
    """
    own = f"{int.from_bytes(tail, 'little'):08x}" if value == _OF_SELF_SUMMED else ""
    return f"{value:08x}{own}"


def own_checksum(path: Path | str) -> str:
    """Give the crc32c that a file ends in, as `as_listed`: what it is said to be, uncompared."""
    with open(path, "rb", buffering=0) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _OWN_BYTES))
        return as_listed(_OF_SELF_SUMMED, file.read(_OWN_BYTES))


def read_summed(descriptor: int, out: NDArray[np.uint8], *, summed: bool) -> str:
    """Read a file, and take its checksum while the processor still holds each block.

    Parameters
    ----------
    descriptor : int
        The open file, at its beginning.
    out : ndarray, shape (n,), uint8
        Takes its content, which must be as long.
    summed : bool
        Whether the checksum is wanted.

    Returns
    -------
    str
        As `checksum`; empty where it is not wanted.

    Raises
    ------
    OSError
        The file is shorter.
    """
    value = at = 0
    while at < len(out):
        block = out[at : at + _BLOCK]
        got = os.readv(descriptor, [block.data])
        if not got:
            raise OSError(f"ends after {at} bytes, {len(out)} expected")
        if summed:
            value = google_crc32c.extend(value, block[:got])
        at += got
    return as_listed(value, bytes(out[-_OWN_BYTES:])) if summed else ""


def write_summed(file: Writable, content: NDArray[np.uint8], value: int = 0) -> int:
    """Write to a file, and take the checksum while the processor still holds each block.

    Parameters
    ----------
    file : file
        Open for writing.
    content : ndarray, shape (n,), uint8
        What is written.
    value : int
        crc32c of what was written before.

    Returns
    -------
    int
        crc32c of all of it; `as_listed` writes it down.
    """
    for at in range(0, len(content), _BLOCK):
        block = content[at : at + _BLOCK]
        file.write(block.data)
        value = google_crc32c.extend(value, block)
    return value


def sums_path(output: Path) -> Path:
    """Name the list of an output: ``a.ome.zarr`` -> ``a.crc32c.json``, beside it."""
    name = output.name
    for suffix in (".ome.zarr", ".metrics.json", output.suffix):
        if suffix and name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return output.with_name(f"{name}{SUFFIX}")


def list_files(path: Path) -> Iterator[str]:
    """Name the files of an output relative to it; the empty name where it is one file."""
    if not path.is_dir():
        yield ""
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        inside = os.path.relpath(folder, path)
        for name in sorted(names):
            yield name if inside == "." else f"{inside}/{name}"


@dataclass(frozen=True, slots=True)
class Checksums:
    """The list beside some outputs.

    Parameters
    ----------
    path : Path
        The list.
    files : dict of str to str
        Base name of a file, or ``store/member`` -> checksum, as `as_listed`.
    """

    path: Path
    files: Mapping[str, str]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Base names of all files and stores listed."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.files))

    def of(self, output: str) -> dict[str, str]:
        """Give the files of one output by their names inside it; empty where it is not listed."""
        if output in self.files:
            return {"": self.files[output]}
        start = f"{output}/"
        return {n.removeprefix(start): s for n, s in self.files.items() if n.startswith(start)}


def write_checksums(target: Path, files: Mapping[str, str]) -> None:
    """Write a list, in the order of the names.

    Parameters
    ----------
    target : Path
        The list to write, as `sums_path` names it.
    files : mapping of str to str
        As in `Checksums`.
    """
    parts = {"files": {name: value[:_DIGITS] for name, value in files.items()}}
    if own := {name: value[_DIGITS:] for name, value in files.items() if value[_DIGITS:]}:
        parts["end_in"] = own
    text = f'{{\n  "schema": {SCHEMA},\n  "algorithm": "crc32c"'
    for part, values in parts.items():
        lines = ",\n".join(f'    {json.dumps(n)}: "{values[n]}"' for n in sorted(values))
        text += f',\n  "{part}": {{\n{lines}\n  }}'
    write_text(target, text + "\n}\n")


def read_checksums(path: Path) -> Checksums | None:
    """Read a list; None where there is none, or it is no list."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        return None
    return _read(path, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=16)  # every level of a store asks for the same list
def _read(path: Path, _mtime_ns: int, _inode: int) -> Checksums | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    files = value.get("files") if isinstance(value, dict) else None
    if not isinstance(files, dict) or value.get("algorithm") != "crc32c":
        return None
    own = value.get("end_in", {})
    if not isinstance(own, dict) or not all(isinstance(one, str) for one in own.values()):
        return None
    if not all(_is_inside(name) and isinstance(one, str) for name, one in files.items()):
        return None
    return Checksums(path, {name: one + own.get(name, "") for name, one in files.items()})


def _is_inside(name: str) -> bool:
    """Whether a name, as a list from elsewhere may give it, stays in the folder of the list."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def find_checksums(output: Path) -> Checksums | None:
    """Find the list that an output was written with.

    Parameters
    ----------
    output : Path
        A file or store. A link, as a workflow engine hands over inputs, is followed: the list lies
        beside what was written.

    Returns
    -------
    Checksums or None
        None where no list beside it names the output.
    """
    real = Path(os.path.realpath(output))
    own = sums_path(real)
    others = () if own.is_file() or real.is_dir() else _other_lists(real)
    for path in (own, *others):
        found = read_checksums(path)
        if found is not None and found.of(real.name):
            return found
    return None


def _other_lists(output: Path) -> Iterator[Path]:
    """Name the lists of a folder that may name a file, the most likely first."""
    folder = output.parent
    try:
        likely = _lists_in(folder, folder.stat().st_mtime_ns).get(output.name)
    except OSError:
        return
    if likely is not None:
        yield likely
    # The clock of a file system is coarse: a list may have come since, at the same time.
    yield from sorted(folder.glob(f"*{SUFFIX}"))


@functools.lru_cache(maxsize=8)  # folders of a run; a report of 150 slices asks for 1000s of files
def _lists_in(folder: Path, _mtime_ns: int) -> Mapping[str, Path]:
    """Each output that the lists of a folder name, and the first list that does."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        sums = read_checksums(path)
        for name in sums.outputs if sums is not None else ():
            found.setdefault(name, path)
    return found


def damage(output: Path, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Compare an output with its checksums.

    Only files that are there are opened, never what a list from elsewhere names.

    Parameters
    ----------
    output : Path
        A file or store.
    known : mapping of str to str
        Its files, as `Checksums.of` gives them.

    Yields
    ------
    tuple of str
        Name inside the output, and what is wrong with it.
    """
    missing = set(known)
    for name in list_files(output):
        missing.discard(name)
        path = output / name if name else output
        if name not in known:
            yield name, "was not written with it"
        elif (path.is_symlink() and name) or not path.is_file():
            yield name, "is no file"
        elif checksum(path) != known[name]:
            yield name, "is not what was written"
    yield from ((name, "is missing") for name in sorted(missing))


def sums_of(folder: Path, outputs: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Take the checksums of all files of some outputs that are not known yet.

    Parameters
    ----------
    folder : Path
        Where the outputs lie.
    outputs : iterable of str
        Base names.
    known : mapping of str to str
        Those that were taken while writing.

    Returns
    -------
    dict of str to str
        As `Checksums.files`.
    """
    names = [
        f"{output}/{inside}".rstrip("/")
        for output in outputs
        for inside in list_files(folder / output)
    ]
    return {name: known.get(name) or checksum(folder / name) for name in names}
