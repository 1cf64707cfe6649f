"""OME-TIFF, plain TIFF stacks, and folders of TIFF planes."""

from __future__ import annotations

import re
import shutil
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, install_extra
from mosaicflow.io.convert.volume import (
    RawVoxels,
    VolumeSource,
    finished_path,
    spool_file,
)
from mosaicflow.io.tiff_pages import describe_tiff, open_tiff, own_series
from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.errors import OmeZarrWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import tifffile
    from numpy.typing import NDArray

__all__ = ["opened_tiff", "opened_tiff_series", "write_ome_tiff", "write_tiff_series"]

# As for other axes of which a file says nothing.
_UNKNOWN_DEPTH_UM = 1.0


@dataclass(frozen=True)
class _Pixels:
    """The voxels of an open file as (z, y, x), and how it keeps them."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read: Callable[[grid.Region], NDArray[Any]]
    in_strips: bool
    resolution_mm: tuple[float, ...] | None

    def source(self) -> VolumeSource:
        dtype = self.dtype.newbyteorder("=")
        return VolumeSource(
            self.shape,
            dtype,
            self.chunks,
            lambda region: self.read(region).astype(dtype, copy=False),
            self.resolution_mm,
        )

    def unpack(self, raw: RawVoxels, plane: int = 0) -> None:
        """Write all voxels where they are found in any order, the first at a plane."""
        for region in grid.regions(self.shape, self.chunks):
            z, *lateral = region
            raw[slice(z.start + plane, z.stop + plane), *lateral] = self.read(region)


@contextmanager
def opened_tiff(path: Path, spool: Path) -> Iterator[VolumeSource]:
    """Open an OME-TIFF or a stack of pages as (z, y, x).

    Parameters
    ----------
    path : Path
        File with one image of one channel; the pixel size comes from its OME metadata.
    spool : Path
        Folder with room for the voxels. Compressed strips, of which any box needs whole rows, are
        unpacked there first.
    """
    with _opened_pixels(path) as pixels:
        if not pixels.in_strips:
            yield pixels.source()
            return
        with spool_file(spool) as file:
            raw = RawVoxels(file, pixels.dtype, pixels.shape)
            raw.allocate()
            pixels.unpack(raw)
            yield _raw_pixels(raw, pixels.resolution_mm).source()


@contextmanager
def opened_tiff_series(folder: Path, spool: Path) -> Iterator[VolumeSource]:
    """Open a folder of TIFF planes, in the order of the numbers in their names, as (z, y, x).

    Parameters
    ----------
    folder : Path
        Folder with one plane per file, all of one shape and type.
    spool : Path
        Folder with room for the voxels: every file is opened once and unpacked there.
    """
    files = sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in {".tif", ".tiff"}), key=_order
    )
    if not files:
        raise FormatError(f"{folder}: holds no TIFF files")
    with _opened_pixels(files[0]) as first:
        if first.shape[0] != 1:
            raise FormatError(f"{files[0]}: found shape {first.shape}, expected one plane")
    with spool_file(spool) as raw_path:
        raw = RawVoxels(raw_path, first.dtype, (len(files), *first.shape[1:]))
        raw.allocate()
        for number, file in enumerate(files):
            with _opened_pixels(file) as pixels:
                if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
                    raise FormatError(
                        f"{file}: found {pixels.shape[1:]} {pixels.dtype}, expected"
                        f" {first.shape[1:]} {first.dtype} as in {files[0].name}"
                    )
                pixels.unpack(raw, number)
        yield _raw_pixels(raw, None).source()


@contextmanager
def _opened_pixels(path: Path) -> Iterator[_Pixels]:
    import tifffile

    with ExitStack() as stack:
        try:
            pixels = _pixels_of(stack.enter_context(open_tiff(path)), path, stack)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        except (tifffile.TiffFileError, IndexError, KeyError) as error:
            raise FormatError(f"{path}: not a readable TIFF file ({error})") from error
        yield pixels


def _pixels_of(file: tifffile.TiffFile, path: Path, stack: ExitStack) -> _Pixels:
    import zarr

    image = describe_tiff(file)
    series = own_series(file)
    layout = image.layout
    if layout.channel:
        raise FormatError(
            f"found axes {layout.axes} of {layout.shape}, expected z, y, x of one channel",
            remedy="save the channel that is meant as a file of its own",
        )
    for note in image.notes:
        warnings.warn(f"{path}: {note}", OmeZarrWarning, stacklevel=4)
    shape = tuple(layout.extent(letter) for letter in (layout.depth, "Y", "X"))
    pitch = _in_mm(image.pitch_um, shape, path)
    if series.dataoffset is not None and layout.axes.endswith("YX"):
        dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
        return _raw_pixels(RawVoxels(path, dtype, shape, series.dataoffset), pitch)
    array: Any = zarr.open(stack.enter_context(series.aszarr(level=0)), mode="r")

    def read(region: grid.Region) -> NDArray[Any]:
        inside = dict(zip((layout.depth or "-", "Y", "X"), region, strict=True))
        key = tuple(inside.get(axis, slice(None)) for axis in layout.axes)
        extent = tuple(part.stop - part.start for part in region)
        try:
            part = np.asarray(array[key])
        except Exception as error:  # any codec may fail in its own way
            is_missing = "requires the 'imagecodecs' package" in str(error)
            raise FormatError(
                f"{path}: cannot decode {grid.show(region)} ({error})",
                remedy=f"install the extra: {install_extra('images')}" if is_missing else "",
            ) from error
        return replace(layout, shape=part.shape).planes(part, ("grey",)).reshape(extent)

    sizes = dict(zip(layout.axes, array.chunks, strict=True))
    chunks = (int(sizes.get(layout.depth, 1)), int(sizes["Y"]), int(sizes["X"]))
    in_strips = not series.keyframe.is_tiled
    return _Pixels(shape, np.dtype(series.dtype), chunks, read, in_strips, pitch)


def _in_mm(
    pitch_um: Sequence[float | None], shape: tuple[int, ...], path: Path
) -> tuple[float, ...] | None:
    z_um, y_um, x_um = pitch_um
    if y_um is None or x_um is None:
        return None
    if z_um is None and shape[0] > 1:
        warnings.warn(
            f"{path}: gives no distance of planes; {_UNKNOWN_DEPTH_UM:g} um is assumed"
            " (--resolution sets it)",
            OmeZarrWarning,
            stacklevel=5,
        )
        z_um = _UNKNOWN_DEPTH_UM
    return tuple(round(um / 1000, 15) for um in (y_um if z_um is None else z_um, y_um, x_um))


def _raw_pixels(raw: RawVoxels, pitch: tuple[float, ...] | None) -> _Pixels:
    return _Pixels(raw.shape, raw.dtype, (1, 1, raw.shape[-1]), raw.__getitem__, False, pitch)


def write_ome_tiff(output: Path, source: VolumeSource, resolution_mm: Sequence[float]) -> None:
    """Write a volume as OME-TIFF with its pixel size, box by box.

    Parameters
    ----------
    output : Path
        File to write.
    source : VolumeSource
        Axes (z, y, x).
    resolution_mm : sequence of float
        Pitch per axis, (z, y, x).
    """
    z_um, y_um, x_um = (round(1000 * value, 9) for value in resolution_mm)
    metadata = {"axes": "ZYX", "PhysicalSizeX": x_um, "PhysicalSizeY": y_um, "PhysicalSizeZ": z_um}
    units = {f"PhysicalSize{axis}Unit": "\u00b5m" for axis in "XYZ"}
    with finished_path(output) as partial:
        raw = _empty_tiff(partial, source.shape, source.dtype, metadata | units)
        for region in source.regions():
            raw[region] = source.read(region)


def write_tiff_series(folder: Path, source: VolumeSource) -> None:
    """Write every plane of a volume as a TIFF file of its own.

    Parameters
    ----------
    folder : Path
        New folder; the files are `plane_0000.tif` and so on.
    source : VolumeSource
        Axes (z, y, x).
    """
    partial = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digits = max(4, len(str(source.shape[0] - 1)))
    planes = [
        _empty_tiff(partial / f"plane_{number:0{digits}d}.tif", source.shape[1:], source.dtype)
        for number in range(source.shape[0])
    ]
    for region in source.regions():
        z, *lateral = region
        for plane, voxels in zip(planes[z], source.read(region), strict=True):
            plane[tuple(lateral)] = voxels
    partial.rename(folder)


def _empty_tiff(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    ome: dict[str, object] | None = None,
) -> RawVoxels:
    """Make a file of plain voxels, which are then filled in any order."""
    import tifffile

    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    mapped = tifffile.memmap(
        path,
        shape=shape,
        dtype=dtype,
        photometric="minisblack",
        bigtiff=size > 2**31,
        ome=ome is not None,
        metadata=ome or {},
    )
    return RawVoxels(path, dtype.newbyteorder(mapped.dtype.byteorder), shape, int(mapped.offset))


def _order(path: Path) -> tuple[tuple[int, ...], str]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem)), path.name
