"""Power-of-two levels: exact block means, streamed one block at a time."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.threads import map_threads, thread_count
from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning
from mosaicflow.io.zarr.grid import Region, regions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import zarr
    from numpy.typing import NDArray

__all__ = ["block_mean", "cap_levels", "fill_blocks", "halved_axes", "halved_shape", "write_half"]

# Blocks under way in all threads together, in bytes of the finished block.
_BLOCK_BUDGET = 96 * 2**20


def halved_axes(downscale_axes: str, ndim: int) -> tuple[int, ...]:
    """Return the axes that each level halves."""
    if downscale_axes not in {"yx", "zyx"}:
        raise ArgumentError(f"downscale_axes {downscale_axes!r} is not known (expected yx or zyx)")
    lateral = (ndim - 2, ndim - 1)
    return (ndim - 3, *lateral) if downscale_axes == "zyx" and ndim > 2 else lateral


def cap_levels(n_levels: int, shape: Sequence[int], axes: Sequence[int], where: str) -> int:
    """Return how many extra levels the shape allows; warn when it is fewer than asked for."""
    if n_levels < 0:
        raise ArgumentError(f"n_levels {n_levels} is negative")
    possible = int(math.log2(min(shape[-2:]))) if min(shape[-2:]) else 0
    if n_levels > possible:
        warnings.warn(
            f"{where}: {n_levels} levels asked for, {possible} written: a lateral size of"
            f" {min(shape[-2:])} cannot be halved more often",
            OmeZarrWarning,
            stacklevel=3,
        )
    return min(n_levels, possible)


def halved_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the next level; the last odd row is dropped, one plane is kept."""
    return tuple(max(1, n // 2) if axis in axes else n for axis, n in enumerate(shape))


def block_mean(block: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """Return the mean over pairs along some axes.

    Parameters
    ----------
    block : ndarray
        Its sizes along `axes` are even, or 1 (kept as it is).
    axes : sequence of int
        Axes to halve.

    Returns
    -------
    ndarray
        Same dtype; integers are rounded half to even.
    """
    pairs = [axis for axis in axes if block.shape[axis] > 1]
    parts = [
        block[
            tuple(
                slice(starts.get(axis, 0), None, 2 if axis in starts else 1)
                for axis in range(block.ndim)
            )
        ]
        for starts in (
            dict(zip(pairs, s, strict=True)) for s in itertools.product((0, 1), repeat=len(pairs))
        )
    ]
    integer = block.dtype.kind in "iu"
    total = parts[0].astype(np.uint32 if integer else block.dtype)
    for part in parts[1:]:
        total += part
    mean = total * block.dtype.type(1 / len(parts)) if not integer else total / len(parts)
    return np.rint(mean).astype(block.dtype) if integer else mean


def write_half(source: zarr.Array[Any], target: zarr.Array[Any], axes: Sequence[int]) -> None:
    """Fill `target` with the block means of `source`, whose halved shape it has."""

    def render(region: Region) -> NDArray[Any]:
        halved = [axis in axes and n > 1 for axis, n in enumerate(source.shape)]
        wanted = tuple(
            slice(2 * part.start, 2 * part.stop) if half else part
            for part, half in zip(region, halved, strict=True)
        )
        return block_mean(np.asarray(source[wanted]), axes)

    fill_blocks(target, render)


def fill_blocks(target: zarr.Array[Any], render: Callable[[Region], NDArray[Any]]) -> None:
    """Fill an array file by file, asking `render` for one chunk at a time.

    Parameters
    ----------
    target : zarr.Array
        Array to fill; each file (shard or chunk) is written once, by one thread.
    render : callable
        Returns the content of a region of the target, at most one chunk large.
    """
    block = target.shards or target.chunks
    block_bytes = math.prod(block) * target.dtype.itemsize
    threads = max(1, min(thread_count(), _BLOCK_BUDGET // max(1, block_bytes)))

    def fill(region: Region) -> None:
        if target.shards is None:
            target[region] = render(region)
            return
        content = np.empty(tuple(p.stop - p.start for p in region), target.dtype)
        for inner in regions(content.shape, target.chunks):
            offset = tuple(
                slice(p.start + i.start, p.start + i.stop)
                for p, i in zip(region, inner, strict=True)
            )
            content[inner] = render(offset)
        target[region] = content

    map_threads(fill, regions(target.shape, block), threads)
