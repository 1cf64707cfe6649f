"""Lattices that follow from a running tile number and the path it takes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAME_INDICES", "TileNumbering", "TilePath", "find_numbers"]

_PATTERNS = ("row-by-row", "column-by-column", "snake-by-rows", "snake-by-columns")
_GRID = re.compile(r"(\d+)\s*[xX,]\s*(\d+)")
_NUMBER = re.compile(r"\d+")
_X, _Y = r"x(?P<x>\d+)", r"y(?P<y>\d+)"
# Lattice indices in a name: ``x3_y7`` or ``Y07_X03``.
NAME_INDICES = tuple(
    re.compile(rf"(?:^|[_\-. ]){first}[_\-. ]?{then}", re.IGNORECASE)
    for first, then in ((_X, _Y), (_Y, _X))
)
_FORMAT_FIELD = re.compile(r"\{(?:tile_number|number|n)(?::0?\d*d)?\}")


@dataclass(frozen=True, slots=True)
class TilePath:
    """The way a running number walks through a lattice.

    Parameters
    ----------
    by_rows : bool
        The number runs along rows (else along columns).
    snake : bool
        Every second line is walked backwards.
    leftwards, upwards : bool
        Direction of the first line and of the lines' order.
    n_rows, n_columns : int
        Size of the lattice.
    """

    by_rows: bool
    snake: bool
    leftwards: bool
    upwards: bool
    n_rows: int
    n_columns: int

    def index(self, rank: int) -> tuple[int, int] | None:
        """Give the lattice index (iy, ix) of the tile `rank` steps along the path.

        Returns None when the path is shorter than that.
        """
        if not 0 <= rank < self.n_rows * self.n_columns:
            return None
        length = self.n_columns if self.by_rows else self.n_rows
        line, step = divmod(rank, length)
        if self.snake and line % 2:
            step = length - 1 - step
        iy, ix = (line, step) if self.by_rows else (step, line)
        return (
            self.n_rows - 1 - iy if self.upwards else iy,
            self.n_columns - 1 - ix if self.leftwards else ix,
        )


@dataclass(frozen=True, slots=True)
class TileNumbering:
    """What a user says about running tile numbers.

    Parameters
    ----------
    pattern : str
        ``row-by-row``, ``column-by-column``, ``snake-by-rows``, ``snake-by-columns``; empty when
        tiles carry no such number.
    order : str
        Direction along the first line and of the lines, such as ``right-down`` or ``left-up``.
    grid : str
        Size of the lattice, rows x columns: ``7x9``.
    first_number : int, optional
        Number of the first tile; the smallest found when not given.
    name : str
        File name with a field ``{tile_number:03d}``, or a regular expression with a group
        ``number`` (or groups ``x`` and ``y``); empty: found by comparing the names.
    """

    pattern: str = ""
    order: str = "right-down"
    grid: str = ""
    first_number: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.is_given:
            _ = self.path
        elif self.pattern or self.grid:
            missing = "tile_grid" if self.pattern else "tile_pattern"
            raise ParameterError(
                f"{missing} is missing: a running number needs tile_pattern and tile_grid"
            )
        _ = self.expression

    @property
    def is_given(self) -> bool:
        """Whether the lattice is known from the number."""
        return bool(self.pattern and self.grid)

    @property
    def path(self) -> TilePath:
        """The path through the lattice."""
        words = set(self.order.split("-"))
        size = _GRID.fullmatch(self.grid.strip())
        if self.pattern not in _PATTERNS:
            raise ParameterError(f"tile_pattern is {self.pattern!r}: use {', '.join(_PATTERNS)}")
        if len(words & {"left", "right"}) != 1 or len(words & {"up", "down"}) != 1:
            raise ParameterError(f"tile_order is {self.order!r}, expected such as 'right-down'")
        if size is None or not int(size[1]) * int(size[2]):
            raise ParameterError(f"tile_grid is {self.grid!r}, expected rows x columns as '7x9'")
        return TilePath(
            by_rows="row" in self.pattern,
            snake=self.pattern.startswith("snake"),
            leftwards="left" in words,
            upwards="up" in words,
            n_rows=int(size[1]),
            n_columns=int(size[2]),
        )

    @property
    def expression(self) -> re.Pattern[str] | None:
        """The regular expression of a file name, if one was given."""
        text = self.name
        if field := _FORMAT_FIELD.search(text):
            before, after = text[: field.start()], text[field.end() :]
            text = f"{re.escape(before)}(?P<number>\\d+){re.escape(after)}"
        try:
            return re.compile(text) if text else None
        except re.error as error:
            raise ParameterError(
                f"tile_name is {self.name!r}, not a regular expression: {error}"
            ) from error


def find_numbers(
    names: Sequence[str],
    expression: re.Pattern[str] | None,
    n_places: int | None = None,
    first: int | None = None,
) -> dict[str, int]:
    """Find the running tile number in file names.

    Parameters
    ----------
    names : sequence of str
        File names of one slice.
    expression : re.Pattern, optional
        With a group ``number``. Without it, the number counts that differs from name to name and
        fits the lattice, as a time stamp beside it does not.
    n_places : int, optional
        Places of the lattice.
    first : int, optional
        Number of the first tile; the smallest found when not given.

    Returns
    -------
    dict
        Number by name; names that do not fit are left out.

    Raises
    ------
    InputError
        When two names carry the same number, or several numbers could be meant.
    """
    if expression is not None and "number" in expression.groupindex:
        matches = {name: expression.search(name) for name in names}
        numbers = {name: int(m["number"]) for name, m in matches.items() if m is not None}
    else:
        numbers = _counting_numbers(names, n_places, first)
    seen: dict[int, str] = {}
    for name, number in numbers.items():
        if number in seen:
            raise InputError(
                f"{name}: has the tile number {number} of {seen[number]}",
                remedy="say with tile_name which part of the name is the number",
            )
        seen[number] = name
    return numbers


def _counting_numbers(
    names: Sequence[str], n_places: int | None, first: int | None
) -> dict[str, int]:
    skeletons = Counter(_NUMBER.sub("#", name) for name in names)
    if not skeletons:
        return {}
    skeleton = max(sorted(skeletons), key=lambda text: skeletons[text])
    fields = {
        name: [int(text) for text in _NUMBER.findall(name)]
        for name in names
        if _NUMBER.sub("#", name) == skeleton
    }
    columns = list(zip(*fields.values(), strict=True))
    if not columns:
        return {}
    best = _counting_column(columns, n_places, first, next(iter(fields)))
    return {name: numbers[best] for name, numbers in fields.items()}


def _counting_column(
    columns: Sequence[tuple[int, ...]], n_places: int | None, first: int | None, name: str
) -> int:
    """Choose the column of numbers that counts the tiles."""
    most = max(len(set(column)) for column in columns)
    varied = [i for i, column in enumerate(columns) if len(set(column)) == most]
    if len(varied) == 1 or n_places is None:
        return varied[-1]
    start = {i: min(columns[i]) if first is None else first for i in varied}
    fitting = [
        i for i in varied if start[i] <= min(columns[i]) and max(columns[i]) - start[i] < n_places
    ]
    ranks = {tuple(number - start[i] for number in columns[i]) for i in fitting}
    if len(ranks) == 1:
        return fitting[-1]
    listed = ", ".join(str(columns[i][0]) for i in varied)
    raise InputError(
        f"{name}: {'any' if fitting else 'none'} of the numbers {listed} could be the one that "
        f"counts the {n_places} tiles of the lattice",
        remedy="say with --tile_name which, for example 'tile_{tile_number:03d}_.*'"
        if fitting
        else "say with --tile_name which, or correct tile_grid",
    )
