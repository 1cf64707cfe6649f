"""NIfTI: x fastest, millimetres, the affine a plain scaling."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, MissingExtraError
from mosaicflow.io.convert.volume import VolumeSource, finished_path, storable_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["open_nifti", "write_nifti"]

_MM_PER_UNIT = {"mm": 1.0, "micron": 1e-3, "meter": 1e3, "unknown": 1.0}


def open_nifti(path: Path) -> VolumeSource:
    """Open a NIfTI file as (z, y, x); the orientation part of its affine is not used.

    Parameters
    ----------
    path : Path
        `.nii` or `.nii.gz`, with three axes (further axes of length 1 are dropped).
    """
    nibabel = _nibabel()
    try:
        image = nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as error:
        raise FormatError(f"{path}: not a NIfTI file ({error})") from error
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise FormatError(f"{path}: found shape {shape}, expected three axes")
    proxy, extra = image.dataobj, (0,) * (len(shape) - 3)
    dtype = storable_dtype(np.asarray(proxy[(slice(0, 1),) * 3 + extra]).dtype)
    unit = _MM_PER_UNIT[image.header.get_xyzt_units()[0]]
    zooms = tuple(float(str(z)) * unit for z in image.header.get_zooms()[:3])

    def read(start: int, stop: int) -> NDArray[Any]:
        part = np.asarray(proxy[(slice(None), slice(None), slice(start, stop), *extra)])
        return part.transpose(2, 1, 0).astype(dtype)

    return VolumeSource(shape[2::-1], dtype, (zooms[2], zooms[1], zooms[0]), read)


def write_nifti(output: Path, source: VolumeSource, resolution_mm: Sequence[float]) -> None:
    """Write a volume as NIfTI, slab by slab.

    Parameters
    ----------
    output : Path
        `.nii` or `.nii.gz`.
    source : VolumeSource
        Axes (z, y, x).
    resolution_mm : sequence of float
        Pitch per axis, (z, y, x).
    """
    nibabel = _nibabel()
    pitch_xyz = [float(value) for value in reversed(resolution_mm)]
    header = nibabel.Nifti1Header()
    header.set_data_dtype(source.dtype)
    header.set_data_shape(source.shape[::-1])
    header.set_zooms(pitch_xyz)
    header.set_xyzt_units("mm")
    header.set_sform(np.diag([*pitch_xyz, 1.0]), code="scanner")
    header.set_slope_inter(1.0, 0.0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with finished_path(output) as partial, _opened(partial) as file:
        header.write_to(file)
        for _, slab in source.slabs():
            file.write(np.ascontiguousarray(slab, dtype=source.dtype.newbyteorder("<")).tobytes())


def _opened(path: Path) -> Any:  # noqa: ANN401  # a file or a gzip file
    # Without a date in the header, so that the same volume gives the same file.
    return gzip.GzipFile(path, "wb", 5, mtime=0) if path.suffix == ".gz" else path.open("wb")


def _nibabel() -> Any:  # noqa: ANN401  # an untyped package
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError(
            f"NIfTI needs nibabel ({error})",
            remedy="install the extra: pip install 'mosaicflow[formats]'",
        ) from error
    return nibabel
