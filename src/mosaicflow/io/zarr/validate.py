"""Checking a store: metadata against the NGFF models, arrays against metadata, every chunk."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, get_args

from mosaicflow.errors import MosaicflowError
from mosaicflow.io.checksums import damage
from mosaicflow.io.zarr.checking import known_sums
from mosaicflow.io.zarr.damage import damaged_chunks
from mosaicflow.io.zarr.info import OmeZarrInfo, read_omezarr_info
from mosaicflow.io.zarr.location import Location, StorePath, locate
from mosaicflow.io.zarr.metadata import NgffVersion
from mosaicflow.io.zarr.root import find_root
from mosaicflow.io.zarr.target import open_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mosaicflow.io.zarr.array_info import LevelInfo

__all__ = ["StoreProblem", "are_lengths", "validate_omezarr"]


# Empty chunks may be absent, yet one in a hundred is there in any image that somebody made.
_CHUNKS_PER_FILE = 100


@dataclass(frozen=True, slots=True)
class StoreProblem:
    """Something wrong with a store.

    Parameters
    ----------
    severity : {"error", "warning"}
        An error makes data unreadable or wrong; a warning may trouble other software.
    where : str
        Array, chunk or metadata key inside the store.
    message : str
        What is wrong.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.message}"


def validate_omezarr(path: StorePath | Location, *, chunks: bool = False) -> list[StoreProblem]:
    """Return everything that is wrong with a store; an empty list when it is sound.

    Parameters
    ----------
    path : path or URL
        Store to check.
    chunks : bool, optional
        Also decode every chunk of every level.

    Returns
    -------
    list of StoreProblem
    """
    location = locate(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            info = read_omezarr_info(location)
        except MosaicflowError as error:
            return [StoreProblem("error", str(location), str(error))]
    problems = [StoreProblem("warning", "metadata", str(w.message)) for w in caught]
    problems += _schema_problems(info)
    problems += _level_problems(info)
    problems += _lattice_problems(info)
    if chunks:
        strange = list(_link_problems(info.location))
        problems += strange or (*_chunk_problems(info), *_sum_problems(info.location))
    return problems


def _schema_problems(info: OmeZarrInfo) -> Iterator[StoreProblem]:
    if not info.ngff_version:
        return
    if info.ngff_version not in get_args(NgffVersion):
        text = f"NGFF {info.ngff_version}: the models know {' and '.join(get_args(NgffVersion))}"
        yield StoreProblem("warning", "metadata", f"{text}; its metadata was read, not checked")
        return
    import pydantic

    attributes = find_root(info.location).attributes
    try:
        _check_model(attributes, info.zarr_format)
    except pydantic.ValidationError as error:
        for detail in error.errors():
            where = ".".join(str(part) for part in detail["loc"])
            yield StoreProblem("error", where or "metadata", detail["msg"])


def _check_model(attributes: Mapping[str, Any], zarr_format: int) -> None:
    if zarr_format == 2:
        from ome_zarr_models.v04.image import ImageAttrs

        ImageAttrs.model_validate(attributes)
    else:
        from ome_zarr_models.v05.image import ImageAttrs as ImageAttrs05

        ImageAttrs05.model_validate(attributes.get("ome", {}))


def _level_problems(info: OmeZarrInfo) -> Iterator[StoreProblem]:
    first = info.levels[0]
    for previous, level in zip(info.levels, info.levels[1:], strict=False):
        if any(n > m for n, m in zip(level.shape, previous.shape, strict=True)):
            yield StoreProblem(
                "error", level.path, f"shape {level.shape} is larger than the level above"
            )
    for level in info.levels:
        if level.dtype != first.dtype:
            yield StoreProblem(
                "error", level.path, f"dtype {level.dtype}, level 0 has {first.dtype}"
            )
        if level.codec == "lz4":
            yield StoreProblem("warning", level.path, "plain lz4 is not read by Neuroglancer")


def _lattice_problems(info: OmeZarrInfo) -> Iterator[StoreProblem]:
    """Check the tiles of a mosaic grid against its array."""
    block, level = info.mosaicflow, info.levels[0]
    tile, lattice = block.get("tile_shape"), block.get("grid_shape")
    if not (tile and lattice):
        return
    if not (are_lengths(tile, 3) and are_lengths(lattice, 2)):
        text = f"tiles of {tile!r:.80} on a lattice of {lattice!r:.80}, expected numbers"
        yield StoreProblem("error", "mosaicflow.tile_shape", text)
        return
    found = level.shape[-2:]
    expected = tuple(n * size for n, size in zip(lattice, tile[-2:], strict=True))
    if found != expected:
        text = f"tiles of {tile} on a lattice of {lattice} are {expected} wide, the array {found}"
        yield StoreProblem("error", "mosaicflow.tile_shape", text)
    elif any(n % size for n, size in zip(tile[-2:], level.chunks[-2:], strict=True)):
        text = f"chunks of {level.chunks} cross the borders of tiles of {tile}"
        yield StoreProblem("warning", level.path, text)


def are_lengths(value: object, most: int) -> TypeGuard[list[int]]:
    """Whether a value of a document is a list of two or more extents."""
    lengths = value if isinstance(value, list) and 2 <= len(value) <= most else [0]
    return all(type(length) is int and length > 0 for length in lengths)


def _link_problems(location: Location) -> Iterator[StoreProblem]:
    """Find what is no file of the store: links out of it, and pipes that are read for ever."""
    if not location.is_folder:
        return
    root = Path(os.path.realpath(location.address))
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            target = Path(os.path.realpath(path))  # which takes links in a circle too
            if path.is_symlink() and not target.is_relative_to(root):
                text = f"is a link out of the store, to {target}"
                yield StoreProblem("error", str(path.relative_to(root)), text)
            elif not (path.is_file() or path.is_dir()):
                yield StoreProblem("error", str(path.relative_to(root)), "is no file")


def _chunk_problems(info: OmeZarrInfo) -> Iterator[StoreProblem]:
    for level in info.levels:
        array = open_array(info.location, level.path, info.zarr_format)
        if excess := _excess(info.location, level):
            yield StoreProblem("error", level.path, excess)
            continue
        for key, message in damaged_chunks(array):
            yield StoreProblem(
                "error", f"{level.path}/{key}".strip("/"), f"cannot decode ({message})"
            )


def _sum_problems(location: Location) -> Iterator[StoreProblem]:
    """Compare a local store with the checksums that it came with."""
    known = known_sums(location)
    for name, what in damage(location.path, known) if known else ():
        yield StoreProblem("error", name, what)


def _excess(location: Location, level: LevelInfo) -> str:
    """Say that far more chunks are announced than files are there; empty where that is not so."""
    if not location.is_folder:
        return ""
    outer = level.shards or level.chunks
    announced = math.prod(-(-n // size) for n, size in zip(level.shape, outer, strict=True))
    files = sum(len(names) for *_, names in os.walk(location.path / location.key(level.path)))
    if announced <= _CHUNKS_PER_FILE * (files + 100):
        return ""
    return f"{announced} chunks are announced and {files} files are there: not checked"
