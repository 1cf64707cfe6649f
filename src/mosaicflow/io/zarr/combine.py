"""One image from two of the same shape, level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.io.zarr.copying import copy_into
from mosaicflow.io.zarr.location import check_distinct
from mosaicflow.io.zarr.metadata import LevelScale, PyramidNotes
from mosaicflow.io.zarr.reader import LevelReader, open_levels
from mosaicflow.io.zarr.units import clean_um
from mosaicflow.io.zarr.writer import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr import grid
    from mosaicflow.io.zarr.info import OmeZarrInfo

    Combine = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["combine_images"]


def combine_images(
    sources: tuple[OmeZarrInfo, OmeZarrInfo],
    output: Path,
    combine: Combine,
    *,
    attrs: Mapping[str, Any],
    window: tuple[float, float],
    **options: Any,  # noqa: ANN401  # those of the writer
) -> None:
    """Write one value for each pair of voxels, in every level; levels are not averaged again.

    Parameters
    ----------
    sources : (OmeZarrInfo, OmeZarrInfo)
        Stores with the same levels.
    output : Path
        Store to write.
    combine : callable
        Two blocks (z, y, x), float32 -> one of the same shape.
    attrs : mapping
        The ``mosaicflow`` block of the output.
    window : (float, float)
        Least and largest value, which viewers show as black and white.
    **options
        Flavour, codec, sharding and checksums, as for `OmeZarrWriter`.
    """
    for source in sources:
        check_distinct(output, source.location)
    first, second = map(open_levels, sources)
    writer = _CombinedWriter(output, first[0].shape, first[0].chunks, attrs=attrs, **options)
    writer.contrast = (window, window)
    with writer, writer.discarded_on_error():
        axes = "zyx"[-first[0].ndim :]
        kept = dict(sources[0].pyramid)
        notes = PyramidNotes("mean", "combined levels", "combined", axes, (), kept)
        writer.combine(list(zip(first, second, strict=True)), combine, notes)


class _CombinedWriter(OmeZarrWriter):
    """A writer that takes its levels from two other stores."""

    def combine(
        self,
        pairs: Sequence[tuple[LevelReader, LevelReader]],
        combine: Combine,
        notes: PyramidNotes,
    ) -> None:
        scales = []
        for number, (one, other) in enumerate(pairs):
            target = self._target if number == 0 else self._create_level(number, one.shape)

            def read(
                region: grid.Region, one: LevelReader = one, other: LevelReader = other
            ) -> NDArray[np.float32]:
                blocks = (np.asarray(level[region], np.float32) for level in (one, other))
                return combine(*blocks)

            copy_into(target, tuple(slice(0, n) for n in one.shape), read, one.chunks)
            pitch = tuple(clean_um(1000 * value) for value in one.resolution_mm)
            scales.append(LevelScale(str(number), pitch, one.translation_um))
        self._publish(scales, notes)
