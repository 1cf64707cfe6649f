"""Read the tile positions that Fiji's stitching plugin keeps in ``TileConfiguration.txt``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mosaicflow.errors import FormatError, InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONFIGURATION_NAME", "parse_tile_configuration", "read_tile_configuration"]

CONFIGURATION_NAME = "TileConfiguration.txt"
_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(.+)")
# A mosaic of a million tiles a side; beyond, sums of positions lose whole pixels.
_LARGEST_PX = 1e9
_TILE = re.compile(r"(?P<name>[^;]+);[^;]*;\s*\((?P<numbers>[^()]*)\)")


def parse_tile_configuration(text: str, where: str) -> dict[str, tuple[float, ...]]:
    """Read the text of a tile configuration.

    Parameters
    ----------
    text : str
        Lines ``name; ; (x, y)`` or ``name; ; (x, y, z)`` after ``dim = 2`` or ``dim = 3``.
    where : str
        File name for messages.

    Returns
    -------
    dict
        Upper-left corner in px by tile name, in the order of the axes of an array: (y, x) or
        (z, y, x).

    Raises
    ------
    FormatError
        When a line does not follow the format or a name appears twice.
    """
    dim = 2
    corners: dict[str, tuple[float, ...]] = {}
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        place = f"{where}, line {number}"
        if match := _TILE.fullmatch(line):
            name = match["name"].strip().replace("\\", "/")
            if name in corners:
                raise FormatError(f"{place}: {name} is listed twice")
            corners[name] = _corner(match["numbers"], dim, place)
        elif match := _ASSIGNMENT.fullmatch(line):
            dim = _dimension(match[2], place) if match[1] == "dim" else dim
        else:
            raise FormatError(f"{place}: found {line!r}, expected 'name; ; (x, y)'")
    return corners


def _dimension(text: str, place: str) -> int:
    if text.strip() not in ("2", "3"):
        raise FormatError(f"{place}: dim is {text.strip()}, expected 2 or 3")
    return int(text)


def _corner(text: str, dim: int, place: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise FormatError(f"{place}: ({text}) is not a list of numbers") from error
    if not all(abs(number) < _LARGEST_PX for number in numbers):  # NaN neither
        raise FormatError(f"{place}: ({text}), expected pixels below {_LARGEST_PX:g}")
    if len(numbers) != dim:
        raise FormatError(f"{place}: ({text}) has {len(numbers)} numbers, dim is {dim}")
    return numbers[::-1]


def read_tile_configuration(path: Path) -> dict[str, tuple[float, ...]]:
    """Read a tile configuration file; see `parse_tile_configuration`."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from error
    return parse_tile_configuration(text, path.name)
