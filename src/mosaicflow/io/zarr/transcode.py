"""Copying a store into another flavour, chunking or compression, level by level."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import StoreError
from mosaicflow.io.zarr.copying import copy_into
from mosaicflow.io.zarr.info import read_omezarr_info
from mosaicflow.io.zarr.location import StorePath, check_distinct, locate
from mosaicflow.io.zarr.metadata import LevelScale, PyramidNotes
from mosaicflow.io.zarr.units import clean_um
from mosaicflow.io.zarr.values import kept_dtype
from mosaicflow.io.zarr.writer import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.zarr.codecs import Compressor
    from mosaicflow.io.zarr.metadata import NgffVersion
    from mosaicflow.io.zarr.reader import LevelReader, StoreChoice

__all__ = ["StoreFormat", "transcode_omezarr", "zip_store"]


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """How a copy is stored; None keeps the chunks of the source.

    Parameters
    ----------
    chunks : tuple of int or None
        Chunk shape of the full resolution.
    compressor : str
        Codec name.
    ngff_version : {"0.4", "0.5"}
        Flavour.
    sharding_factor : int or None
        Chunks per shard along y and x.
    """

    chunks: tuple[int, ...] | None = None
    compressor: Compressor = "blosc"
    ngff_version: NgffVersion = "0.4"
    sharding_factor: int | None = None


class _CopyWriter(OmeZarrWriter):
    """A writer that takes its levels from another store."""

    def copy(self, levels: list[LevelReader], notes: PyramidNotes, dtype: np.dtype[Any]) -> None:
        scales = []
        for number, reader in enumerate(levels):
            target = self._target if number == 0 else self._create_level(number, reader.shape)
            whole = tuple(slice(0, n) for n in reader.shape)
            copy_into(target, whole, _reading(reader, dtype), reader.chunks)
            pitch = tuple(clean_um(1000 * value) for value in reader.resolution_mm)
            scales.append(LevelScale(str(number), pitch, reader.translation_um))
        self._publish(scales, notes)


def _reading(
    reader: LevelReader, dtype: np.dtype[Any]
) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    if reader.dtype == dtype:
        return reader.__getitem__
    return lambda region: reader[region].astype(dtype)


def transcode_omezarr(
    source: StorePath,
    output: StorePath,
    store: StoreFormat,
    *,
    choice: StoreChoice,
    overwrite: bool = False,
) -> None:
    """Copy every level of a store, value for value, into another flavour, chunking or codec.

    Parameters
    ----------
    source, output : path or URL
        Store to read and store to write.
    store : StoreFormat
        How the copy is stored.
    choice : StoreChoice
        What is read of it.
    overwrite : bool, optional
        Whether an existing output is replaced.
    """
    check_distinct(output, source)
    info = read_omezarr_info(source)
    levels = [choice.open(source, number) for number in range(len(info.levels))]
    first = levels[0]
    dtype = kept_dtype(first.dtype, str(first.location))
    with _CopyWriter(
        output,
        first.shape,
        store.chunks or first.chunks,
        dtype,
        overwrite,
        compressor=store.compressor,
        ngff_version=store.ngff_version,
        sharding_factor=store.sharding_factor,
        attrs=info.mosaicflow,
    ) as writer:
        kept = dict(info.pyramid)
        axes = "zyx"[-first.ndim :]
        with writer.discarded_on_error():
            notes = PyramidNotes("mean", "copied levels", "copied", axes, (), kept)
            writer.copy(levels, notes, dtype)


def zip_store(folder: Path, output: Path) -> None:
    """Pack a store into one archive: its content at the root, not compressed a second time.

    Parameters
    ----------
    folder : Path
        A finished local store.
    output : Path
        Archive to write.
    """
    if not read_omezarr_info(folder).location.is_folder:
        raise StoreError(f"{folder}: only a folder can be packed")
    partial = output.with_name(f".{output.name}.tmp")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for base, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                file = Path(base, name)
                # A fixed date: the same store gives the same archive.
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                with file.open("rb") as content, archive.open(entry, "w") as packed:
                    while part := content.read(2**20):
                        packed.write(part)
    partial.replace(locate(output).path)
