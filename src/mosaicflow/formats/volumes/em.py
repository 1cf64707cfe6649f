"""EM files of the TOM toolbox and its relatives."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import compression_of, map_values, read_head
from mosaicflow.formats.volumes.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.volumes.density import Density

__all__ = ["HEADER_BYTES", "TYPES", "open_em", "read_em_header", "write_em"]

HEADER_BYTES = 512  # by the format
# 6 is a PC; 3 and 5 are the workstations that wrote the high byte first.
_BYTE_ORDERS: dict[int, Literal["<", ">"]] = {6: "<", 3: ">", 5: ">"}
# Codes of the format (byte 3 of the header).
TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.int8),
    2: np.dtype(np.int16),
    4: np.dtype(np.int32),
    5: np.dtype(np.float32),
    8: np.dtype(np.complex64),
    9: np.dtype(np.float64),
}
# Numbers the format does not define but that are written in the wild.
_UNOFFICIAL: dict[int, np.dtype[Any]] = {3: np.dtype(np.int32), 6: np.dtype(np.float64)}
# Bytes into the header, where the format keeps a pixel's size; its code of a PC.
_PIXEL_SIZE_OFFSET = 120
_PC = 6


@dataclass(frozen=True, slots=True)
class EmHeader:
    """Size (x, y, z), type with byte order, and voxel size of an EM file."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    sampling: tuple[float, float, float]


def open_em(path: FilePath) -> Volume:
    """Open the voxels of an EM file as a memory map.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed.

    Returns
    -------
    Volume

    Raises
    ------
    FormatError
        If the header makes no sense or the file is too short for it.
    """
    header = read_em_header(path)
    n_x, n_y, n_z = header.shape
    flat = map_values(path, HEADER_BYTES, n_x * n_y * n_z, header.dtype)
    return Volume(path, flat.reshape(n_z, n_y, n_x).transpose(2, 1, 0), header.sampling)


def read_em_header(path: FilePath) -> EmHeader:
    """Read and check the header.

    Raises
    ------
    FormatError
        If it is no EM header.
    """
    head = read_head(path, HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise FormatError(path, f"{len(head)} bytes are too few for an EM header (512)")
    order = _BYTE_ORDERS.get(head[0])
    if order is None:
        raise FormatError(path, f"no EM file: machine code {head[0]}, 3, 5 or 6 is expected")
    x, y, z = struct.unpack(order + "3i", head[4:16])
    if min(x, y, z) < 1:
        raise FormatError(path, f"the volume has {x} x {y} x {z} voxels")
    pixel_size = struct.unpack(order + "i", head[_PIXEL_SIZE_OFFSET : _PIXEL_SIZE_OFFSET + 4])[0]
    if pixel_size < 0:
        raise FormatError(path, f"a pixel size of {pixel_size} / 1000")
    size = pixel_size / 1000 or 1.0
    dtype = _dtype(path, head[3], x * y * z).newbyteorder(order)
    return EmHeader((x, y, z), dtype, (size, size, size))


def _dtype(path: FilePath, code: int, voxels: int) -> np.dtype[Any]:
    if code in TYPES:
        return TYPES[code]
    unofficial = _UNOFFICIAL.get(code)
    if unofficial is None:
        raise FormatError(path, f"type code {code}, one of {sorted(TYPES)} is expected")
    # Believed only if the length agrees, which a compressed file does not tell.
    if not compression_of(path):
        found = _length(path) - HEADER_BYTES
        if found != voxels * unofficial.itemsize:
            raise FormatError(
                path,
                f"type code {code} is undefined, and {found} bytes are not {unofficial} x {voxels}",
            )
    return unofficial


def _length(path: FilePath) -> int:
    with open(path, "rb") as stream:
        return stream.seek(0, 2)


def write_em(path: Path, density: Density) -> None:
    """Write a volume as EM, little-endian.

    Parameters
    ----------
    path : Path
        Target, not compressed.
    density : Density
        Values of a type that `TYPES` has. The format has one voxel size, in 1/1000: x's is
        written, with a `UserWarning` if the others differ.

    Raises
    ------
    ValueError
        If the voxel size is too small or too large for the format.
    """
    size = density.sampling[0]
    thousandths = round(size * 1000)
    if thousandths >= 2**31 or (size > 0 and thousandths == 0):
        raise ValueError(f"{path.name}: EM cannot hold a voxel size of {size}, use h5 or mrc")
    # Headers store float32 cell lengths, so equal voxel sizes may differ in the last digits.
    if not np.allclose(density.sampling, size, rtol=1e-5, atol=0):
        warnings.warn(
            f"{path.name}: EM has one voxel size, {size} is written for {density.sampling}",
            stacklevel=3,
        )
    head = bytearray(HEADER_BYTES)
    head[0] = _PC
    head[3] = next(number for number, dtype in TYPES.items() if dtype == density.dtype)
    struct.pack_into("<3i", head, 4, *density.shape)
    struct.pack_into("<i", head, _PIXEL_SIZE_OFFSET, thousandths)
    with path.open("wb") as target:
        target.write(head)
        for section in density.sections():
            target.write(section.astype(density.dtype.newbyteorder("<"), copy=False).tobytes())
