"""OME-TIFF, plain TIFF stacks, and folders of TIFF planes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError
from mosaicflow.io.convert.volume import VolumeSource, finished_path, storable_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["open_tiff", "open_tiff_series", "write_ome_tiff", "write_tiff_series"]

_MM_PER_UNIT = {"nm": 1e-6, "\u00b5m": 1e-3, "\u03bcm": 1e-3, "um": 1e-3, "mm": 1.0, "cm": 10.0}


def open_tiff(path: Path) -> VolumeSource:
    """Open an OME-TIFF or a stack of pages as (z, y, x).

    Parameters
    ----------
    path : Path
        File with one image of one channel; the pixel size comes from its OME metadata.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape = tuple(n for n in series.shape if n != 1) or (1,)
            axes = "".join(a for a, n in zip(series.axes, series.shape, strict=True) if n != 1)
            pitch = _ome_pitch(file.ome_metadata)
            keep = series.shape[-3:] if len(series.shape) >= 3 else series.shape
    except (tifffile.TiffFileError, ValueError, IndexError) as error:
        raise FormatError(f"{path}: not a readable TIFF file ({error})") from error
    if len(shape) > 3 or "S" in axes or "C" in axes or "T" in axes:
        raise FormatError(f"{path}: found axes {axes} of {shape}, expected z, y, x of one channel")
    planes = (keep[0] if len(keep) == 3 else 1, *keep[-2:])
    dtype = storable_dtype(np.dtype(series.dtype))

    def read(start: int, stop: int) -> NDArray[Any]:
        part = tifffile.imread(path, key=range(start, stop), series=0)
        return np.asarray(part).reshape(stop - start, *planes[1:]).astype(dtype)

    return VolumeSource(planes, dtype, pitch, read)


def open_tiff_series(folder: Path) -> VolumeSource:
    """Open a folder of TIFF planes, in the order of the numbers in their names, as (z, y, x).

    Parameters
    ----------
    folder : Path
        Folder with one plane per file, all of one shape and type.
    """
    import tifffile

    files = sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in {".tif", ".tiff"}), key=_order
    )
    if not files:
        raise FormatError(f"{folder}: holds no TIFF files")
    first = tifffile.imread(files[0])
    if first.ndim != 2:
        raise FormatError(f"{files[0]}: found shape {first.shape}, expected one plane")
    dtype = storable_dtype(first.dtype)

    def read(start: int, stop: int) -> NDArray[Any]:
        planes = [tifffile.imread(file) for file in files[start:stop]]
        for file, plane in zip(files[start:stop], planes, strict=True):
            if (plane.shape, plane.dtype) != (first.shape, first.dtype):
                raise FormatError(
                    f"{file}: found {plane.shape} {plane.dtype}, expected {first.shape}"
                    f" {first.dtype} as in {files[0].name}"
                )
        return np.stack(planes).astype(dtype)

    return VolumeSource((len(files), *first.shape), dtype, None, read)


def write_ome_tiff(output: Path, source: VolumeSource, resolution_mm: Sequence[float]) -> None:
    """Write a volume as OME-TIFF with its pixel size, plane by plane.

    Parameters
    ----------
    output : Path
        File to write.
    source : VolumeSource
        Axes (z, y, x).
    resolution_mm : sequence of float
        Pitch per axis, (z, y, x).
    """
    import tifffile

    z_um, y_um, x_um = (round(1000 * value, 9) for value in resolution_mm)
    metadata = {"axes": "ZYX", "PhysicalSizeX": x_um, "PhysicalSizeY": y_um, "PhysicalSizeZ": z_um}
    units = {f"PhysicalSize{axis}Unit": "\u00b5m" for axis in "XYZ"}
    large = int(np.prod(source.shape, dtype=np.int64)) * source.dtype.itemsize > 2**31
    with (
        finished_path(output) as partial,
        tifffile.TiffWriter(partial, ome=True, bigtiff=large) as file,
    ):
        file.write(
            _planes(source),
            shape=source.shape,
            dtype=source.dtype,
            photometric="minisblack",
            metadata={**metadata, **units},
        )


def write_tiff_series(folder: Path, source: VolumeSource) -> None:
    """Write every plane of a volume as a TIFF file of its own.

    Parameters
    ----------
    folder : Path
        New folder; the files are `plane_0000.tif` and so on.
    source : VolumeSource
        Axes (z, y, x).
    """
    import tifffile

    partial = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digits = max(4, len(str(source.shape[0] - 1)))
    for number, plane in enumerate(_planes(source)):
        tifffile.imwrite(partial / f"plane_{number:0{digits}d}.tif", plane)
    partial.rename(folder)


def _planes(source: VolumeSource) -> Iterator[NDArray[Any]]:
    for _, slab in source.slabs():
        yield from slab


def _order(path: Path) -> tuple[tuple[int, ...], str]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem)), path.name


def _ome_pitch(text: str | None) -> tuple[float, ...] | None:
    if not text:
        return None
    found = []
    for axis in "ZYX":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', text)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text)
        factor = _MM_PER_UNIT.get(unit.group(1) if unit else "\u00b5m")
        if size is None or factor is None:
            return None
        found.append(float(size.group(1)) * factor)
    return tuple(found)
