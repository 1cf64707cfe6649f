"""Filling an array of whole files from something that can be read part by part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr import grid
from mosaicflow.threads import map_threads, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.target import TargetArray

__all__ = ["copy_into", "copy_step"]

# Held by each of a few threads at a time.
_STEP_BYTES = 64 * 2**20
# By judgement: one disk is read and written. Doubled, twice as many steps lie in memory.
_MOST_THREADS = 4


def copy_into(
    target: TargetArray,
    region: grid.Region,
    read: Callable[[grid.Region], NDArray[Any]],
    source_chunks: Sequence[int],
) -> None:
    """Fill a region of an array, a few files at a time.

    Parameters
    ----------
    target : TargetArray
        Array of an unfinished store.
    region : tuple of slice
        Whole files of it.
    read : callable
        Returns the voxels of a region of the target.
    source_chunks : sequence of int
        Chunks that are decoded as a whole whatever part of them is read.
    """
    block = target.spec.block
    shape = tuple(part.stop - part.start for part in region)
    step = copy_step(shape, block, source_chunks, target.spec.dtype.itemsize)

    def copy(inner: grid.Region) -> None:
        part = grid.shifted(inner, region)
        if step == block:  # may be a large shard, which is never held as a whole
            target.render(part, read)
        else:
            target.write(part, read(part))

    # The chunks of a shard are already encoded in parallel.
    threads = 1 if target.spec.shards else min(thread_count(), _MOST_THREADS)
    map_threads(copy, grid.regions(shape, step), threads)


def copy_step(
    shape: Sequence[int], block: tuple[int, ...], chunks: Sequence[int], itemsize: int
) -> tuple[int, ...]:
    """Return how much to copy at a time: whole blocks, and whole source chunks where they fit."""
    step = list(block)
    # Axes whose source chunks would be decoded most often come first.
    for axis in sorted(range(len(step)), key=lambda a: step[a] / chunks[a]):
        whole = math.lcm(block[axis], chunks[axis]) // block[axis]
        _grow(step, axis, whole, shape, itemsize)
    for axis in reversed(range(len(step))):  # fewer and larger calls
        _grow(step, axis, shape[axis], shape, itemsize)
    return tuple(step)


def _grow(step: list[int], axis: int, most: int, shape: Sequence[int], itemsize: int) -> None:
    """Multiply the length of one axis as far as needed, and as the memory allows."""
    room = _STEP_BYTES // (math.prod(step) * itemsize)
    useful = math.ceil(shape[axis] / step[axis])
    step[axis] *= max(1, min(most, room, useful))
