"""NRRD volumes, their headers read by pynrrd."""

from __future__ import annotations

import bz2
import gzip
import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, library
from mosaicflow.formats.ground.source import (
    DECOMPRESSION_ERRORS,
    existing_file,
    map_stream,
    map_values,
    open_stream,
    read_at_most,
    read_head,
    skip,
)
from mosaicflow.formats.volumes.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.volumes.density import Density

__all__ = ["open_nrrd", "write_nrrd"]

# Bytes (1 MiB), far above any real one; doubled, more of what is no NRRD is read.
_LONGEST_HEADER = 1 << 20
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_FIELDS = (
    "type", "dimension", "encoding", "sizes", "endian", "spacings", "space directions",
    "line skip", "lineskip", "byte skip", "byteskip", "data file", "datafile",
)  # fmt: skip
_TYPES = {
    **dict.fromkeys(["signed char", "int8", "int8_t"], "i1"),
    **dict.fromkeys(["uchar", "unsigned char", "uint8", "uint8_t"], "u1"),
    **dict.fromkeys(
        ["short", "short int", "signed short", "signed short int", "int16", "int16_t"], "i2"
    ),
    **dict.fromkeys(["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"], "u2"),
    **dict.fromkeys(["int", "signed int", "int32", "int32_t"], "i4"),
    **dict.fromkeys(["uint", "unsigned int", "uint32", "uint32_t"], "u4"),
    **dict.fromkeys(
        ["longlong", "long long", "long long int", "signed long long", "signed long long int",
         "int64", "int64_t"], "i8",
    ),
    **dict.fromkeys(
        ["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"], "u8"
    ),
    "float": "f4",
    "double": "f8",
}  # fmt: skip
_TYPE_NAMES = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip


_COMPRESSED: dict[str, Callable[..., Any]] = {
    "gzip": gzip.open, "gz": gzip.open, "bzip2": bz2.open, "bz2": bz2.open,
}  # fmt: skip
_LIST = re.compile(rb"^data ?file:\s*LIST\b", re.IGNORECASE | re.MULTILINE)


def open_nrrd(path: FilePath) -> Volume:
    """Open the voxels of an NRRD file; raw ones as a memory map.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed; encodings raw, gzip, bzip2, text and hex. Voxels in one file beside
        the header are read, in several not.

    Returns
    -------
    Volume
        Sampling from ``spacings`` or the lengths of ``space directions``, as stored.

    Raises
    ------
    FormatError
        If the header makes no sense, the volume is not 3-D or the file is too short.
    """
    fields, data_offset = _fields(path)
    shape = _shape(path, fields)
    dtype = _dtype(path, fields)
    flat = _values(path, fields, data_offset, (int(np.prod(shape, dtype=object)), dtype))
    values = flat.reshape(shape[::-1]).transpose(2, 1, 0)
    return Volume(path, values, _sampling(path, fields))


def _fields(path: FilePath) -> tuple[dict[str, Any], int]:
    """Header fields without blanks in their names, and the byte after the header."""
    nrrd = library("nrrd")
    head = read_head(path, _LONGEST_HEADER)
    if not head.startswith(b"NRRD000"):
        raise FormatError(path, "no NRRD file: it does not begin with 'NRRD000'")
    end = _HEADER_END.search(head)
    # A detached header may go on to the end of its file.
    text = head if end is None else head[: end.start()]
    if end is None and len(head) == _LONGEST_HEADER:
        raise FormatError(path, "the header has no end (an empty line)")
    if _LIST.search(text):
        raise FormatError(path, "its voxels lie in several files", remedy="join them into one NRRD")
    try:
        header = nrrd.read_header([line + b"\n" for line in text.split(b"\n")])
    # pynrrd parses values by splitting and casting; any of those may fail.
    except Exception as error:
        raise FormatError(path, f"no readable NRRD header ({error!r:.200})") from error
    # pynrrd gives a number to the fields of the format only; all others are its users' own text.
    fields = {name.replace(" ", ""): header[name] for name in _FIELDS if name in header}
    for name in ("type", "dimension", "encoding", "sizes"):
        if name not in fields:
            raise FormatError(path, f"the header has no field '{name}'")
    return fields, len(head) if end is None else end.end()


def _shape(path: FilePath, fields: dict[str, Any]) -> tuple[int, int, int]:
    sizes = [int(n) for n in np.atleast_1d(fields["sizes"])]
    if len(sizes) != fields["dimension"] or not sizes or min(sizes) < 1:
        raise FormatError(path, f"dimension {fields['dimension']} with sizes {sizes}")
    sizes += [1] * (3 - len(sizes))
    if len(sizes) != 3:
        raise FormatError(path, f"a volume of shape {tuple(sizes)}, 3 axes are expected")
    return (sizes[0], sizes[1], sizes[2])


def _dtype(path: FilePath, fields: dict[str, Any]) -> np.dtype[Any]:
    name = _TYPES.get(" ".join(str(fields["type"]).lower().split()))
    if name is None:
        raise FormatError(path, f"type '{fields['type']}' are no numbers")
    dtype = np.dtype(name)
    if dtype.itemsize == 1 or _encoding(fields) in ("text", "ascii", "txt"):
        return dtype
    endian = str(fields.get("endian", "")).lower()
    if endian not in ("little", "big"):
        raise FormatError(path, f"endian is '{endian}', little or big is expected")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _encoding(fields: dict[str, Any]) -> str:
    return str(fields["encoding"]).lower()


def _values(
    path: FilePath,
    fields: dict[str, Any],
    data_offset: int,
    wanted: tuple[int, np.dtype[Any]],
) -> NDArray[Any]:
    line_skip, byte_skip = (int(fields.get(name, 0)) for name in ("lineskip", "byteskip"))
    source: FilePath = path
    if "datafile" in fields:
        source, data_offset = _data_file(path, str(fields["datafile"])), 0
    encoding = _encoding(fields)
    if line_skip < 0 or byte_skip < (-1 if encoding == "raw" else 0):
        raise FormatError(path, f"line skip {line_skip}, byte skip {byte_skip}")
    if encoding == "raw" and not line_skip:
        if byte_skip == -1:
            data_offset = _length(source) - wanted[0] * wanted[1].itemsize
            if data_offset < 0:
                raise FormatError(source, "truncated: fewer bytes than voxels")
            byte_skip = 0
        return map_values(source, data_offset + byte_skip, *wanted)
    with _stored(source, path, encoding) as stream:
        skip(stream, data_offset)
        for _ in range(line_skip):
            if not stream.readline(_LONGEST_HEADER):
                raise FormatError(source, f"truncated: line skip {line_skip}")
        return _decoded(path, stream, encoding, byte_skip, wanted)


def _stored(source: FilePath, path: FilePath, encoding: str) -> AbstractContextManager[IO[bytes]]:
    """Open the file of the voxels; one beside the header is compressed as `encoding` says, once."""
    if source is not path and encoding in _COMPRESSED:
        return existing_file(source).open("rb")
    return open_stream(source)


def _decoded(
    path: FilePath,
    stream: IO[bytes],
    encoding: str,
    byte_skip: int,
    wanted: tuple[int, np.dtype[Any]],
) -> NDArray[Any]:
    if encoding in _COMPRESSED:
        try:
            with _COMPRESSED[encoding](stream, "rb") as unpacked:
                skip(unpacked, byte_skip)
                return map_stream(path, unpacked, *wanted)
        except FormatError:
            raise
        except DECOMPRESSION_ERRORS as error:
            raise FormatError(path, f"the {encoding} data is damaged ({error})") from error
    skip(stream, max(byte_skip, 0))
    if encoding == "raw":
        return map_stream(path, stream, *wanted)
    count, dtype = wanted
    # No number takes less than two characters, none of those written more than 40.
    text = read_at_most(stream, 40 * count)
    try:
        if encoding == "hex":
            values = np.frombuffer(bytes.fromhex(text.decode("ascii")), dtype=dtype)
        elif encoding in ("text", "ascii", "txt"):
            values = np.array(text.split(), dtype=np.bytes_).astype(dtype)
        else:
            raise FormatError(path, f"encoding '{encoding}'")
    except FormatError:
        raise
    except (ValueError, OverflowError) as error:
        raise FormatError(path, f"the {encoding} data is damaged ({error})") from error
    if len(values) < count:
        raise FormatError(path, f"truncated: {count} voxels announced, {len(values)} are there")
    return values[:count]


def _data_file(path: FilePath, name: str) -> Path:
    folder = Path(path).resolve().parent
    target = Path(os.path.realpath(folder / name))
    if name.upper().startswith("LIST") or "%" in name or " " in name.strip():
        raise FormatError(path, "its voxels lie in several files", remedy="join them into one NRRD")
    if not target.is_relative_to(folder):
        raise FormatError(path, f"the data file '{name}' lies outside of the header's folder")
    return existing_file(target)


def _length(path: FilePath) -> int:
    with open_stream(path) as stream:
        return stream.seek(0, 2)


def _sampling(path: FilePath, fields: dict[str, Any]) -> tuple[float, float, float]:
    spacings = fields.get("spacings")
    if spacings is None and "spacedirections" in fields:
        directions = np.asarray(fields["spacedirections"], dtype=np.float64)
        spacings = np.linalg.norm(np.atleast_2d(directions), axis=1)
    given = np.abs(np.atleast_1d(np.asarray([] if spacings is None else spacings, dtype=float)))
    # NaN is NRRD's word for an axis without spacing.
    known = np.where(np.isnan(given) | (given == 0), 1.0, given)
    lengths = [*known.tolist(), 1.0, 1.0, 1.0][:3]
    if not np.all(np.isfinite(lengths)):
        raise FormatError(path, f"spacings {lengths}")
    return (lengths[0], lengths[1], lengths[2])


def write_nrrd(path: Path, density: Density) -> None:
    """Write a volume as NRRD, raw and little-endian.

    Parameters
    ----------
    path : Path
        Target, not compressed.
    density : Density
        Voxel size and origin go to ``space directions`` and ``space origin``.
    """
    x, y, z = density.sampling
    lines = [
        "NRRD0004",
        f"type: {_TYPE_NAMES[density.dtype.str[1:]]}",
        "dimension: 3",
        "space dimension: 3",
        f"sizes: {' '.join(map(str, density.shape))}",
        f"space directions: ({x!r},0,0) (0,{y!r},0) (0,0,{z!r})",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        f"space origin: ({','.join(map(repr, density.origin))})",
    ]
    with path.open("wb") as target:
        target.write(("\n".join(lines) + "\n\n").encode("ascii"))
        for section in density.sections():
            target.write(section.astype(density.dtype.newbyteorder("<"), copy=False).tobytes())
