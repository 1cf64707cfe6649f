"""Small pictures that show at a glance whether a step went well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["ThinnedImage", "save_jpeg", "save_picture", "write_preview"]

# Longest side of a preview.
_PREVIEW_PX = 2000


class ThinnedImage:
    """An image filled block by block, of which only every n-th pixel is kept.

    Parameters
    ----------
    shape_yx : (int, int)
        Full size; the kept `image` fits a preview.
    """

    def __init__(self, shape_yx: tuple[int, int]) -> None:
        self._step = max(1, -(-max(shape_yx) // _PREVIEW_PX))
        shape = [-(-length // self._step) for length in shape_yx]
        self.image: NDArray[np.float32] = np.zeros(shape, np.float32)

    def add(self, region: tuple[slice, slice], block_yx: NDArray[np.float32]) -> None:
        """Set rows and columns `region` of the full image to a block."""
        first = [-part.start % self._step for part in region]
        thin = block_yx[first[0] :: self._step, first[1] :: self._step]
        y, x = ((part.start + f) // self._step for part, f in zip(region, first, strict=True))
        self.image[y : y + thin.shape[0], x : x + thin.shape[1]] = thin


def write_preview(path: Path, image_yx: NDArray[np.floating], um_per_px: float) -> None:
    """Write a grey PNG stretched between the 0.5 and 99.5 percentiles of what is not zero.

    Parameters
    ----------
    path : Path
        File to write.
    image_yx : ndarray, shape (y, x)
        Intensities; zero means no data and stays black.
    um_per_px : float
        Pitch of the image, for a scale bar; the file carries its own.
    """
    from PIL import Image

    values = image_yx[image_yx != 0]
    low, high = np.percentile(values, [0.5, 99.5]) if values.size else (0.0, 1.0)
    stretched = (image_yx - low) / max(float(high - low), 1e-12)
    grey = np.where(image_yx != 0, np.clip(stretched, 0, 1) * 255, 0).astype(np.uint8)
    picture = Image.fromarray(grey)
    picture.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
    save_picture(path, picture, um_per_px * image_yx.shape[1] / picture.width)


def save_picture(path: Path, picture: Image.Image, um_per_px: float) -> None:
    """Write a PNG that says how large its pixels are (text ``um_per_px``).

    Parameters
    ----------
    path : Path
        File to write.
    picture : PIL.Image.Image
        What to write.
    um_per_px : float
        Its pitch.
    """
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text("um_per_px", f"{um_per_px:.6g}")
    partial = path.with_name(f".{path.name}.tmp")
    picture.save(partial, format="PNG", pnginfo=said)
    partial.replace(path)


def save_jpeg(path: Path, grey_yx: NDArray[np.uint8]) -> None:
    """Write a grey picture for a page, of about a tenth of its pixels' bytes.

    Parameters
    ----------
    path : Path
        File to write.
    grey_yx : ndarray, shape (y, x), uint8
        What to write.
    """
    from PIL import Image

    partial = path.with_name(f".{path.name}.tmp")
    # At 60 speckle turns into blocks, at 95 files double.
    Image.fromarray(grey_yx).save(partial, format="JPEG", quality=82)
    partial.replace(path)
