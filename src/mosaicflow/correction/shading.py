"""Taking the shading of the lens off images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.correction.illumination import resize_field, resize_image

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
    """

    gain: Image
    offset: Image | None

    @classmethod
    def for_tiles(cls, gain: Image, offset: Image, tile_yx: tuple[int, int]) -> Shading:
        """Bring flat field and offset, each (y, x), to the lateral shape of the tiles."""
        added = resize_image(offset, tile_yx) if offset.any() else None
        return cls(resize_field(gain, tile_yx), added)

    def remove(self, images: Image) -> Image:
        """Correct images (n, y, x) in place and return them.

        Zeros are no data and stay zero; whatever else holds data stays above zero.
        """
        if self.offset is None:
            images *= 1 / self.gain
            return images
        known = images != 0
        images -= self.offset
        images *= 1 / self.gain
        np.maximum(images, np.finfo(np.float32).tiny, out=images)
        images *= known
        return images
