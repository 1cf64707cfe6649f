"""Taking the shading of the lens off images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.optics.illumination import resize_field, resize_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["Shading"]


@dataclass(frozen=True, slots=True)
class Shading:
    """What the lens does to every tile: recorded = true * gain + offset.

    Parameters
    ----------
    gain : ndarray, shape (y, x), float32
        Flat field with mean 1.
    offset : ndarray, shape (y, x), float32, or None
        Background that adds to the signal; None where there is none.
    change : ndarray, shape (y, x), float32, or None
        Change of the log gain from the middle to the last of the images; None where there is none.
    """

    gain: Image
    offset: Image | None
    change: Image | None = None

    @classmethod
    def for_tiles(
        cls, gain: Image, offset: Image, tile_yx: tuple[int, int], change: Image | None = None
    ) -> Shading:
        """Bring flat field, offset and change, each (y, x), to the lateral shape of the tiles."""
        added, changed = (
            resize_image(image, tile_yx) if image is not None and image.any() else None
            for image in (offset, change)
        )
        return cls(resize_field(gain, tile_yx), added, changed)

    def remove(self, images: Image) -> Image:
        """Correct images (n, y, x), the planes of a tile, in place and return them.

        Zeros are no data and stay zero; whatever else holds data stays above zero.
        """
        if self.offset is None:
            self._divide(images)
            return images
        known = images != 0
        images -= self.offset
        self._divide(images)
        np.maximum(images, np.finfo(np.float32).tiny, out=images)
        images *= known
        return images

    def _divide(self, images: Image) -> None:
        images *= 1 / self.gain
        if self.change is not None:
            for depth, image in zip(np.linspace(-1, 1, len(images)), images, strict=True):
                image *= np.exp(np.float32(-depth) * self.change)
