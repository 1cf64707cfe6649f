"""Read NIfTI tiles: x, y and z in the order of the file, pitch in the unit that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.image_header import ImageHeader
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError
from mosaicflow.io.nifti_images import NiftiImage, open_nifti

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]


def list_tiles(path: Path) -> tuple[SourceTile]:
    """Describe a NIfTI file; see `TileSource`."""
    image = _opened(path)
    unit = image.unit_um
    z, y, x = (zoom * unit if unit and zoom > 0 else None for zoom in image.zooms)
    notes = () if unit else ("names no unit of length: its pixel size is not used",)
    if path.suffix.lower() != ".gz":
        image.check_whole(path)
    return (SourceTile(ImageHeader(*image.shape, (z, y, x), notes=notes)),)


def read_planes(path: Path, item: str) -> NDArray[Any]:
    """Read the voxels of a NIfTI file, scaled as it says; see `TileSource`."""
    image = _opened(path)
    try:
        voxels = np.asarray(image.stored.dataobj)
    except Exception as error:  # the package has many; a file may break any of them
        raise FormatError(f"is cut short or damaged ({error})", remedy="copy it again") from error
    return voxels.reshape(image.shape[::-1]).T


def _opened(path: Path) -> NiftiImage:
    image = open_nifti(path)
    if image.dtype.kind not in "iuf":
        raise FormatError(f"holds {image.dtype} voxels, expected one real number each")
    return image
