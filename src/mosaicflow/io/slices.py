"""Reading fused slices, and writing a changed copy block by block."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.images import StoredImage
from mosaicflow.io.zarr import OmeZarrWriter
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["SliceVolume", "write_columns", "write_slice"]

Region = tuple[slice, slice]
# Side [px] of a column that is handled at once: 100 planes are 26 MB. Doubled, four times that.
_BLOCK = 256


class SliceVolume(StoredImage):
    """A finished slice, axes (z, y, x)."""

    def read(self, region: Region) -> Volume:
        """Read rows and columns over the whole depth, as float32."""
        return np.asarray(self._level[:, region[0], region[1]], dtype=np.float32)

    def blocks(self, size: int = _BLOCK) -> list[Region]:
        """Split the slice into rows and columns of at most `size` px."""
        _, n_y, n_x = self.shape
        return _parts((slice(0, n_y), slice(0, n_x)), (size, size))

    def reduced(
        self, reduce: Callable[[Volume], Volume], factor: int, n_out: int, threads: int
    ) -> Volume:
        """Collect a reduced version of all blocks.

        Parameters
        ----------
        reduce : callable
            Turns a block (z, y, x) into (n_out, ceil(y / factor), ceil(x / factor)).
        factor : int
            Lateral reduction; must divide the block size of 256.
        n_out : int
            Planes of the result.
        threads : int
            Blocks worked on at the same time.
        """
        _, n_y, n_x = self.shape
        result = np.zeros((n_out, -(-n_y // factor), -(-n_x // factor)), np.float32)

        def collect(region: Region) -> None:
            small = reduce(self.read(region))
            y, x = (part.start // factor for part in region)
            result[:, y : y + small.shape[1], x : x + small.shape[2]] = small

        map_threads(collect, self.blocks(), threads)
        return result

    def thinned(self, most_px: int, threads: int) -> Volume:
        """Take every n-th column so that at most about `most_px` are left; (z, y, x)."""
        n_z, n_y, n_x = self.shape
        step = 1
        while (n_y // step) * (n_x // step) > most_px and step < _BLOCK:
            step *= 2
        return self.reduced(lambda block: block[:, ::step, ::step], step, n_z, threads)


def write_columns(writer: OmeZarrWriter, make: Callable[[Region], Volume], threads: int) -> None:
    """Fill a store block by block, each over the whole depth.

    Parameters
    ----------
    writer : OmeZarrWriter
        Unfinished store, axes (z, y, x).
    make : callable
        Returns the voxels (z, y, x) at the rows and columns of one chunk. A shard is put together
        from many of these, so that only what is written is ever as large as a shard.
    threads : int
        Blocks made at the same time.
    """
    whole = (slice(0, writer.shape[1]), slice(0, writer.shape[2]))

    def write(region: Region) -> None:
        writer[:, region[0], region[1]] = make(region)

    if writer.shards is None:
        map_threads(write, _parts(whole, writer.chunks), threads)
        return
    for region in _parts(whole, writer.shards):
        shard = np.empty(_extent(writer.shape[0], region), np.float32)
        map_threads(partial(_fill, shard, region, make), _parts(region, writer.chunks), threads)
        writer[:, region[0], region[1]] = shard


def _fill(whole: Volume, bounds: Region, make: Callable[[Region], Volume], part: Region) -> None:
    rows, columns = (
        slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, bounds, strict=True)
    )
    whole[:, rows, columns] = make(part)


def _extent(n_z: int, region: Region) -> tuple[int, int, int]:
    return (n_z, region[0].stop - region[0].start, region[1].stop - region[1].start)


def _parts(region: Region, block: Sequence[int]) -> list[Region]:
    """Split rows and columns into parts of the lateral size of a block."""
    rows, columns = region
    height, width = block[-2:]
    return [
        (slice(y, min(y + height, rows.stop)), slice(x, min(x + width, columns.stop)))
        for y in range(rows.start, rows.stop, height)
        for x in range(columns.start, columns.stop, width)
    ]


def write_slice(
    source: SliceVolume,
    output: Path,
    change: Callable[[Volume, Region], Volume],
    *,
    n_z: int,
    attrs: Mapping[str, Any],
    n_levels: int,
    writer_options: Mapping[str, Any],
    threads: int,
) -> None:
    """Write a copy of a slice with every block changed.

    Parameters
    ----------
    source : SliceVolume
        What is read.
    output : Path
        Store to write.
    change : callable
        Gets a block (z, y, x) and its rows and columns; returns `n_z` planes of it.
    n_z : int
        Planes of the output.
    attrs : mapping
        The ``mosaicflow`` block of the output.
    n_levels : int
        Additional pyramid levels.
    writer_options : mapping
        Flavour, codec and sharding.
    threads : int
        Blocks worked on at the same time.
    """
    writer = OmeZarrWriter(
        output,
        shape=(n_z, *source.shape[1:]),
        dtype=np.float32,
        attrs=dict(attrs),
        **writer_options,
    )

    with writer:
        write_columns(writer, lambda region: change(source.read(region), region), threads)
        writer.finalize(source.pitch_mm, n_levels)
