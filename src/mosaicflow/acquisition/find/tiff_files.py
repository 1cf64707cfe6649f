"""Read the size and pixel pitch of TIFF tiles, and their pixels."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import tifffile

from mosaicflow.acquisition.image_header import ImageHeader
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError, install_extra
from mosaicflow.io.tiff_pages import count_series, describe_tiff, open_tiff, own_series

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["count_images", "list_tiles", "read_planes", "read_tiff_header", "read_tiff_planes"]

# What tifffile decodes by itself: none, deflate (two numbers), packbits, lzma.
_PLAIN_COMPRESSIONS = (1, 8, 32946, 32773, 34925)
_FLOAT_PREDICTOR = 3  # a TIFF's code (tag 317) for differences of float bytes


def read_tiff_header(path: Path, number: int | None = None) -> ImageHeader:
    """Read size and spacing without reading pixels.

    Parameters
    ----------
    path : Path
        A TIFF with one plane, or with one page per plane; only its own pages count.
    number : int or None
        Which image, where the file holds several; None: the first.

    Raises
    ------
    FormatError
        When the file is no TIFF, is cut short, or holds what is no image or stack.
    OSError
        When it cannot be read.
    """
    try:
        with open_tiff(path) as file:
            image = describe_tiff(file, number)
            _check_codec(file)
            layout = image.layout
            n_z, n_y, n_x = (layout.extent(axis) for axis in (layout.depth, "Y", "X"))
            return ImageHeader(n_z, n_y, n_x, image.pitch_um, image.channels, image.notes)
    except (FormatError, OSError):
        raise
    except Exception as error:  # tags of nonsense break tifffile in any way they like
        raise FormatError(f"is not a usable TIFF ({error!r:.200})") from error


def read_tiff_planes(path: Path, number: int | None = None, channel: int = 0) -> NDArray[Any]:
    """Read the pixels.

    Returns
    -------
    ndarray, shape (n_z, n_y, n_x), dtype of the file
        Of colours the mean (float32), of other channels the one asked for.

    Raises
    ------
    FormatError
        When the pixels cannot be decoded.
    """
    read_tiff_header(path, number)
    try:
        with open_tiff(path) as file:
            image = describe_tiff(file, number)
            stored = own_series(file, number or 0).asarray()
            return image.layout.planes(stored, image.channels, channel)
    except (FormatError, OSError):
        raise
    except Exception as error:  # as above; so do codecs
        raise FormatError(f"its pixels cannot be decoded ({error!r:.200})") from error


def list_tiles(path: Path, number: int | None = None) -> tuple[SourceTile]:
    """Describe one image of a file, the first unless told; see `TileSource`."""
    return (SourceTile(read_tiff_header(path, number)),)


def count_images(path: Path) -> int:
    """Count the images (series) of a file; a list of tiles may name more than there are."""
    try:
        with open_tiff(path) as file:
            return count_series(file)
    except OSError:
        raise
    except Exception as error:  # as above
        raise FormatError(f"is not a usable TIFF ({error!r:.200})") from error


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read an image by its number; see `TileSource`."""
    return read_tiff_planes(path, int(item) if item else None, channel)


def _check_codec(file: tifffile.TiffFile) -> None:
    page = file.pages.first
    is_plain = page.compression in _PLAIN_COMPRESSIONS and page.predictor != _FLOAT_PREDICTOR
    if not is_plain and find_spec("imagecodecs") is None:
        codec = tifffile.COMPRESSION(page.compression).name
        if page.predictor == _FLOAT_PREDICTOR:
            codec += " with the floating-point predictor"
        raise FormatError(
            f"is compressed with {codec}",
            remedy=f"install the extra that decodes it: {install_extra('images')}",
        )
