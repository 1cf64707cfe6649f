"""Compose planes of the volume from sampled slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.stacking.plan import Layer
    from mosaicflow.stacking.sampling import Sampler

__all__ = ["SampledSlice", "compose_plane"]

# Below this share of the pixels, only those still open are sampled.
_FEW = 0.2


@dataclass(frozen=True, slots=True)
class SampledSlice:
    """One slice, ready to be drawn on a part of the canvas.

    Parameters
    ----------
    sampler : Sampler
        Lateral sampling.
    plane : callable
        Gives a canvas plane of the slice (by number from its face) before lateral sampling,
        shape of the sampler's source, float32.
    gain : float
        Brightness factor.
    """

    sampler: Sampler
    plane: Callable[[int], NDArray[np.float32]]
    gain: float


def compose_plane(
    layers: Sequence[Layer], slices: Callable[[int], SampledSlice | None], n_pixels: int
) -> NDArray[np.float32]:
    """Draw one plane.

    Parameters
    ----------
    layers : sequence of Layer
        Slices in the plane, lowest first.
    slices : callable
        Gives a slice by its number; None where it does not reach this part of the canvas.
    n_pixels : int
        Pixels of this part.

    Returns
    -------
    ndarray, shape (n_pixels,), float32
        0 where no slice has data. Where a slice has none, the one above shows.
    """
    image = np.zeros(n_pixels, np.float32)
    open_share: NDArray[np.float32] | None = None  # what is not covered yet; None: everything
    for layer in layers:
        part = slices(layer.index)
        if part is None:
            continue
        if open_share is None:
            image, open_share = _first(layer, part)
        else:
            _behind(layer, part, image, open_share)
        if not open_share.any():
            return image
    if open_share is not None:
        _fill_up(image, open_share)
    return image


def _first(layer: Layer, part: SampledSlice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    share = np.float32(layer.share)
    image = part.sampler(part.plane(layer.plane))
    image *= np.float32(part.gain) * share
    open_share = np.where(part.sampler.covered, 1 - share, np.float32(1))
    return image, open_share.astype(np.float32)


def _behind(
    layer: Layer,
    part: SampledSlice,
    image: NDArray[np.float32],
    open_share: NDArray[np.float32],
) -> None:
    """Add a slice where those below it leave something open."""
    pixels = np.flatnonzero((open_share > 0) & part.sampler.covered)
    if not len(pixels):
        return
    plane = part.plane(layer.plane)
    if len(pixels) < _FEW * len(image):
        values = part.sampler.some(plane, pixels)
    else:
        values = part.sampler(plane)[pixels]
    share = open_share[pixels] * np.float32(layer.share)
    image[pixels] += values * share * np.float32(part.gain)
    open_share[pixels] -= share


def _fill_up(image: NDArray[np.float32], open_share: NDArray[np.float32]) -> None:
    """Where only fading slices have data, they count in full."""
    partly = np.flatnonzero((open_share > 1e-6) & (open_share < 1 - 1e-6))
    image[partly] /= 1 - open_share[partly]
