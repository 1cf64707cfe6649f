"""Reading and writing volumes by extension."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryDataContainer
from mosaicflow.formats.ground.source import existing_file, extension_of
from mosaicflow.formats.volumes.density import Density, as_triple, exact_dtype
from mosaicflow.formats.volumes.em import open_em, read_em_header, write_em
from mosaicflow.formats.volumes.hdf5 import open_hdf5, write_hdf5
from mosaicflow.formats.volumes.mrc import open_mrc, read_mrc_header, write_mrc
from mosaicflow.formats.volumes.nifti import open_nifti, write_nifti
from mosaicflow.formats.volumes.nrrd import open_nrrd, write_nrrd
from mosaicflow.formats.volumes.volume import (
    MAX_CLUSTER,
    Volume,
    count_distinct,
    label_points,
    require_labels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = [
    "VOLUME_EXTENSIONS",
    "is_likely_density_map",
    "is_volume_file",
    "open_volume",
    "read_density_header",
    "read_volume",
    "write_density",
]

_OPENERS: dict[str, Callable[[FilePath], Volume]] = {
    "mrc": open_mrc,
    "map": open_mrc,
    "em": open_em,
    "nrrd": open_nrrd,
    "nhdr": open_nrrd,
    "nii": open_nifti,
}
VOLUME_EXTENSIONS = ("mrc", "map", "em", "h5", "nrrd", "nhdr", "nii")
_HEADER_READERS: dict[str, Callable[[FilePath], Any]] = {
    "mrc": read_mrc_header,
    "map": read_mrc_header,
    "em": read_em_header,
}
# What each format can hold, smallest integers first.
_WRITABLE: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "em": (write_em, ("i1", "i2", "i4", "f4", "f8", "c8")),
    "h5": (
        write_hdf5,
        ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"),
    ),
    "nii": (
        write_nifti,
        ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"),
    ),
    "nrrd": (write_nrrd, ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")),
    "mrc": (write_mrc, ("i1", "i2", "u2", "f2", "f4", "c8")),
}


@contextlib.contextmanager
def open_volume(path: FilePath) -> Iterator[Volume]:
    """Open a volume for as long as the block runs; its voxels stay on disk.

    Parameters
    ----------
    path : str or path-like
        mrc, map, em, h5, nrrd or nii, plain or compressed.

    Yields
    ------
    Volume

    Raises
    ------
    FormatError
        If the file does not follow its format.
    """
    existing_file(path)
    extension = extension_of(path)
    if extension == "h5":
        with open_hdf5(path) as volume:
            yield volume
    elif extension in _OPENERS:
        yield _OPENERS[extension](path)
    else:
        raise ValueError(
            f"{path}: '{extension}' is no volume format, use {', '.join(VOLUME_EXTENSIONS)}"
        )


def read_volume(path: FilePath, *, max_cluster: int = MAX_CLUSTER) -> GeometryDataContainer:
    """Read the labels of a segmentation as point clouds.

    Parameters
    ----------
    path : str or path-like
        mrc, map, em, h5, nrrd or nii, plain or compressed.
    max_cluster : int
        Most distinct values of a segmentation.

    Returns
    -------
    GeometryDataContainer
        One entity for each value but 0 and NaN, ascending: voxel indices (x, y, z), property
        ``label``. Shape is the volume's, sampling the voxel size.

    Raises
    ------
    NotASegmentationError
        If more than `max_cluster` values are distinct among at most 125000 sampled voxels.
    FormatError
        If the file does not follow its format.
    """
    with open_volume(path) as volume:
        require_labels(volume, max_cluster)
        labels, points = label_points(volume)
        dtype = volume.slab(0, 1).dtype.newbyteorder("=")
        return GeometryDataContainer(
            vertices=points,
            vertex_properties=[
                VertexPropertyContainer({"label": np.full(len(cloud), label, dtype=dtype)})
                for label, cloud in zip(labels, points, strict=True)
            ],
            shape=np.array(volume.shape, dtype=np.float32),
            sampling=volume.sampling,
        )


def is_volume_file(path: FilePath) -> bool:
    """Tell from the extension alone whether a file is a volume."""
    return extension_of(path) in VOLUME_EXTENSIONS


def is_likely_density_map(path: FilePath, max_cluster: int = MAX_CLUSTER) -> bool:
    """Tell whether a volume is a density rather than a segmentation.

    Parameters
    ----------
    path : str or path-like
        Any file; what is no volume by its extension is no density.
    max_cluster : int
        Most distinct values of a segmentation.

    Returns
    -------
    bool
        True for an MRC of floats or complex numbers, of which no voxel is read.

    Raises
    ------
    FormatError
        If a volume does not follow its format.
    """
    if not is_volume_file(path):
        return False
    existing_file(path)
    if extension_of(path) in ("mrc", "map") and read_mrc_header(path).dtype.kind in "fc":
        return True
    with open_volume(path) as volume:
        if volume.values.dtype.kind == "c":
            return True
        return bool(count_distinct(volume) > max_cluster)


def read_density_header(
    path: FilePath,
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Read size and voxel size without the voxels.

    Parameters
    ----------
    path : str or path-like
        mrc, map, em, h5, nrrd or nii, plain or compressed.

    Returns
    -------
    shape : tuple of int
        Voxels along x, y, z.
    sampling : tuple of float
        Voxel size along x, y, z in the file's unit, angstrom where the format names one.

    Raises
    ------
    FormatError
        If the file does not follow its format.
    """
    existing_file(path)
    reader = _HEADER_READERS.get(extension_of(path))
    if reader is not None:
        header = reader(path)
        return header.shape, header.sampling
    with open_volume(path) as volume:
        return volume.shape, volume.sampling


def write_density(
    data: NDArray[Any],
    filename: FilePath,
    sampling_rate: ArrayLike = 1,
    origin: ArrayLike = 0,
    *,
    file_format: str | None = None,
) -> None:
    """Write a volume; the extension picks the format, MRC where it names none.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz)
        Indexed [x, y, z]; may be a memory map. Integers go to the smallest type of the format that
        holds every value exactly.
    filename : str or path-like
        Target: em, h5, nii, nrrd, anything else is MRC; a final ``.gz`` or ``.bz2`` compresses.
    sampling_rate, origin : float or (x, y, z)
        Voxel size and position of the first voxel, angstrom. EM holds neither the origin nor
        voxels of unequal sides; a `UserWarning` tells of the latter.
    file_format : str, optional
        em, h5, nii, nrrd, anything else is MRC; from the extension if not given.

    Raises
    ------
    ValueError
        If `data` is not 3-D, empty or masked, the voxel size is negative, or the format cannot hold
        the values exactly.
    """
    if isinstance(data, np.ma.MaskedArray):
        raise ValueError("data is masked, which no format can hold: fill it first")
    values = np.asarray(data)
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"data has shape {values.shape}, 3-D [x, y, z] is expected")
    extension = extension_of(filename) if file_format is None else file_format.lower()
    writer, possible = _WRITABLE.get(extension, _WRITABLE["mrc"])
    density = Density(
        values,
        exact_dtype(values, possible),
        as_triple(sampling_rate, "sampling_rate", smallest=0),
        as_triple(origin, "origin"),
    )
    with finished_file(filename) as draft:
        writer(draft, density)
