"""Which reader and writer a path asks for."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.convert.nifti import opened_nifti, write_nifti
from mosaicflow.io.convert.orientation import ATTRIBUTE, SpaceAffine
from mosaicflow.io.convert.tiff import (
    opened_tiff,
    opened_tiff_series,
    write_ome_tiff,
    write_tiff_series,
)
from mosaicflow.io.convert.volume import VolumeSource
from mosaicflow.io.grids import LATTICE_KEYS
from mosaicflow.io.zarr.errors import OmeZarrWarning, StoreExistsError
from mosaicflow.io.zarr.info import read_omezarr_info
from mosaicflow.io.zarr.location import locate, same_store
from mosaicflow.io.zarr.reader import StoreChoice
from mosaicflow.io.zarr.transcode import StoreFormat, transcode_omezarr, zip_store
from mosaicflow.io.zarr.values import kept_dtype
from mosaicflow.io.zarr.writer import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Conversion", "convert_image"]

_NIFTI = (".nii", ".nii.gz")
_TIFF = (".tif", ".tiff")
_UNKNOWN_MM = 0.001  # a micrometre stands for a voxel whose size nobody said; the result says so
# Bytes of the longest value of each kind (integer, real, complex) that a file can keep.
_LARGEST_BYTES = {
    "tiff": {"i": 4, "u": 4, "f": 8, "c": 16},
    "series": {"i": 8, "u": 8, "f": 8, "c": 16},
}
_KIND_NAMES = {"tiff": "OME-TIFF", "series": "TIFF"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """What to do on the way.

    Parameters
    ----------
    resolution_mm : tuple of float or None
        Pitch of the source, (z, y, x), instead of the one in the file.
    level : int
        Pyramid level of a store that becomes another kind of file.
    n_levels : int or None
        Extra levels of a new store; None keeps those of a store, and makes none of other files.
    choice : StoreChoice
        Which part of a store is meant.
    overwrite : bool
        Whether an existing output is replaced.
    """

    resolution_mm: tuple[float, ...] | None = None
    level: int = 0
    n_levels: int | None = None
    choice: StoreChoice = field(default_factory=StoreChoice)
    overwrite: bool = False


def convert_image(source: str, output: str, store: StoreFormat, how: Conversion) -> None:
    """Convert between stores, NIfTI, OME-TIFF and series of TIFF planes.

    Parameters
    ----------
    source : str
        Store (folder, .zip, URL), `.nii`, `.nii.gz`, `.tif`, `.tiff`, or a folder of TIFF files.
    output : str
        `.zarr`, `.zarr.zip`, `.nii`, `.nii.gz`, `.ome.tif`, or a folder for TIFF planes (a name
        without suffix).
    store : StoreFormat
        How a store is written.
    how : Conversion
        Everything else.
    """
    _check(source, output, how)
    kind = _kind(output)
    if output.lower().endswith(".ozx"):
        raise ParameterError(f"{output}: is read, not written", remedy="use .ome.zarr.zip")
    folder = _local_folder(output)
    if kind == "store":
        _to_store(source, output, store, how)
    elif kind == "zip":
        _to_zip(source, Path(output), store, how)
    else:
        with _opened(source, how, folder) as volume:
            kept = _in_kept_dtype(kind, volume, source)
            _to_file(kind, Path(output), kept, _pitch(volume, source, how))


def _in_kept_dtype(kind: str, volume: VolumeSource, source: str) -> VolumeSource:
    """Give the voxels the type that a kind of file can keep, if one holds all their values."""
    found = volume.dtype
    wider = {"bool": np.uint8, "float16": np.float32}.get(found.name)
    if wider is not None:
        dtype = np.dtype(wider)
        return replace(volume, dtype=dtype, read=lambda region: volume.read(region).astype(dtype))
    if kind in _LARGEST_BYTES and found.itemsize > _LARGEST_BYTES[kind].get(found.kind, 0):
        raise ParameterError(
            f"{source}: {_KIND_NAMES[kind]} keeps no {found.name}",
            remedy="convert to .nii, or to a type of fewer bytes before",
        )
    return volume


def _to_file(kind: str, output: Path, volume: VolumeSource, pitch: Sequence[float]) -> None:
    if kind == "nifti":
        found = volume.orientation
        kept = None if found is None else found.stretched(pitch)
        write_nifti(output, replace(volume, orientation=kept), pitch)
    elif kind == "tiff":
        write_ome_tiff(output, volume, pitch)
    else:
        write_tiff_series(output, volume)


def _local_folder(output: str) -> Path:
    """Return the folder of the output, where there is room for what it is made of."""
    if "://" in output:
        return Path(tempfile.gettempdir())
    folder = Path(output).absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kind(path: str) -> str:
    lower = path.rstrip("/").lower()
    if lower.endswith((".zip", ".ozx")):
        return "zip"
    if lower.endswith(".zarr") or "://" in lower:
        return "store"
    if lower.endswith(_NIFTI):
        return "nifti"
    if lower.endswith(_TIFF):
        return "tiff"
    if not Path(lower).suffix:
        return "series"
    raise ParameterError(
        f"{path}: no format has this suffix",
        remedy="use .ome.zarr, .ome.zarr.zip, .nii, .nii.gz, .ome.tif, or a folder name",
    )


def _check(source: str, output: str, how: Conversion) -> None:
    if how.choice.lateral_order == "xy" and _is_store(source):
        _check_legacy(source)
    if same_store(source, output):
        raise InputError(f"{output}: is also the input", remedy="write to another path")
    if "://" not in source and not os.path.exists(source):
        raise InputError(f"{source}: does not exist")
    if locate(output).exists() and _kind(output) == "series":  # may hold anything
        raise StoreExistsError(f"{output}: exists", remedy="give the name of a new folder")
    if not how.overwrite and locate(output).exists():
        raise StoreExistsError(f"{output}: exists", remedy="give another name, or --overwrite")


def _check_legacy(source: str) -> None:
    block = read_omezarr_info(source).mosaicflow
    if "kind" in block:
        raise ParameterError(
            f"{source}: was written by a stage of mosaicflow; its lateral axes are right",
            remedy="leave out --legacy_lateral_order",
        )
    if ATTRIBUTE in block:
        raise ParameterError(
            f"{source}: came from NIfTI and records its orientation; its lateral axes cannot be"
            " swapped",
            remedy="leave out --legacy_lateral_order",
        )


def _opened(
    source: str, how: Conversion, spool: Path
) -> contextlib.AbstractContextManager[VolumeSource]:
    kind = _kind(source)
    path = Path(source)
    if kind == "nifti":
        return opened_nifti(path, spool)
    if kind == "tiff":
        return opened_tiff(path, spool)
    if not _is_store(source):
        return opened_tiff_series(path, spool)
    return contextlib.nullcontext(_store_volume(source, how))


def _store_volume(source: str, how: Conversion) -> VolumeSource:
    reader = how.choice.open(source, how.level)
    found = SpaceAffine.from_attributes(reader.attrs, source)
    if reader.ndim == 2:
        return VolumeSource(
            (1, *reader.shape),
            reader.dtype,
            (1, *reader.chunks),
            lambda region: reader[region[1:]][None],
            (reader.resolution_mm[0], *reader.resolution_mm),
        )
    level = None if found is None else found.of_level(reader.shape, reader.resolution_mm)
    if found is not None and level is None:
        warnings.warn(
            f"{source}: its recorded orientation belongs to an array of {found.shape}, not"
            f" {reader.shape}, and is left out",
            OmeZarrWarning,
            stacklevel=2,
        )
    return VolumeSource(
        reader.shape, reader.dtype, reader.chunks, reader.__getitem__, reader.resolution_mm, level
    )


def _pitch(volume: VolumeSource, source: str, how: Conversion) -> Sequence[float]:
    if how.resolution_mm is not None:
        return how.resolution_mm
    if volume.resolution_mm is not None:
        return volume.resolution_mm
    warnings.warn(
        f"{source}: gives no pixel size; 1 um is assumed (--resolution sets it)",
        OmeZarrWarning,
        stacklevel=3,
    )
    return (_UNKNOWN_MM,) * len(volume.shape)


def _is_store(source: str) -> bool:
    if _kind(source) in {"store", "zip"}:
        return True
    return any((Path(source) / name).exists() for name in (".zgroup", ".zarray", "zarr.json"))


def _to_store(source: str, output: str, store: StoreFormat, how: Conversion) -> None:
    same_pyramid = how.n_levels is None and how.resolution_mm is None and how.level == 0
    if _is_store(source) and same_pyramid:
        transcode_omezarr(source, output, store, choice=how.choice, overwrite=how.overwrite)
        return
    with _opened(source, how, _local_folder(output)) as volume:
        pitch = [float(np.round(value, 12)) for value in _pitch(volume, source, how)]
        dtype = kept_dtype(volume.dtype, source)
        with (
            OmeZarrWriter(
                output,
                volume.shape,
                store.chunks,
                dtype,
                how.overwrite,
                compressor=store.compressor,
                ngff_version=store.ngff_version,
                sharding_factor=store.sharding_factor,
                attrs=_attributes(source, volume, pitch, how),
            ) as writer,
            writer.discarded_on_error(),
        ):
            writer.fill(lambda part: volume.read(part).astype(dtype, copy=False), volume.chunks)
            writer.finalize(pitch, how.n_levels or 0)


def _attributes(
    source: str, volume: VolumeSource, pitch: Sequence[float], how: Conversion
) -> dict[str, Any]:
    kept = read_omezarr_info(source).mosaicflow if _is_store(source) else {}
    dropped = {ATTRIBUTE} if how.level == 0 else {ATTRIBUTE, "kind", *LATTICE_KEYS}
    kept = {key: value for key, value in kept.items() if key not in dropped}
    if volume.orientation is not None:
        volume.orientation.announce(source)
        kept[ATTRIBUTE] = volume.orientation.stretched(pitch).as_attribute()
    return kept


def _to_zip(source: str, output: Path, store: StoreFormat, how: Conversion) -> None:
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        name = output.name.removesuffix(".zip")
        inside = Path(folder) / (name if name.endswith(".zarr") else f"{name}.ome.zarr")
        _to_store(source, str(inside), store, how)
        zip_store(inside, output)
