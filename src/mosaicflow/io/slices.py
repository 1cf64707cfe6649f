"""Reading fused slices, and writing a changed copy block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.images import StoredImage
from mosaicflow.io.threads import map_threads
from mosaicflow.io.zarr import OmeZarrWriter, write_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["SliceVolume", "lateral_regions", "write_slice"]

Region = tuple[slice, slice]
_BLOCK = 256


class SliceVolume(StoredImage):
    """A finished slice, axes (z, y, x)."""

    def read(self, region: Region) -> Volume:
        """Read rows and columns over the whole depth, as float32."""
        return np.asarray(self._level[:, region[0], region[1]], dtype=np.float32)

    def blocks(self, size: int = _BLOCK) -> list[Region]:
        """Split the slice into rows and columns of at most `size` px."""
        _, n_y, n_x = self.shape
        return [
            (slice(y, min(y + size, n_y)), slice(x, min(x + size, n_x)))
            for y in range(0, n_y, size)
            for x in range(0, n_x, size)
        ]

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


def lateral_regions(writer: OmeZarrWriter) -> list[Region]:
    """List the rows and columns that can be written independently, each over the whole depth."""
    bounds = {
        (rows.start, rows.stop, columns.start, columns.stop)
        for _, rows, columns in write_regions(writer)
    }
    return [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in sorted(bounds)]


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

    def write(region: Region) -> None:
        writer[:, region[0], region[1]] = change(source.read(region), region)

    with writer:
        map_threads(write, lateral_regions(writer), threads)
        writer.finalize(source.pitch_mm, n_levels)
