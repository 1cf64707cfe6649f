"""OME-TIFF with a pyramid: every plane again at half the size, as a SubIFD of the plane."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.convert.volume import RawVoxels, VolumeSource, finished_path, spool_file
from mosaicflow.threads import iterate_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import Region

__all__ = ["halved", "write_pyramidal_tiff"]

# Side of a tile [px]: usual in pyramidal TIFF. A viewer of 1000 px reads some 25 of them; twice the
# side would read up to 2 x as many pixels for the same view.
_TILE_PX = 256
# The smallest level fits on a small screen; one more would show nothing of the specimen.
_SMALLEST_PX = 512
# zlib at its fastest: of speckle in float32 the usual level 6 takes 0.4 % off, at 1.1 x the time.
_ZLIB_LEVEL = 1


def write_pyramidal_tiff(
    output: Path,
    source: VolumeSource,
    place_um: tuple[Sequence[float], Sequence[float]],
    *,
    threads: int = 1,
) -> None:
    """Write a volume as pyramidal OME-TIFF, a strip of tiles at a time.

    Parameters
    ----------
    output : Path
        File to write, ``.ome.tif``; beside it lie the plain voxels for a while.
    source : VolumeSource
        Axes (z, y, x).
    place_um : (sequence of float, sequence of float)
        Pitch, and position of the first voxel's centre, (z, y, x).
    threads : int
        Tiles compressed at the same time.
    """
    import tifffile

    shapes = [source.shape]
    while max(shapes[-1][1:]) > _SMALLEST_PX:
        n_z, n_y, n_x = shapes[-1]
        shapes.append((n_z, -(-n_y // 2), -(-n_x // 2)))
    with (
        finished_path(output) as partial,
        tifffile.TiffWriter(partial, bigtiff=True, ome=True) as file,
        contextlib.ExitStack() as spools,
    ):
        level = source
        for number, shape in enumerate(shapes):
            raw = RawVoxels(
                spools.enter_context(spool_file(output.parent)), source.dtype, tuple(shape)
            )
            full, noted = _noting(level)
            raw.fill(noted)
            place = _place_of_level(number, len(shapes) - 1, source, place_um)
            if not number:
                place["metadata"]["UUID"] = _identity(raw, place["metadata"])
            file.write(
                _encoded_tiles(raw, full, threads),
                shape=shape,
                dtype=source.dtype,
                tile=(_TILE_PX, _TILE_PX),
                photometric="minisblack",
                compression="zlib",
                **place,
            )
            level = halved(raw, full)


def _place_of_level(
    number: int,
    n_smaller: int,
    source: VolumeSource,
    place_um: tuple[Sequence[float], Sequence[float]],
) -> dict[str, Any]:
    if number:
        return {"subfiletype": 1, "metadata": None}
    pitch, origin = ([round(float(value), 9) for value in zyx] for zyx in place_um)
    n_z = source.shape[0]
    metadata: dict[str, Any] = {
        "axes": "ZYX",
        "Description": "; ".join(source.notes),
        "Plane": {
            "PositionX": [origin[2]] * n_z,
            "PositionY": [origin[1]] * n_z,
            "PositionZ": [round(origin[0] + plane * pitch[0], 9) for plane in range(n_z)],
            **{f"Position{axis}Unit": ["\u00b5m"] * n_z for axis in "XYZ"},
        },
    }
    for axis, size in zip("ZYX", pitch, strict=True):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}
    return {"subifds": n_smaller, "metadata": metadata}


def _identity(raw: RawVoxels, metadata: dict[str, Any]) -> str:
    """Return what tells this file from others, alike for every engine and on every machine.

    tifffile's own would hold the time and the machine's network address.
    """
    n_z, n_y, n_x = raw.shape
    middle = raw[slice(n_z // 2, n_z // 2 + 1), slice(0, n_y), slice(0, n_x)]
    digest = hashlib.sha256(json.dumps([raw.shape, metadata]).encode())
    digest.update(middle.tobytes())
    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()))


def _noting(source: VolumeSource) -> tuple[NDArray[np.bool_], VolumeSource]:
    """Return a table that tells, once the volume was read, which strips of tiles hold anything.

    Of a sparse volume most are empty, and reading, halving and packing them would take as long as
    of others. The table has one entry for each plane and row of tiles: 20 GB make 5 kB.
    """
    n_z, n_y, _ = source.shape
    full = np.zeros((n_z, -(-n_y // _TILE_PX)), dtype=np.bool_)

    def read(region: Region) -> NDArray[Any]:
        voxels = source.read(region)
        planes, rows = np.nonzero(voxels.any(axis=2))
        full[region[0].start + planes, (region[1].start + rows) // _TILE_PX] = True
        return voxels

    return full, replace(source, read=read)


def _encoded_tiles(raw: RawVoxels, full: NDArray[np.bool_], threads: int) -> Iterator[bytes]:
    """Yield the packed tiles of all planes in the order in which the file has them."""
    n_across = -(-raw.shape[2] // _TILE_PX)
    empty = zlib.compress(bytes(_TILE_PX * _TILE_PX * raw.dtype.itemsize), _ZLIB_LEVEL)

    def encode(strip: tuple[int, ...]) -> list[bytes]:
        if not full[strip]:
            return [empty] * n_across
        tiles = _tiles_of_strip(raw, strip[0], strip[1] * _TILE_PX)
        return [
            zlib.compress(tile.tobytes(), _ZLIB_LEVEL) if tile.any() else empty for tile in tiles
        ]

    with ThreadPoolExecutor(threads, thread_name_prefix="mosaicflow") as pool:
        for packed in iterate_threads(encode, np.ndindex(full.shape), pool, limit=2 * threads):
            yield from packed


def _tiles_of_strip(raw: RawVoxels, z: int, y: int) -> Iterator[NDArray[Any]]:
    _, n_y, n_x = raw.shape
    rows = raw[slice(z, z + 1), slice(y, min(y + _TILE_PX, n_y)), slice(0, n_x)][0]
    width = -(-n_x // _TILE_PX) * _TILE_PX
    strip = np.zeros((_TILE_PX, width), raw.dtype)
    strip[: rows.shape[0], :n_x] = rows
    for x in range(0, width, _TILE_PX):
        yield np.ascontiguousarray(strip[:, x : x + _TILE_PX])


def halved(raw: RawVoxels, full: NDArray[np.bool_] | None = None) -> VolumeSource:
    """Return the planes of a volume at half their size.

    Parameters
    ----------
    raw : RawVoxels
        Axes (z, y, x); zero means no data.
    full : ndarray of bool, shape (planes, rows of tiles), optional
        Where there is anything to read; by default everywhere.

    Returns
    -------
    VolumeSource
        Each pixel the mean of those of its two by two that have data.
    """
    n_z, n_y, n_x = raw.shape
    shape = (n_z, -(-n_y // 2), -(-n_x // 2))

    def read(region: Region) -> NDArray[Any]:
        z, y, x = region
        rows = slice(2 * y.start, min(2 * y.stop, n_y))
        columns = slice(2 * x.start, min(2 * x.stop, n_x))
        tiles = slice(rows.start // _TILE_PX, -(-rows.stop // _TILE_PX))
        found = np.zeros([part.stop - part.start for part in region], raw.dtype)
        for plane in range(z.start, z.stop):
            if full is None or full[plane, tiles].any():
                fine = raw[slice(plane, plane + 1), rows, columns][0]
                found[plane - z.start] = _mean_of_known(fine)
        return found

    return VolumeSource(shape, raw.dtype, (1, _TILE_PX, _TILE_PX), read)


def _mean_of_known(fine: NDArray[Any]) -> NDArray[np.float32]:
    """Halve one plane: each pixel the mean of those of its two by two that are not zero."""
    n_y, n_x = (-(-n // 2) for n in fine.shape)
    total, known = np.zeros((n_y, n_x), np.float32), np.zeros((n_y, n_x), np.float32)
    for y, x in np.ndindex(2, 2):
        part = fine[y::2, x::2]
        at = slice(part.shape[0]), slice(part.shape[1])
        total[at] += part
        known[at] += part != 0
    np.divide(total, np.maximum(known, 1), out=total)
    return total
