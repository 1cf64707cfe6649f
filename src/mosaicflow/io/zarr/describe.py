"""A store in words: what `mosaicflow info` prints."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from mosaicflow.io.zarr.info import OmeZarrInfo, read_omezarr_info
from mosaicflow.io.zarr.location import Location, StorePath, locate
from mosaicflow.io.zarr.validate import StoreProblem, are_lengths, validate_omezarr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.io.zarr.metadata import Axis

__all__ = ["describe_store", "describe_units"]


def describe_store(
    path: StorePath | Location, *, check: bool = False
) -> tuple[list[str], list[StoreProblem]]:
    """Return the description of a store, and what is wrong with it.

    Parameters
    ----------
    path : path or URL
        Store to describe; unfinished ones are described too.
    check : bool, optional
        Decode every chunk.

    Returns
    -------
    lines : list of str
        Text without problems.
    problems : list of StoreProblem
        As `validate_omezarr` returns them.
    """
    location = locate(path)
    problems = validate_omezarr(location, chunks=check)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are among the problems
        info = read_omezarr_info(location)
    lines = [
        f"store      {location}",
        f"name       {info.name}",
        f"format     NGFF {info.ngff_version or 'none'}, Zarr v{info.zarr_format}",
        f"axes       {', '.join(map(_axis_label, info.axes))}",
        f"size       {_stored(location)} stored, {decimal(_memory(info))} in memory",
        *_level_lines(info),
        *_lattice_lines(info.mosaicflow),
    ]
    return lines, problems


def describe_units(path: StorePath | Location) -> list[str]:
    """Return what the pitch of the full resolution would be if it was meant in mm.

    Some older writers put millimetres where the metadata says micrometres.
    """
    info = read_omezarr_info(path)
    scale = info.levels[0].scale_um
    names = [axis.name for axis in info.axes]
    as_um = ", ".join(f"{n} {v:g}" for n, v in zip(names, scale, strict=True))
    as_mm = ", ".join(f"{n} {v * 1000:g}" for n, v in zip(names, scale, strict=True))
    likely = "millimetre" if max(scale[-2:]) < 1 else "micrometre"
    return [
        f"pitch      as the metadata says ({as_um}) um; if it was meant in mm ({as_mm}) um",
        f"guess      the numbers look like {likely}",
    ]


def _level_lines(info: OmeZarrInfo) -> list[str]:
    lines = []
    for number, level in enumerate(info.levels):
        text = (
            f"level {number}    {_sizes(level.shape)} {level.dtype}, {_numbers(level.scale_um)} um,"
            f" chunks {_sizes(level.chunks)}"
        )
        if level.shards:
            text += f", shards {_sizes(level.shards)}"
        text += f", {level.codec}"
        if level.translation_um is not None:
            text += f", first voxel at {_numbers(level.translation_um)} um"
        lines.append(text)
    return lines


def _lattice_lines(block: dict[str, Any]) -> list[str]:
    lines = [f"kind       {block['kind']}"] if "kind" in block else []
    grid, tile = block.get("grid_shape"), block.get("tile_shape")
    if are_lengths(grid, 2) and are_lengths(tile, 3):
        given = block.get("missing_tiles")
        missing = (
            [one for one in given if isinstance(one, list) and len(one) == 2]
            if isinstance(given, list)
            else []
        )
        text = f"lattice    {_sizes(grid)} tiles (y x) of {_sizes(tile)} px"
        text += f", {len(missing)} of {math.prod(grid)} missing"
        if missing:
            text += ": " + ", ".join(f"({y}, {x})" for y, x in missing)
        lines.append(text)
    return lines


def _axis_label(axis: Axis) -> str:
    return f"{axis.name} ({axis.unit or axis.type or 'no unit'})"


def _stored(location: Location) -> str:
    size = location.total_bytes
    return "unknown" if size is None else decimal(size)


def _memory(info: OmeZarrInfo) -> int:
    return sum(level.nbytes for level in info.levels)


def _sizes(values: Sequence[int]) -> str:
    return " x ".join(str(value) for value in values)


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
