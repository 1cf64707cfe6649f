"""NIfTI: x fastest, which is the memory order of (z, y, x); millimetres; an affine."""

from __future__ import annotations

import gzip
import shutil
import warnings
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.convert.orientation import SpaceAffine
from mosaicflow.io.convert.volume import (
    RawVoxels,
    VolumeSource,
    finished_path,
    spool_file,
)
from mosaicflow.io.nifti_images import NiftiImage, nibabel_package, open_nifti
from mosaicflow.io.zarr.errors import OmeZarrWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import Region

__all__ = ["opened_nifti", "write_nifti"]

# Without a unit, mm is what the programs of NIfTI take.
_UM_PER_MM = 1000.0
_DATA_OFFSET = 352  # bytes, of NIfTI-1: header and its extension flag
_LONGEST_AXIS = 32767  # of NIfTI-1, an int16
_DESCRIPTION_BYTES = 79  # of NIfTI-1's field, less its end
# An affine in float32 and a pitch in float32 of the same file differ by this much.
_DUST = 1e-5


@contextmanager
def opened_nifti(path: Path, spool: Path) -> Iterator[VolumeSource]:
    """Open a NIfTI file as (z, y, x), in the order in which it holds the voxels.

    Parameters
    ----------
    path : Path
        `.nii`, or `.nii.gz`, which is unpacked first because it can be read in one order only.
    spool : Path
        Folder with room for the unpacked file.
    """
    with _naming(path):
        image = open_nifti(path)
    pitch, orientation = _geometry(image, str(path))
    with _unpacked(path, spool) as raw_path:
        with _naming(path):
            image.check_whole(raw_path)
        proxy = image.stored.dataobj
        raw = RawVoxels(raw_path, image.dtype, image.shape, proxy.offset)
        yield _scaled(raw, proxy, pitch, orientation)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _scaled(
    raw: RawVoxels,
    proxy: Any,  # noqa: ANN401  # an untyped package
    pitch: tuple[float, ...],
    orientation: SpaceAffine | None,
) -> VolumeSource:
    from nibabel.volumeutils import apply_read_scaling

    def scale(voxels: NDArray[Any]) -> NDArray[Any]:
        scaled: NDArray[Any] = apply_read_scaling(voxels, proxy.slope, proxy.inter)
        return scaled

    dtype = scale(np.zeros((1, 1, 1), raw.dtype)).dtype.newbyteorder("=")

    def read(region: Region) -> NDArray[Any]:
        return scale(raw[region]).astype(dtype, copy=False)

    return VolumeSource(raw.shape, dtype, (1, 1, raw.shape[2]), read, pitch, orientation)


@contextmanager
def _unpacked(path: Path, folder: Path) -> Iterator[Path]:
    if path.suffix.lower() != ".gz":
        yield path
        return
    with spool_file(folder) as raw:
        try:
            with gzip.open(path) as packed, raw.open("wb") as file:
                shutil.copyfileobj(packed, file, 2**20)
        except (EOFError, OSError, zlib.error) as error:
            raise FormatError(f"{path}: damaged gzip file ({error})") from error
        yield raw


def _geometry(image: NiftiImage, where: str) -> tuple[tuple[float, ...], SpaceAffine | None]:
    """Return pitch (z, y, x) in mm, and the orientation if the file claims one."""
    header = image.stored.header
    if image.unit_um is None:
        warnings.warn(
            f"{where}: names no unit of length; mm is assumed (--resolution sets the pitch)",
            OmeZarrWarning,
            stacklevel=3,
        )
    unit = (image.unit_um or _UM_PER_MM) / _UM_PER_MM
    zooms = np.array(image.zooms)
    codes = (int(header["sform_code"]), int(header["qform_code"]))
    code = codes[0] or codes[1]
    if code == 0:
        return tuple(zooms * unit), None
    affine = np.asarray(image.stored.affine, dtype=np.float64)
    affine[:3] *= unit
    found = SpaceAffine(affine, code, image.shape)
    if not np.all(found.pitch_mm > 0):
        raise FormatError(f"{where}: its affine gives an axis no length")
    if np.allclose(found.pitch_mm, zooms * unit, rtol=_DUST, atol=0):
        return tuple(zooms * unit), found.stretched(zooms * unit)
    warnings.warn(
        f"{where}: the pitch of its affine, {found.pitch_mm.tolist()} mm, is not the one of its"
        f" header, {(zooms * unit).tolist()} mm; the affine is used",
        OmeZarrWarning,
        stacklevel=3,
    )
    return tuple(float(f"{value:.7g}") for value in found.pitch_mm), found


def write_nifti(output: Path, source: VolumeSource, resolution_mm: Sequence[float]) -> None:
    """Write a volume as NIfTI, box by box.

    Parameters
    ----------
    output : Path
        `.nii`, or `.nii.gz`, beside which the unpacked file lies for a while.
    source : VolumeSource
        Axes (z, y, x); its orientation is written as it is, otherwise a plain scaling.
    resolution_mm : sequence of float
        Pitch per axis, (z, y, x).
    """
    if max(source.shape) > _LONGEST_AXIS:
        raise InputError(
            f"{output}: an axis of {max(source.shape)} voxels; NIfTI holds {_LONGEST_AXIS}",
            remedy="convert a coarser --level",
        )
    header = _header(source, resolution_mm)
    with finished_path(output) as partial, spool_file(output.parent) as spool:
        raw_path = spool if output.suffix == ".gz" else partial
        with raw_path.open("wb") as file:
            header.write_to(file)
        dtype = source.dtype.newbyteorder("<")
        RawVoxels(raw_path, dtype, source.shape, _DATA_OFFSET).fill(source)
        if raw_path is spool:
            # Without a date in the header, so that the same volume gives the same file.
            with spool.open("rb") as file, gzip.GzipFile(partial, "wb", 5, mtime=0) as packed:
                shutil.copyfileobj(file, packed, 2**20)


def _header(source: VolumeSource, resolution_mm: Sequence[float]) -> Any:  # noqa: ANN401
    pitch_xyz = [float(value) for value in reversed(resolution_mm)]
    header = nibabel_package().Nifti1Header(endianness="<")
    header.set_data_dtype(source.dtype)
    header.set_data_shape(source.shape[::-1])
    header.set_zooms(pitch_xyz)
    header.set_xyzt_units("mm")
    header.set_slope_inter(source.slope, source.intercept)
    header["descrip"] = "; ".join(source.notes).encode("ascii", "replace")[:_DESCRIPTION_BYTES]
    header["vox_offset"] = _DATA_OFFSET
    header["magic"] = b"n+1"
    found = source.orientation
    if found is None:
        header.set_sform(np.diag([*pitch_xyz, 1.0]), code="scanner")
        return header
    header.set_sform(found.affine_mm, code=found.code)
    if not found.is_sheared:  # what a qform cannot hold
        header.set_qform(found.affine_mm, code=found.code)
    return header
