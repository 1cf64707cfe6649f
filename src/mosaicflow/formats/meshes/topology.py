"""Membrane topologies of FreeDTS, tsi and q."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.source import extension_of, read_text
from mosaicflow.formats.meshes.polygons import mesh_container

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_tsi", "write_topology_file"]

_VERSION = "1.1"


class _Rows:
    """The rows of a topology file that have values, with their lines."""

    def __init__(self, path: FilePath) -> None:
        lines = enumerate(read_text(path).split("\n"), start=1)
        self._rows = [(line, words) for line, text in lines if (words := text.split())]
        self._path = path
        self._at = 0

    def next(self) -> tuple[int, list[str]] | None:
        if self._at == len(self._rows):
            return None
        self._at += 1
        return self._rows[self._at - 1]

    def count(self, words: list[str], line: int, what: str) -> int:
        if len(words) != 1 or not words[0].isdecimal():
            raise FormatError(
                self._path, f"'{' '.join(words)[:40]}' is no count of {what}", line=line
            )
        return int(words[0])

    def table(self, count: int, width: int, what: str) -> NDArray[np.float64]:
        """Read the first values of the next rows, shape (count, width)."""
        rows = self._rows[self._at : self._at + count]
        if len(rows) < count:
            raise FormatError(
                self._path, f"truncated: {count} {what} announced, {len(rows)} rows are there"
            )
        self._at += count
        # Whole sections of other kinds are passed over with no column at all.
        numbers = [self._numbers(*row, width, what) for row in rows] if width else []
        return np.array(numbers, dtype=np.float64).reshape(len(numbers), width)

    def _numbers(self, line: int, words: list[str], width: int, what: str) -> list[float]:
        try:
            numbers = [float(word) for word in words[:width]]
        except ValueError as error:
            raise FormatError(self._path, f"{what}: {error}", line=line) from error
        if len(numbers) < width or not all(map(math.isfinite, numbers)):
            raise FormatError(
                self._path,
                f"{what}: '{' '.join(words)[:60]}', {width} numbers are expected",
                line=line,
            )
        return numbers


def read_tsi(path: FilePath) -> GeometryDataContainer:
    """Read a FreeDTS topology.

    Parameters
    ----------
    path : str or path-like
        ``.tsi`` (with keywords) or ``.q`` (without), plain or compressed.

    Returns
    -------
    GeometryDataContainer
        One entity; property ``inclusion`` (int32: type of the inclusion at a vertex, 0 for none)
        if the file has that section.

    Raises
    ------
    FormatError
        If a section is missing or shorter than its count.
    """
    rows = _Rows(path)
    tables = _read_q(path, rows) if extension_of(path) == "q" else _read_sections(path, rows)
    for section in ("vertex", "triangle"):
        if section not in tables:
            raise FormatError(path, f"no section '{section}'")
    vertices = _by_id(path, tables["vertex"], "vertex")
    faces = _by_id(path, tables["triangle"], "triangle")
    properties = {}
    if "inclusion" in tables:
        properties["inclusion"] = _inclusions(path, tables["inclusion"], len(vertices))
    return mesh_container(path, vertices, _integers(path, faces, "triangle"), properties=properties)


def _read_q(path: FilePath, rows: _Rows) -> dict[str, NDArray[np.float64]]:
    if rows.next() is None:
        raise FormatError(path, "no rows")
    tables = {}
    for section, width in (("vertex", 4), ("triangle", 4)):
        row = rows.next()
        if row is None:
            raise FormatError(path, f"truncated: the count of the {section} rows is missing")
        tables[section] = rows.table(rows.count(row[1], row[0], section), width, section)
    return tables


def _read_sections(path: FilePath, rows: _Rows) -> dict[str, NDArray[np.float64]]:
    widths = {"vertex": 4, "triangle": 4, "inclusion": 3}
    tables: dict[str, NDArray[np.float64]] = {}
    while (row := rows.next()) is not None:
        line, words = row
        keyword = words[0].lower()
        if keyword in ("version", "box"):
            continue
        if not keyword[0].isalpha():
            raise FormatError(path, f"'{words[0][:40]}', a section is expected", line=line)
        if keyword in tables:
            raise FormatError(path, f"section '{keyword}' is there twice", line=line)
        count = rows.count(words[1:], line, f"'{keyword[:40]}' rows")
        width = widths.get(keyword)
        if width is not None:
            tables[keyword] = rows.table(count, width, keyword)
        else:
            # A further section is passed over, but its rows must be there.
            rows.table(count, 0, keyword)
    return tables


def _by_id(path: FilePath, table: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Sort rows by the id in front; triangles count vertices by it."""
    ids = _integers(path, table[:, 0], what)
    if not np.array_equal(np.sort(ids), np.arange(len(ids))):
        raise FormatError(path, f"the {what} ids are not 0 to {len(ids) - 1}, once each")
    return table[np.argsort(ids), 1:]


def _integers(path: FilePath, values: NDArray[np.float64], what: str) -> NDArray[np.int64]:
    if not np.all((values == np.round(values)) & (np.abs(values) < 2**53)):
        raise FormatError(path, f"a {what} index is no whole number")
    return values.astype(np.int64)


def _inclusions(path: FilePath, table: NDArray[np.float64], n_vertices: int) -> NDArray[np.int32]:
    rows = _integers(path, table, "inclusion")
    if len(rows) and not (rows[:, 2].min() >= 0 and rows[:, 2].max() < n_vertices):
        raise FormatError(path, f"an inclusion lies at none of the {n_vertices} vertices")
    if len(rows) and np.abs(rows[:, 1]).max() > 2**31 - 1:
        raise FormatError(path, "an inclusion type is no int32")
    types = np.zeros(n_vertices, dtype=np.int32)
    types[rows[:, 2]] = rows[:, 1]
    return types


def write_topology_file(
    path: FilePath, data: Mapping[str, ArrayLike], tsi_format: bool = False
) -> None:
    """Write a FreeDTS topology.

    Parameters
    ----------
    path : str or path-like
        Target; compressed if its name ends in ``.gz``.
    data : mapping
        ``box``: 3 lengths. ``vertices``: rows ``id x y z domain``, ``id x y z`` or ``x y z``.
        ``faces``: rows ``id a b c ...`` or ``a b c``, 0-based. ``inclusions``, optional: rows
        ``id type vertex ...``. Not modified.
    tsi_format : bool
        Write tsi with keywords instead of q.

    Raises
    ------
    ValueError
        If an array has another shape.
    """
    box = np.asarray(data["box"], dtype=np.float64).reshape(-1)
    if box.shape != (3,):
        raise ValueError(f"box has {box.size} lengths, 3 are expected")
    vertices = _with_ids(data["vertices"], "vertices", 3)
    faces = _with_ids(data["faces"], "faces", 3)
    width = 4 if tsi_format else 5
    lines = [f"version {_VERSION}"] if tsi_format else []
    # FreeDTS's own .q files have their box in floating point, `10.0`; a tsi file has it either way.
    box_number = _number if tsi_format else repr
    lines.append(("box " if tsi_format else "") + " ".join(map(box_number, box.tolist())))
    lines.append(f"{'vertex ' if tsi_format else ''}{len(vertices)}")
    lines += _lines(_padded(vertices, 5)[:, :width])
    lines.append(f"{'triangle ' if tsi_format else ''}{len(faces)}")
    lines += _lines(faces[:, :4] if tsi_format else _padded(faces, 5))
    if tsi_format and data.get("inclusions") is not None:
        inclusions = np.asarray(data["inclusions"], dtype=np.float64).reshape(-1, 3)
        lines.append(f"inclusion {len(inclusions)}")
        lines += _lines(inclusions)
    with finished_file(path) as target:
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_ids(rows: ArrayLike, name: str, width: int) -> NDArray[np.float64]:
    table = np.asarray(rows, dtype=np.float64)
    if table.size == 0:
        return np.empty((0, width + 1))
    if table.ndim != 2 or table.shape[1] < width:
        raise ValueError(f"{name} have shape {table.shape}, rows 'id' and {width} more expected")
    if table.shape[1] == width:
        return np.column_stack([np.arange(len(table)), table])
    return table


def _padded(table: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    missing = width - table.shape[1]
    return table if missing <= 0 else np.pad(table, ((0, 0), (0, missing)))


def _lines(table: NDArray[np.float64]) -> list[str]:
    rows: list[list[Any]] = table.tolist()
    return [" ".join(map(_number, row)) for row in rows]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
