"""Read the tile positions that Fiji's stitching plugin keeps in ``TileConfiguration.txt``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.errors import FormatError
from mosaicflow.io.tables import read_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CONFIGURATION_NAME",
    "ListedTile",
    "parse_tile_configuration",
    "read_tile_configuration",
]

CONFIGURATION_NAME = "TileConfiguration.txt"
_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*([^#]+?)\s*(?:#.*)?")
# A mosaic of a million tiles a side; beyond, sums of positions lose whole pixels.
_LARGEST_PX = 1e9
_TILE = re.compile(r"(?P<name>.+?)\s*;(?P<series>[^;]*);\s*\((?P<numbers>[^()]*)\)\s*(?:[;#].*)?")


@dataclass(frozen=True, slots=True)
class ListedTile:
    """One line of a tile configuration.

    Parameters
    ----------
    name : str
        File name as listed.
    corner_px : tuple of float
        Upper-left corner in the order of the axes of an array: (y, x) or (z, y, x).
    series : int or None
        Which image of the file, where the list says ``multiseries = true``.
    """

    name: str
    corner_px: tuple[float, ...]
    series: int | None = None


def parse_tile_configuration(text: str, where: str) -> tuple[ListedTile, ...]:
    """Read the text of a tile configuration.

    Parameters
    ----------
    text : str
        Lines ``name; series; (x, y)`` or ``name; series; (x, y, z)`` after ``dim = 2`` or
        ``dim = 3``. A line that starts with ``#`` is a comment; in a name it is a letter.
    where : str
        File name for messages.

    Raises
    ------
    FormatError
        When a line does not follow the format or a tile appears twice.
    """
    settings = {"dim": "2", "multiseries": "false"}
    tiles: list[ListedTile] = []
    seen: set[tuple[str, int | None]] = set()
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = raw.strip().strip("\0")
        if not line or line.startswith("#"):
            continue
        place = f"{where}, line {number}"
        if match := _TILE.fullmatch(line):
            tile = _tile(match, settings, place)
            if (tile.name, tile.series) in seen:
                raise FormatError(f"{place}: {tile.name} is listed twice")
            seen.add((tile.name, tile.series))
            tiles.append(tile)
        elif match := _ASSIGNMENT.fullmatch(line):
            settings[match[1].lower()] = match[2]
        else:
            raise FormatError(f"{place}: found {line!r}, expected 'name; ; (x, y)'")
        _dimension(settings["dim"], place)
    return tuple(tiles)


def _tile(match: re.Match[str], settings: dict[str, str], place: str) -> ListedTile:
    corner = _corner(match["numbers"], _dimension(settings["dim"], place), place)
    if settings["multiseries"].lower() != "true":
        return ListedTile(match["name"], corner)
    series = match["series"].strip()
    if not series.isdigit():
        raise FormatError(f"{place}: the series is {series!r}, expected a number from 0")
    return ListedTile(match["name"], corner, int(series))


def _dimension(text: str, place: str) -> int:
    if text not in ("2", "3"):
        raise FormatError(f"{place}: dim is {text}, expected 2 or 3")
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


def read_tile_configuration(path: Path) -> tuple[ListedTile, ...]:
    """Read a tile configuration file; see `parse_tile_configuration`."""
    return parse_tile_configuration(read_text(path), path.name)
