"""Coarser copies of an array: exact area-weighted means, streamed chunk by chunk.

Both pyramids are made here: halving a level is the special case of a ratio of 2.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mosaicflow.io.zarr import grid
from mosaicflow.threads import map_threads, thread_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.target import TargetArray

__all__ = ["AxisMap", "ReduceMethod", "axis_ratio", "fill_level", "reduce_region"]

ReduceMethod = Literal["mean", "nearest"]

# Small chunks are read in groups of about this size, as every call to zarr costs a millisecond.
_CELL_BYTES = 8 * 2**20
# Largest whole number that is a weight: times the voxels of a line, all sums are exact in float64
# below 2**53. A ratio of larger numbers has weights that are rounded.
_LARGEST_WEIGHT = 4096
# Two pitches this close are the same pitch.
_SAME_RATIO = Fraction(1, 10**6)


@dataclass(frozen=True, slots=True)
class AxisMap:
    """How the samples of one axis become fewer and longer ones.

    Output sample j covers the input positions [j * ratio, (j + 1) * ratio).

    Parameters
    ----------
    ratio : Fraction
        Length of an output sample in input samples, exact.
    n_in : int
        Number of input samples.
    """

    ratio: Fraction
    n_in: int

    @property
    def unit(self) -> int:
        """How many units of weight one input sample has.

        Chosen so that the weights are whole numbers, whose sums are exact: a constant stays the
        same constant. Ratios of long decimals would need weights too large for that.
        """
        return self.ratio.denominator if self.ratio.numerator <= _LARGEST_WEIGHT else 1

    def inputs(self, outputs: slice) -> slice:
        """Return the input samples that some output samples touch."""
        stop = min(math.ceil(outputs.stop * self.ratio), self.n_in)
        return slice(math.floor(outputs.start * self.ratio), stop)

    def outputs(self, inputs: slice, within: slice) -> slice:
        """Return the output samples inside a range that some input samples touch."""
        start = max(math.floor(inputs.start / self.ratio), within.start)
        return slice(start, min(math.ceil(inputs.stop / self.ratio), within.stop))

    def covered(self, outputs: slice) -> NDArray[np.float64]:
        """Return the sum of the weights of each output sample."""
        ends = [min((j + 1) * self.ratio, Fraction(self.n_in)) for j in span(outputs)]
        starts = [j * self.ratio for j in span(outputs)]
        return np.array([float((b - a) * self.unit) for a, b in zip(starts, ends, strict=True)])

    def centre(self, output: int) -> int:
        """Return the input sample at the centre of an output sample."""
        return min(math.floor((output + Fraction(1, 2)) * self.ratio), self.n_in - 1)

    def shares(self, sample: int) -> Iterator[tuple[int, float]]:
        """Yield each output sample that an input sample touches, and its weight there."""
        for j in range(math.floor(sample / self.ratio), math.ceil((sample + 1) / self.ratio)):
            low = max(Fraction(sample), j * self.ratio)
            high = min(Fraction(sample + 1), (j + 1) * self.ratio)
            if high > low:
                yield j, float((high - low) * self.unit)


def axis_ratio(pitch_in: float, pitch_out: float) -> Fraction:
    """Return the exact ratio of two pitches that were written as decimal numbers."""
    ratio = Fraction(str(pitch_out)) / Fraction(str(pitch_in))
    return Fraction(1) if abs(ratio - 1) < _SAME_RATIO else ratio


def span(part: slice) -> range:
    """Return the indices of a slice with bounds."""
    return range(part.start, part.stop)


def fill_level(
    source: zarr.Array[Any],
    target: TargetArray,
    ratios: Sequence[Fraction],
    *,
    method: ReduceMethod = "mean",
) -> None:
    """Fill an array with a coarser copy of another one.

    Parameters
    ----------
    source : zarr.Array
        Finer level.
    target : TargetArray
        Array to fill. Each of its files (chunk or shard) is written once, by one thread.
    ratios : sequence of Fraction
        Length of a target voxel in source voxels, per axis.
    method : {"mean", "nearest"}, optional
        Area-weighted mean, or the voxel at the centre (for labels).
    """
    maps = [AxisMap(ratio, n) for ratio, n in zip(ratios, source.shape, strict=True)]

    def fill(region: grid.Region) -> None:
        if target.holds(region):
            return
        target.render(region, lambda chunk: reduce_region(source, maps, chunk, method=method))
        target.keep(region)

    # The chunks of a shard are already computed in parallel.
    threads = 1 if target.spec.shards else thread_count()
    map_threads(fill, grid.regions(target.spec.shape, target.spec.block), threads)


def reduce_region(
    source: zarr.Array[Any],
    maps: Sequence[AxisMap],
    region: grid.Region,
    *,
    method: ReduceMethod = "mean",
) -> NDArray[Any]:
    """Return one region of a coarser copy, reading each source chunk once.

    Parameters
    ----------
    source : zarr.Array
        Finer level.
    maps : sequence of AxisMap
        One per axis.
    region : tuple of slice
        Region of the coarser copy.
    method : {"mean", "nearest"}, optional
        As for `fill_level`.

    Returns
    -------
    ndarray
        In the dtype of the source; integers are rounded half to even.
    """
    shape = tuple(len(span(part)) for part in region)
    if method == "nearest":
        result = np.empty(shape, source.dtype)
        for cell in _cells(source, maps, region):
            _pick_centres(result, source, cell, maps, region)
        return result
    total = np.zeros(shape, _sum_dtype(source.dtype, maps))
    for cell in _cells(source, maps, region):
        touched = tuple(
            m.outputs(part, within) for m, part, within in zip(maps, cell, region, strict=True)
        )
        part = _weighted_sum(np.asarray(source[cell], total.dtype), cell, touched, maps)
        total[grid.relative(touched, region)] += part
    return _normalized(total, maps, region, source.dtype)


def _sum_dtype(dtype: np.dtype[Any], maps: Sequence[AxisMap]) -> np.dtype[Any]:
    if dtype.kind in "fc":
        return dtype
    # Sums of integers stay exact: float32 holds integers up to 2**24.
    weights = (math.ceil(m.ratio + 2) * m.unit for m in maps)
    largest = math.prod(weights) * int(np.iinfo(dtype).max)
    return np.dtype(np.float32 if largest < 2**24 else np.float64)


def _cells(
    source: zarr.Array[Any], maps: Sequence[AxisMap], region: grid.Region
) -> Iterator[grid.Region]:
    """Yield parts of the source that cover a region; no chunk belongs to two of them."""
    needed = [m.inputs(part) for m, part in zip(maps, region, strict=True)]
    steps = _cell_shape(source.chunks, source.dtype.itemsize)
    axes = []
    for part, step in zip(needed, steps, strict=True):
        borders = range(part.start // step * step + step, part.stop, step)
        edges = [part.start, *borders, part.stop]
        axes.append([slice(a, b) for a, b in itertools.pairwise(edges)])
    return itertools.product(*axes)


def _cell_shape(chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    shape = list(chunks)
    axis = len(shape) - 1
    while axis >= 0 and math.prod(shape) * itemsize * 2 <= _CELL_BYTES:
        shape[axis] *= 2
        axis = axis - 1 if axis > len(shape) - 2 else len(shape) - 1
    return tuple(shape)


def _weighted_sum(
    block: NDArray[Any], cell: grid.Region, touched: grid.Region, maps: Sequence[AxisMap]
) -> NDArray[Any]:
    """Return the contribution of a cell to the outputs it touches, one axis after another."""
    for axis, (m, inputs, outputs) in enumerate(zip(maps, cell, touched, strict=True)):
        if m.ratio == 1:
            continue
        block = _sum_axis(block, axis, m, inputs, outputs)
    return block


def _sum_axis(
    block: NDArray[Any], axis: int, m: AxisMap, inputs: slice, outputs: slice
) -> NDArray[Any]:
    shape = list(block.shape)
    shape[axis] = len(span(outputs))
    total = np.zeros(shape, block.dtype)
    by_axis = np.moveaxis(block, axis, 0)
    sums = np.moveaxis(total, axis, 0)
    # The pattern of weights repeats every `period` inputs, so that one strided operation serves
    # all inputs at the same place in the pattern.
    period, advance = m.ratio.numerator, m.ratio.denominator
    for offset in range(min(period, len(span(inputs)))):
        column = by_axis[offset::period]
        for j, weight in m.shares(inputs.start + offset):
            first = j - outputs.start
            skipped = max(0, math.ceil(-first / advance))
            start = first + skipped * advance
            goal = sums[start::advance][: len(column) - skipped]
            source = column[skipped : skipped + len(goal)]
            goal += source if weight == 1 else source * total.dtype.type(weight)
    return total


def _normalized(
    total: NDArray[Any], maps: Sequence[AxisMap], region: grid.Region, dtype: np.dtype[Any]
) -> NDArray[Any]:
    volume = 1.0
    for axis, (m, part) in enumerate(zip(maps, region, strict=True)):
        covered = m.covered(part)
        if np.all(covered == covered[0]):
            volume *= float(covered[0])
        else:  # the last sample reaches over the end of the array
            total /= np.expand_dims(
                covered, tuple(a for a in range(total.ndim) if a != axis)
            ).astype(total.real.dtype)
    total /= total.real.dtype.type(volume)
    return np.rint(total).astype(dtype) if dtype.kind in "iu" else total


def _pick_centres(
    result: NDArray[Any],
    source: zarr.Array[Any],
    cell: grid.Region,
    maps: Sequence[AxisMap],
    region: grid.Region,
) -> None:
    picked: list[list[int]] = []
    goals: list[list[int]] = []
    for m, inputs, within in zip(maps, cell, region, strict=True):
        pairs = [(j, m.centre(j)) for j in span(m.outputs(inputs, within))]
        inside = [(j, i) for j, i in pairs if inputs.start <= i < inputs.stop]
        goals.append([j - within.start for j, _ in inside])
        picked.append([i - inputs.start for _, i in inside])
    if all(picked):
        result[np.ix_(*goals)] = np.asarray(source[cell])[np.ix_(*picked)]
