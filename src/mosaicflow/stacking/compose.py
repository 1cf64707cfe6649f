"""Compose planes of the volume from sampled slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mosaicflow.stacking.brightness import PlaneTone
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
    tone : PlaneTone
        Brightness factor and signal of its planes.
    """

    sampler: Sampler
    plane: Callable[[int], NDArray[np.float32]]
    tone: PlaneTone


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
    canvas: _OpenCanvas | None = None
    for layer in _weighted(layers, slices):
        part = slices(layer.index)
        if part is None:
            continue
        if canvas is None:
            canvas = _OpenCanvas.start(layer, part)
        else:
            canvas.show_behind(layer, part)
        if not len(canvas.pixels):
            break
    if canvas is None:
        return np.zeros(n_pixels, np.float32)
    canvas.fill_up()
    return canvas.image


def _weighted(
    layers: Sequence[Layer], slices: Callable[[int], SampledSlice | None]
) -> Iterator[Layer]:
    """Let a slice that fades in count by its signal against that of the slice behind it.

    Shares are of equal signals; where one slice is dim, noisy or blurred it adds less.
    """
    for number, layer in enumerate(layers):
        behind = layers[number + 1] if number + 1 < len(layers) else None
        if layer.share >= 1.0 or behind is None:
            yield layer
            continue
        parts = slices(layer.index), slices(behind.index)
        if parts[0] is None or parts[1] is None:
            yield layer
            continue
        own = layer.share * float(parts[0].tone.signal[layer.plane])
        other = (1 - layer.share) * float(parts[1].tone.signal[behind.plane])
        yield replace(layer, share=own / (own + other))


@dataclass(slots=True)
class _OpenCanvas:
    """An image under way: which pixels still let a slice behind show, and how much of it."""

    image: NDArray[np.float32]
    pixels: NDArray[np.intp]
    share: NDArray[np.float32]

    @classmethod
    def start(cls, layer: Layer, part: SampledSlice) -> _OpenCanvas:
        own, factor = np.float32(layer.share), float(part.tone.factor[layer.plane])
        image = part.sampler(part.plane(layer.plane))
        if factor * layer.share != 1.0:
            image *= np.float32(factor) * own
        if layer.share >= 1.0:
            pixels = part.sampler.holes
            return cls(image, pixels, np.ones(len(pixels), np.float32))
        share = np.where(part.sampler.covered, 1 - own, np.float32(1))
        return cls(image, np.arange(len(image)), share)

    def show_behind(self, layer: Layer, part: SampledSlice) -> None:
        """Add a slice where those below it leave something open."""
        covered = part.sampler.covered[self.pixels]
        if not covered.any():
            return
        plane = part.plane(layer.plane)
        if len(self.pixels) < _FEW * len(self.image):
            values = part.sampler.some(plane, self.pixels)
        else:
            values = part.sampler(plane)[self.pixels]
        share = self.share * covered * np.float32(layer.share)
        self.image[self.pixels] += values * share * np.float32(part.tone.factor[layer.plane])
        self.share = self.share - share
        still = self.share > 1e-6
        self.pixels, self.share = self.pixels[still], self.share[still]

    def fill_up(self) -> None:
        """Where only fading slices have data, they count in full."""
        partly = self.share < 1 - 1e-6
        self.image[self.pixels[partly]] /= 1 - self.share[partly]
