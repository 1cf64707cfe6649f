"""Read NIfTI tiles: x, y and z in the order of the file, pitch in the unit that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.image_header import ImageHeader
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]

# Codes of metre, millimetre and micrometre.
_UM_PER_CODE = {1: 1e6, 2: 1e3, 3: 1.0}


def list_tiles(path: Path) -> tuple[SourceTile]:
    """Describe a NIfTI file; see `TileSource`."""
    image = _opened(path)
    n_x, n_y, n_z = _size(image)
    # Three bits of a byte, of which most codes are nothing.
    unit = _UM_PER_CODE.get(int(image.header["xyzt_units"]) & 7)
    zooms = [float(str(zoom)) for zoom in image.header.get_zooms()]
    zooms += [0.0] * (3 - len(zooms))
    pitch = [zoom * unit if unit and zoom > 0 else None for zoom in zooms[2::-1]]
    notes = () if unit else ("names no unit of length: its pixel size is not used",)
    if path.suffix.lower() != ".gz":
        _check_whole(path, image)
    header = ImageHeader(n_z, n_y, n_x, (pitch[0], pitch[1], pitch[2]), notes=notes)
    return (SourceTile(header),)


def read_planes(path: Path, item: str) -> NDArray[Any]:
    """Read the voxels of a NIfTI file, scaled as it says; see `TileSource`."""
    image = _opened(path)
    try:
        voxels = np.asarray(image.dataobj)
    except Exception as error:  # as in _opened
        raise FormatError(f"is cut short or damaged ({error})", remedy="copy it again") from error
    return voxels.reshape(_size(image)).T


def _opened(path: Path) -> Any:  # noqa: ANN401  # an untyped package
    import nibabel

    try:
        image: Any = nibabel.load(path)
        kind = image.get_data_dtype()
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # the package has many; a file may break any of them
        raise FormatError(f"is not a usable NIfTI file ({error})") from error
    if not hasattr(image.header, "get_xyzt_units"):
        raise FormatError("holds no image, but data on a surface or of another kind")
    if kind.fields or kind.kind not in "iuf":
        raise FormatError(f"holds {kind} voxels, expected one real number each")
    return image


def _size(image: Any) -> tuple[int, int, int]:  # noqa: ANN401
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 2 or any(n != 1 for n in shape[3:]):
        raise FormatError(
            f"has the shape {shape}, expected x, y and z",
            remedy="save every time point as a file of its own",
        )
    return shape[0], shape[1], shape[2] if len(shape) > 2 else 1


def _check_whole(path: Path, image: Any) -> None:  # noqa: ANN401
    size = path.stat().st_size
    end = image.dataobj.offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    if size < end:
        raise FormatError(
            f"is cut short: its voxels go on to byte {end}, the file ends at {size}",
            remedy="copy the file again",
        )
