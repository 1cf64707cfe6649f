"""Area-weighted means on a coarser grid, streamed through a bounded amount of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.zarr.pyramid import fill_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.grid import Region

__all__ = ["AxisWeights", "area_mean", "fill_area_levels"]


@dataclass(frozen=True, slots=True)
class AxisWeights:
    """Which input samples each output sample of one axis covers, and how much of each.

    Parameters
    ----------
    ratio : Fraction
        Output pitch over input pitch, exact.
    n_in : int
        Number of input samples.
    """

    ratio: Fraction
    n_in: int

    def span(self, start: int, stop: int) -> slice:
        """Return the input samples that outputs `start` to `stop` touch."""
        return slice(math.floor(start * self.ratio), min(math.ceil(stop * self.ratio), self.n_in))

    def matrix(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return covered lengths, shape (stop - start, n samples of `span`), in input samples."""
        span = self.span(start, stop)
        weights = np.zeros((stop - start, span.stop - span.start))
        for row, j in enumerate(range(start, stop)):
            low, high = j * self.ratio, min((j + 1) * self.ratio, Fraction(self.n_in))
            for k in range(math.floor(low), math.ceil(high)):
                weights[row, k - span.start] = min(high, k + 1) - max(low, k)
        return weights


def axis_ratio(pitch_in: float, pitch_out: float) -> Fraction:
    """Return the exact ratio of two pitches given as decimal numbers."""
    return Fraction(str(pitch_out)) / Fraction(str(pitch_in))


def area_mean(block: NDArray[Any], weights: Sequence[NDArray[np.float64]]) -> NDArray[Any]:
    """Return weighted means of a block, one axis after another.

    Parameters
    ----------
    block : ndarray
        Input samples.
    weights : sequence of ndarray, shape (n_out, n_in)
        Covered lengths per axis.

    Returns
    -------
    ndarray
        float64, or complex128 for complex input.
    """
    result = block
    for axis, matrix in enumerate(weights):
        mean = matrix / matrix.sum(axis=1, keepdims=True)
        result = np.moveaxis(np.tensordot(mean, result, axes=(1, axis)), 0, axis)
    return result


def fill_area_levels(
    base: zarr.Array[Any],
    base_um: Sequence[float],
    targets: Sequence[zarr.Array[Any]],
    pitches_um: Sequence[Sequence[float]],
) -> None:
    """Fill every level from the base, or from an earlier level whose pitch divides its own."""
    for number, (target, pitch) in enumerate(zip(targets, pitches_um, strict=True)):
        source, source_um = base, base_um
        for earlier in range(number):
            ratios = map(axis_ratio, pitches_um[earlier], pitch)
            if all(ratio.denominator == 1 for ratio in ratios):
                source, source_um = targets[earlier], pitches_um[earlier]
        _fill_level(source, source_um, target, pitch)


def _fill_level(
    source: zarr.Array[Any],
    source_um: Sequence[float],
    target: zarr.Array[Any],
    target_um: Sequence[float],
) -> None:
    axes = [
        AxisWeights(axis_ratio(a, b), n)
        for a, b, n in zip(source_um, target_um, source.shape, strict=True)
    ]

    def render(region: Region) -> NDArray[Any]:
        spans = tuple(w.span(p.start, p.stop) for w, p in zip(axes, region, strict=True))
        weights = [w.matrix(p.start, p.stop) for w, p in zip(axes, region, strict=True)]
        mean = area_mean(np.asarray(source[spans]), weights)
        return np.rint(mean).astype(target.dtype) if target.dtype.kind in "iu" else mean

    fill_blocks(target, render)
