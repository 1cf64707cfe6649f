"""OME-TIFF with a pyramid: every plane again at half the size, as a SubIFD of the plane."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.convert.volume import RawVoxels, VolumeSource, finished_path, spool_file

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
            raw.fill(level)
            place = _place_of_level(number, len(shapes) - 1, source, place_um)
            if not number:
                place["metadata"]["UUID"] = _identity(raw, place["metadata"])
            file.write(
                _tiles(raw),
                shape=shape,
                dtype=source.dtype,
                tile=(_TILE_PX, _TILE_PX),
                photometric="minisblack",
                compression="zlib",
                compressionargs={"level": _ZLIB_LEVEL},
                maxworkers=threads,
                **place,
            )
            level = halved(raw)


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


def _tiles(raw: RawVoxels) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes in the order in which the file has them."""
    n_z, n_y, n_x = raw.shape
    for z in range(n_z):
        for y in range(0, n_y, _TILE_PX):
            rows = raw[slice(z, z + 1), slice(y, min(y + _TILE_PX, n_y)), slice(0, n_x)][0]
            width = -(-n_x // _TILE_PX) * _TILE_PX
            strip = np.zeros((_TILE_PX, width), raw.dtype)
            strip[: rows.shape[0], :n_x] = rows
            for x in range(0, width, _TILE_PX):
                yield np.ascontiguousarray(strip[:, x : x + _TILE_PX])


def halved(raw: RawVoxels) -> VolumeSource:
    """Return the planes of a volume at half their size.

    Parameters
    ----------
    raw : RawVoxels
        Axes (z, y, x); zero means no data.

    Returns
    -------
    VolumeSource
        Each pixel the mean of those of its two by two that have data.
    """
    n_z, n_y, n_x = raw.shape

    def read(region: Region) -> NDArray[Any]:
        z, y, x = region
        fine = raw[
            z,
            slice(2 * y.start, min(2 * y.stop, n_y)),
            slice(2 * x.start, min(2 * x.stop, n_x)),
        ]
        return _mean_of_known(fine).astype(raw.dtype, copy=False)

    return VolumeSource((n_z, -(-n_y // 2), -(-n_x // 2)), raw.dtype, (1, _TILE_PX, _TILE_PX), read)


def _mean_of_known(fine: NDArray[Any]) -> NDArray[np.float32]:
    if not fine.any():
        n_z, n_y, n_x = fine.shape
        return np.zeros((n_z, -(-n_y // 2), -(-n_x // 2)), np.float32)
    odd = [(0, n % 2) for n in fine.shape[1:]]
    even = np.pad(fine, ((0, 0), *odd)).astype(np.float32)
    n_z, n_y, n_x = even.shape
    blocks = even.reshape(n_z, n_y // 2, 2, n_x // 2, 2)
    total = blocks.sum(axis=(2, 4))
    known = np.count_nonzero(blocks, axis=(2, 4))
    mean: NDArray[np.float32] = total / np.maximum(known, 1).astype(np.float32)
    return mean
