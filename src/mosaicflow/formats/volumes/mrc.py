"""MRC and CCP4 maps."""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import map_values, open_stream, read_head
from mosaicflow.formats.volumes.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.volumes.density import Density

__all__ = [
    "HEADER_BYTES",
    "MODES",
    "mrc_header",
    "open_mrc",
    "read_mrc_dtype",
    "read_mrc_header",
    "write_mrc",
]

logger = logging.getLogger(__name__)

HEADER_BYTES = 1024  # by the format
# Codes of MRC2014 (word 4 of the header).
MODES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.int8),
    1: np.dtype(np.int16),
    2: np.dtype(np.float32),
    4: np.dtype(np.complex64),
    6: np.dtype(np.uint16),
    12: np.dtype(np.float16),
}
_VERSION = 20140  # of MRC2014, as its word 28 says it: year and version
# Word 39 of a header by IMOD; the flag in the next word tells how bytes are stored.
_IMOD_STAMP = 1146047817
_IMOD_SIGNED = 1  # first bit of the flags
_SIGNED_BYTE_LIMIT = 127  # largest int8: more in a byte is unsigned
_LABEL_BYTES, _MOST_LABELS = 80, 10
_LITTLE_ENDIAN_STAMP = b"\x44\x44\x00\x00"


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What the header of an MRC file says.

    Attributes
    ----------
    counts : tuple of int
        Columns, rows and sections.
    axes : tuple of int
        Spatial axis (0 = x) along columns, rows and sections.
    dtype : dtype
        Of the values on disk, with byte order.
    sampling : tuple of float
        Voxel size along x, y, z, angstrom.
    data_offset : int
        First byte of the values.
    is_shifted : bool
        Whether bytes are stored less 128, as IMOD does it, where any is below 0.
    """

    counts: tuple[int, int, int]
    axes: tuple[int, int, int]
    dtype: np.dtype[Any]
    sampling: tuple[float, float, float]
    data_offset: int
    is_shifted: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = (self.counts[self.axes.index(axis)] for axis in range(3))
        return (x, y, z)


def open_mrc(path: FilePath) -> Volume:
    """Open the voxels of an MRC file as a memory map.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed.

    Returns
    -------
    Volume
        Bytes after the voxels are ignored.

    Raises
    ------
    FormatError
        If the header makes no sense or the file is too short for it.
    """
    header = read_mrc_header(path)
    count = header.counts[0] * header.counts[1] * header.counts[2]
    flat = map_values(path, header.data_offset, count, header.dtype)
    # Masks that other programs wrote under a header of IMOD's keep the flag, and no value below 0.
    if header.is_shifted and flat.view(np.int8).min() < 0:
        flat = np.bitwise_xor(flat.view(np.uint8), np.uint8(0x80))
    stored = flat.reshape(header.counts[::-1])
    # The stored array is [section, row, column]; put its axes where x, y and z belong.
    position = [2 - header.axes.index(axis) for axis in range(3)]
    return Volume(path, stored.transpose(position), header.sampling, slow_axis=header.axes[2])


def read_mrc_header(path: FilePath) -> MrcHeader:
    """Read and check the header.

    Raises
    ------
    FormatError
        If it is no MRC header.
    """
    head = read_head(path, HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise FormatError(path, f"{len(head)} bytes are too few for an MRC header (1024)")
    is_marked = head[208:211] == b"MAP" or not head[208:212].strip(b"\0 ")
    order = _byte_order(path, head if is_marked else head[:208] + bytes(816))
    words = struct.unpack(order + "10i6f3i3f2i", head[:96])
    counts, mode, intervals, cell = words[:3], words[3], words[7:10], words[10:13]
    if min(counts) < 1 or max(counts) > 2**31 - 1:
        raise FormatError(path, f"the volume has {' x '.join(map(str, counts))} voxels")
    if mode not in MODES:
        raise FormatError(path, f"mode {mode}, one of {sorted(MODES)} is expected")
    if words[23] < 0:
        raise FormatError(path, f"an extended header of {words[23]} bytes")
    dtype = _dtype(head, mode, order, words[19:21])
    if not is_marked:
        _check_length(path, head, HEADER_BYTES + words[23] + math.prod(counts) * dtype.itemsize)
    axes = _axes(words[16:19])
    _warn_about_sections(path, counts, intervals)
    return MrcHeader(
        counts=counts,
        axes=axes,
        dtype=dtype,
        sampling=_sampling(path, cell, intervals),
        data_offset=HEADER_BYTES + words[23],
        is_shifted=mode == 0 and _imod_flags(head, order) & _IMOD_SIGNED != 0,
    )


def _imod_flags(head: bytes, order: str) -> int:
    """Return the flags of a file by IMOD, none of others."""
    stamp, flags = struct.unpack(order + "2i", head[152:160])
    return flags if stamp == _IMOD_STAMP else 0


def _dtype(
    head: bytes, mode: int, order: Literal["<", ">"], limits: tuple[float, ...]
) -> np.dtype[Any]:
    """Tell the type of the values: bytes are signed in MRC2014 and unsigned in IMOD."""
    is_imod = struct.unpack(order + "i", head[152:156])[0] == _IMOD_STAMP
    smallest, largest = limits
    is_beyond = 0 <= smallest < largest and _SIGNED_BYTE_LIMIT < largest <= 255
    if mode == 0 and (is_imod or is_beyond):
        return np.dtype(np.uint8)
    return MODES[mode].newbyteorder(order)


def _check_length(path: FilePath, head: bytes, expected: int) -> None:
    """Accept a header whose mark is rubbish, as Amira writes it, where the file's length fits."""
    mark = head[208:212]
    with open_stream(path) as stream:
        found = stream.seek(0, 2)
    if found != expected:
        raise FormatError(
            path,
            f"no MRC file: bytes 208-211 are {mark!r}, not 'MAP ', and it has {found} bytes, "
            f"not the {expected} of its header",
        )
    logger.warning(
        "%s: bytes 208-211 are %r, not 'MAP '; all else fits an MRC file, as Amira writes it",
        path,
        mark,
    )


def read_mrc_dtype(path: FilePath) -> type[np.generic] | None:
    """Tell the type of the values.

    Parameters
    ----------
    path : str or path-like
        Any file.

    Returns
    -------
    type or None
        NumPy scalar type, e.g. ``numpy.float32``; None if the file is no MRC or its mode is
        unknown.
    """
    try:
        return read_mrc_header(path).dtype.type
    except FormatError:
        return None


def _byte_order(path: FilePath, head: bytes) -> Literal["<", ">"]:
    stamp = head[212:214]
    if stamp in (b"\x44\x44", b"\x44\x41"):
        return "<"
    if stamp == b"\x11\x11":
        return ">"
    # Without a usable stamp, the order in which the column axis is one of three.
    if struct.unpack("<i", head[64:68])[0] in (1, 2, 3):
        return "<"
    if struct.unpack(">i", head[64:68])[0] in (1, 2, 3):
        return ">"
    raise FormatError(path, f"machine stamp {stamp!r} and column axis tell no byte order")


def _axes(stored: tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = stored if sorted(stored) == [1, 2, 3] else (1, 2, 3)
    return (x - 1, y - 1, z - 1)


def _sampling(
    path: FilePath, cell: tuple[float, ...], intervals: tuple[int, ...]
) -> tuple[float, float, float]:
    if not np.all(np.isfinite(cell)) or min(cell) < 0:
        raise FormatError(path, f"cell lengths {cell}")
    x, y, z = (c / n if c and n > 0 else 1.0 for c, n in zip(cell, intervals, strict=True))
    return (x, y, z)


def _warn_about_sections(
    path: FilePath, counts: tuple[int, ...], intervals: tuple[int, ...]
) -> None:
    if intervals[2] == 1 and counts[2] > 1:
        logger.warning(
            "%s: mz is 1 for %d sections; the cell length along z may be that of the whole volume, "
            "and the voxel size then too large by that factor",
            path,
            counts[2],
        )


def write_mrc(path: Path, density: Density) -> None:
    """Write a volume as MRC2014, little-endian.

    Parameters
    ----------
    path : Path
        Target, not compressed.
    density : Density
        Values of a type that `MODES` has.
    """
    with path.open("wb") as target:
        target.write(
            mrc_header(
                density.shape,
                density.dtype,
                (density.sampling, density.origin),
                density.statistics(),
            )
        )
        for section in density.sections():
            target.write(section.astype(density.dtype.newbyteorder("<"), copy=False).tobytes())


def mrc_header(
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    place: tuple[tuple[float, float, float], tuple[float, float, float]],
    statistics: tuple[float, float, float, float],
    *,
    notes: Sequence[str] = (),
) -> bytes:
    """Return the header of an MRC2014 file, little-endian.

    Parameters
    ----------
    shape : tuple of int
        Voxels along x, y, z.
    dtype : dtype
        Of the values, one that `MODES` has.
    place : (tuple of float, tuple of float)
        Voxel size, and position of the first voxel, (x, y, z), angstrom.
    statistics : tuple of float
        Smallest, largest and mean value, deviation.
    notes : sequence of str, optional
        Up to nine lines of 80 characters; what is beyond is left out.

    Returns
    -------
    bytes
        1024 of them.
    """
    rate, origin = place
    mode = next(number for number, known in MODES.items() if known == dtype)
    start = [round(o / r) if r else 0 for o, r in zip(origin, rate, strict=True)]
    start = [int(np.clip(value, -(2**31), 2**31 - 1)) for value in start]
    cell = [n * r for n, r in zip(shape, rate, strict=True)]
    smallest, largest, mean, deviation = statistics
    head = bytearray(HEADER_BYTES)
    struct.pack_into("<10i6f3i3f2i", head, 0, *shape, mode, *start, *shape, *cell,
                     90.0, 90.0, 90.0, 1, 2, 3, smallest, largest, mean, 1, 0)  # fmt: skip
    struct.pack_into("<i", head, 108, _VERSION)
    struct.pack_into("<3f", head, 196, *origin)
    head[208:216] = b"MAP " + _LITTLE_ENDIAN_STAMP
    struct.pack_into("<f", head, 216, deviation)
    labels = ["written by mosaicflow", *notes][:_MOST_LABELS]
    struct.pack_into("<i", head, 220, len(labels))
    for number, label in enumerate(labels):
        text = label.encode("ascii", "replace")[:_LABEL_BYTES]
        first = 224 + _LABEL_BYTES * number
        head[first : first + len(text)] = text
    return bytes(head)
