"""What a NIfTI file itself holds: its size, its type, its pitch and the unit of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, MissingExtraError, install_extra
from mosaicflow.io.lengths import micrometers_per_unit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NiftiImage", "nibabel_package", "open_nifti"]

# Codes of the unit of length, in three bits of a byte; most mean nothing.
_UNITS, _UNIT_BITS = {1: "meter", 2: "mm", 3: "micron"}, 7


@dataclass(frozen=True, slots=True)
class NiftiImage:
    """One NIfTI image, of which no voxel has been read.

    Parameters
    ----------
    stored : nibabel image
        What the package makes of it.
    shape : tuple of int
        (z, y, x); the memory order of a file whose x runs fastest.
    dtype : numpy.dtype
        Of a voxel as stored.
    zooms : tuple of float
        Pitch (z, y, x) in the file's unit; 0 for an axis that has none.
    unit_um : float or None
        That unit; None where the file names none.
    """

    stored: Any
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    zooms: tuple[float, float, float]
    unit_um: float | None

    def check_whole(self, unpacked: Path) -> None:
        """Raise where a file, unpacked if it was packed, ends before its voxels do."""
        size = unpacked.stat().st_size
        end = self.stored.dataobj.offset + int(np.prod(self.shape)) * self.dtype.itemsize
        if size < end:
            raise FormatError(
                f"is cut short: its voxels go on to byte {end}, the file ends at {size}",
                remedy="copy the file again",
            )


def open_nifti(path: Path) -> NiftiImage:
    """Describe a NIfTI file without reading its voxels.

    Parameters
    ----------
    path : Path
        `.nii` or `.nii.gz`.

    Raises
    ------
    FormatError
        When it is no image of two or three axes (further ones of length 1 aside) with one value
        for each voxel. What it says does not name the file.
    """
    nibabel = nibabel_package()
    try:
        image = nibabel.load(path)
        dtype = image.get_data_dtype()
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # the package has many; a file may break any of them
        raise FormatError(f"is not a NIfTI file that can be used ({error})") from error
    if not hasattr(image.header, "get_xyzt_units"):
        raise FormatError("holds no image, but data on a surface or of another kind")
    if dtype.fields:
        raise FormatError(f"holds voxels of several values {dtype}, expected one each")
    # The shortest decimal of a float32 is what its writer meant.
    zooms = [float(str(zoom)) for zoom in image.header.get_zooms()[:3]]
    x, y, z = zooms + [0.0] * (3 - len(zooms))
    unit = _UNITS.get(int(image.header["xyzt_units"]) & _UNIT_BITS)
    return NiftiImage(image, _shape(image.shape), dtype, (z, y, x), micrometers_per_unit(unit))


def _shape(stored: tuple[int, ...]) -> tuple[int, int, int]:
    if len(stored) < 2 or any(n != 1 for n in stored[3:]):
        raise FormatError(
            f"has the shape {tuple(map(int, stored))}, expected x, y and z",
            remedy="save every time point as a file of its own",
        )
    x, y, z = (*map(int, stored[:3]), *([1] * (3 - len(stored))))
    return z, y, x


def nibabel_package() -> Any:  # noqa: ANN401  # an untyped package
    """Import what knows the format, or say which extra has it."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError(
            f"NIfTI needs nibabel ({error})",
            remedy=f"install the extra: {install_extra('formats')}",
        ) from error
    return nibabel
