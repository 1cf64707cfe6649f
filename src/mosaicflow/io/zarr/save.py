"""Writing an array that is there as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.location import StorePath, check_distinct
from mosaicflow.io.zarr.reader import readers_below
from mosaicflow.io.zarr.units import Resolution, check_plausible, resolution_to_um
from mosaicflow.io.zarr.values import is_lazy
from mosaicflow.io.zarr.writer import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import dask.array as da
    from numpy.typing import ArrayLike

    from mosaicflow.io.zarr.codecs import Compressor
    from mosaicflow.io.zarr.metadata import NgffVersion
    from mosaicflow.io.zarr.pyramid import DownscaleAxes

__all__ = ["save_omezarr"]


def save_omezarr(  # the documented call fixes five positional arguments
    data: ArrayLike | da.Array,
    path: StorePath,
    resolution: Resolution,
    chunks: grid.ChunksLike = None,
    n_levels: int = 0,
    *,
    overwrite: bool = True,
    compressor: Compressor = "blosc",
    ngff_version: NgffVersion = "0.4",
    sharding_factor: int | None = None,
    downscale_axes: DownscaleAxes = "yx",
    name: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Write an array as a finished store.

    Parameters
    ----------
    data : ndarray or dask.array.Array
        Axes (z, y, x) or (y, x); the dtype is kept. A dask array is never held as a whole.
    path : path or URL
        Output; an existing store is replaced as a whole.
    resolution : float or sequence of float
        Millimetres per pixel, one value or one per axis.
    chunks : optional
        As for `OmeZarrWriter`; `data.chunks` of a dask array is understood.
    n_levels : int, optional
        Number of levels in addition to the full resolution.
    overwrite, compressor, ngff_version, sharding_factor, name, attrs : optional
        As for `OmeZarrWriter`.
    downscale_axes : {"yx", "zyx"}, optional
        Axes that each level halves.
    """
    if is_lazy(data):
        for source in readers_below(data):
            check_distinct(path, source.location)
    else:
        data = np.asarray(data)
    # Before anything is written, as these errors should leave no trace.
    shape = grid.checked_shape(data.shape)
    check_plausible(resolution_to_um(resolution, len(shape)), os.fspath(path), {})
    with OmeZarrWriter(
        path,
        shape,
        chunks,
        data.dtype,
        overwrite,
        compressor=compressor,
        ngff_version=ngff_version,
        sharding_factor=sharding_factor,
        name=name,
        attrs=attrs,
    ) as writer:
        writer[...] = data
        writer.finalize(resolution, n_levels, downscale_axes=downscale_axes)
