"""A measured volume as the specimen, read piece by piece."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.grids import BoundedCache
from mosaicflow.io.tables import natural_order
from mosaicflow.simulation.specimen import VolumeSpecimen

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.simulation.settings import Lattice, Specimen
    from mosaicflow.simulation.specimen import Sliceable

__all__ = ["covering_lattice", "open_specimen"]

# Of planes that neighbouring tiles share (0.5 GiB); halved, they are read again
_CACHED_BYTES = 2**29


@dataclass(frozen=True)
class _PlaneFile:
    """A page of a TIFF file."""

    path: Path
    page: int


@dataclass(frozen=True)
class _Planes:
    """Planes in TIFF files, read when they are needed; some stay in memory."""

    planes: tuple[_PlaneFile, ...]
    shape: tuple[int, ...]
    cache: BoundedCache = field(default_factory=lambda: BoundedCache(_read_plane, _CACHED_BYTES))

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        along_z, along_y, along_x = key
        return np.stack([self._plane(each)[along_y, along_x] for each in self.planes[along_z]])

    def _plane(self, plane: _PlaneFile) -> NDArray[Any]:
        image: NDArray[Any] = self.cache[plane]
        if image.shape != self.shape[1:]:
            raise InputError(
                f"{plane.path}: has shape {image.shape}, expected {self.shape[1:]} as before"
            )
        return image


def _read_plane(plane: _PlaneFile) -> NDArray[Any]:
    import tifffile

    try:
        return np.asarray(tifffile.imread(plane.path, key=plane.page))
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError) as error:
        raise InputError(f"{plane.path}: cannot be read as a TIFF image ({error})") from error


def open_specimen(options: Specimen) -> VolumeSpecimen:
    """Open the volume that `options` names.

    Raises
    ------
    InputError
        If it is absent, or is no 3D volume in one of the formats read here.
    ParameterError
        If the voxel spacing is neither given nor in the file.
    """
    path = options.volume
    if path is None:
        raise ParameterError("no volume was given", remedy="name one with --volume")
    volume, spacing = _open(path)
    if len(volume.shape) != 3:
        raise InputError(f"{path}: shape {volume.shape} is not that of a volume (z, y, x)")
    spacing = options.volume_spacing_um if min(options.volume_spacing_um) > 0 else spacing
    if spacing is None:
        raise ParameterError(
            f"{path} does not say its voxel spacing",
            remedy="give it with --volume-spacing-um Z Y X",
        )
    white = options.volume_white or _white(volume)
    return VolumeSpecimen(volume, spacing, white, options.agarose)


def _open(path: Path) -> tuple[Sliceable, tuple[float, float, float] | None]:
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix == ".zarr":
        from mosaicflow.io.zarr import open_level

        level = open_level(path)
        z, y, x = (1000 * mm for mm in level.resolution_mm)
        return level, (z, y, x)
    if path.is_dir():
        return _series(path), None
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r"), None
    if path.suffix.lower() in (".tif", ".tiff"):
        return _stack(path), None
    raise InputError(f"{path}: not a TIFF folder, .tif, .npy or .ome.zarr")


def _series(folder: Path) -> _Planes:
    paths = [p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff")]
    paths.sort(key=lambda path: natural_order(path.name))
    if not paths:
        raise InputError(f"{folder}: no TIFF planes in it")
    planes = tuple(_PlaneFile(path, 0) for path in paths)
    return _Planes(planes, (len(planes), *_read_plane(planes[0]).shape))


def _stack(path: Path) -> Sliceable:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            shape = file.series[0].shape
            is_contiguous = file.series[0].dataoffset is not None
    except (tifffile.TiffFileError, struct.error, IndexError) as error:
        raise InputError(f"{path}: cannot be read as a TIFF stack ({error})") from error
    if is_contiguous:
        return tifffile.memmap(path, mode="r")
    return _Planes(tuple(_PlaneFile(path, page) for page in range(shape[0])), shape)


def _white(volume: Sliceable) -> float:
    """Take the 99.9th percentile of a few planes."""
    n_z = volume.shape[0]
    step = max(1, n_z // 16)
    whole = slice(None)
    values = [
        np.percentile(np.asarray(volume[slice(z, z + 1), whole, whole]), 99.9)
        for z in range(step // 2, n_z, step)
    ]
    white = float(np.max(values))
    if not white > 0:
        raise InputError("the given volume is empty: its 99.9th percentile is 0")
    return white


def covering_lattice(lattice: Lattice, specimen: VolumeSpecimen) -> Lattice:
    """Fill in a grid or slice count of 0 so that the whole volume is imaged."""
    n_z, n_y, n_x = specimen.volume.shape
    d_z, d_y, d_x = specimen.spacing_um
    rows, columns = lattice.grid
    keep = 1 - lattice.overlap_fraction

    def tiles(length_um: float, axis: int) -> int:
        tile_um = lattice.tile_shape[axis] * lattice.pitch_um[axis]
        return max(1, math.ceil((length_um - tile_um) / (keep * tile_um) - 1e-9) + 1)

    grid = (rows or tiles(n_y * d_y, 1), columns or tiles(n_x * d_x, 2))
    imaged_um = lattice.tile_shape[0] * lattice.pitch_um[0] - lattice.water_um
    depth = ((n_z - 1) * d_z - imaged_um) / (1000 * lattice.slicing_interval_mm)
    return replace(lattice, grid=grid, n_slices=lattice.n_slices or max(1, math.floor(depth) + 1))
