"""NIfTI-1 and NIfTI-2 volumes, their headers read by nibabel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, library
from mosaicflow.formats.ground.source import map_values, read_head
from mosaicflow.formats.volumes.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.volumes.density import Density

__all__ = ["open_nifti", "write_nifti"]

# Size of the header, its class in nibabel, and where it says that the voxels follow in this file.
_VERSIONS = {
    348: ("Nifti1Header", slice(344, 348), b"n+1\0", b"ni1\0"),
    540: ("Nifti2Header", slice(4, 8), b"n+2\0", b"ni2\0"),
}


def open_nifti(path: FilePath) -> Volume:
    """Open the voxels of a single-file NIfTI as a memory map.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed.

    Returns
    -------
    Volume
        Sampling as stored, in the file's own unit (millimetre, mostly).

    Raises
    ------
    FormatError
        If the header makes no sense, the volume is not 3-D or the file is too short.
    """
    header = _header(path)
    shape = _shape(path, header)
    dtype = _dtype(path, header)
    if dtype.kind not in "biufc":
        raise FormatError(path, f"values of type {dtype} are no single numbers")
    count = shape[0] * shape[1] * shape[2]
    flat = map_values(path, _offset(path, header), count, dtype)
    values = flat.reshape(shape[::-1]).transpose(2, 1, 0)
    return Volume(path, values, _sampling(path, header), scale=_scale(header))


def _header(path: FilePath) -> Any:  # noqa: ANN401  nibabel's headers have no useful type
    nibabel = library("nibabel")
    head = read_head(path, max(_VERSIONS))
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    found = sizes.intersection(_VERSIONS)
    if not found:
        raise FormatError(path, "no NIfTI file: its first number is neither 348 nor 540")
    name, place, single, separate = _VERSIONS[found.pop()]
    if head[place] == separate:
        raise FormatError(path, "the voxels are in a separate .img file, a single .nii is expected")
    if head[place] != single:
        raise FormatError(path, f"no NIfTI file: its magic bytes are {head[place]!r}")
    try:
        # Its checks only warn, or silently mend; ours follow.
        return getattr(nibabel, name).from_fileobj(io.BytesIO(head), check=False)
    except Exception as error:
        raise FormatError(path, f"no readable NIfTI header ({error!r:.200})") from error


def _shape(path: FilePath, header: Any) -> tuple[int, int, int]:  # noqa: ANN401
    try:
        stored = [int(n) for n in header.get_data_shape()]
    except Exception as error:
        raise FormatError(path, f"the header has no shape ({error!r:.200})") from error
    # Files of one volume may still count one time point.
    while len(stored) > 3 and stored[-1] == 1:
        stored.pop()
    stored += [1] * (3 - len(stored))
    if len(stored) != 3 or min(stored) < 1:
        raise FormatError(path, f"a volume of shape {tuple(stored)}, 3 axes are expected")
    return (stored[0], stored[1], stored[2])


def _offset(path: FilePath, header: Any) -> int:  # noqa: ANN401
    offset = float(header["vox_offset"])
    if not 0 <= offset < 2**62:
        raise FormatError(path, f"voxels at byte {offset}")
    # 0 stands for "right after the header".
    return int(offset) or int(header.single_vox_offset)


def _dtype(path: FilePath, header: Any) -> np.dtype[Any]:  # noqa: ANN401
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except Exception as error:
        raise FormatError(path, f"data type code {header['datatype']}") from error
    return dtype


def _sampling(path: FilePath, header: Any) -> tuple[float, float, float]:  # noqa: ANN401
    zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    if not np.all(np.isfinite(zooms)):
        raise FormatError(path, f"voxel sizes {zooms}")
    x, y, z = (zoom or 1.0 for zoom in zooms)
    return (x, y, z)


def _scale(header: Any) -> tuple[float, float]:  # noqa: ANN401
    """Slope and intercept; the values stay as stored where the slope is 0 or 1."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope in (0.0, 1.0) and intercept in (0.0, -0.0):
        return (1.0, 0.0)
    if slope == 0.0 or not np.isfinite(slope):
        return (1.0, 0.0)
    return (slope, intercept if np.isfinite(intercept) else 0.0)


def write_nifti(path: Path, density: Density) -> None:
    """Write a volume as NIfTI-1.

    Parameters
    ----------
    path : Path
        Target, not compressed.
    density : Density
        Voxel size and origin go to the affine.
    """
    nibabel = library("nibabel")
    header = nibabel.Nifti1Header()
    header.set_data_dtype(density.dtype)
    header.set_data_shape(density.shape)
    affine = np.diag([*density.sampling, 1.0])
    affine[:3, 3] = density.origin
    header.set_qform(affine, code="aligned")
    header.set_sform(affine, code="aligned")
    header.set_data_offset(352)
    header["magic"] = b"n+1"
    header["scl_slope"] = 1.0
    header["scl_inter"] = 0.0
    with path.open("wb") as target:
        target.write(header.binaryblock)
        # Four bytes that say that no extension follows.
        target.write(bytes(4))
        for section in density.sections():
            target.write(section.astype(header.get_data_dtype(), copy=False).tobytes())
