"""The illumination file: flat field and dark field of a scan lens."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FlatField", "load_flat_field", "save_flat_field"]


@dataclass(frozen=True, slots=True)
class FlatField:
    """Static shading: recorded = true * gain + offset, and the curvature of the field.

    Parameters
    ----------
    gain : ndarray, shape (y, x), float32
        Flat field with mean 1.
    offset : ndarray, shape (y, x), float32
        Dark field.
    change : ndarray, shape (y, x), float32
        Change of the log flat field from middle depth to the deepest plane; the first plane
        changes the other way.
    curvature_um : ndarray, shape (y, x), float32
        Depth by which a flat face appears lower than at the highest place; all zero where none
        was measured beyond its error.
    """

    gain: NDArray[np.float32]
    offset: NDArray[np.float32]
    change: NDArray[np.float32]
    curvature_um: NDArray[np.float32]


def save_flat_field(path: Path, field: FlatField, *, n_tiles: int) -> None:
    """Write an illumination file (.npz); the same field gives the same bytes.

    What it was made from is in its metrics, not here: then a field that comes out the same has no
    stage run again that used it. `numpy.savez` would write other bytes in other versions of Python.
    """
    arrays = {
        "flatfield": field.gain,
        "darkfield": field.offset,
        "depth_change": field.change,
        "curvature_um": field.curvature_um,
        "n_tiles": np.int64(n_tiles),
        "per_z": np.bool_(field.change.any()),
    }
    partial = path.with_name(f".{path.name}.tmp.npz")
    with zipfile.ZipFile(partial, "w") as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    partial.replace(path)


def load_flat_field(path: Path) -> FlatField:
    """Read an illumination file written by `save_flat_field`."""
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as file, zipfile.ZipFile(file):
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            gain = content["flatfield"]
            none = np.zeros_like(gain)  # files of before had neither
            change = content.get("depth_change", none)
            return FlatField(gain, content["darkfield"], change, content.get("curvature_um", none))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(
            f"{path}: not an illumination file ({error})",
            remedy="make it with estimate_illumination",
        ) from error
