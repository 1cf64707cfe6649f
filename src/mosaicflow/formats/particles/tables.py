"""Points in text tables: oriented TSV, and txt, xyz and csv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.grouping import as_integers, split_by
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryDataContainer
from mosaicflow.formats.ground.rotations import normals_from_quaternions, quaternions_from_euler
from mosaicflow.formats.ground.source import extension_of, read_text
from mosaicflow.formats.ground.text_table import TextTable, require_distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.ground.text_table import SplitLine

__all__ = ["TSV_COLUMNS", "read_tsv", "read_txt"]

TSV_COLUMNS = ("x", "y", "z", "euler_x", "euler_y", "euler_z", "score", "detail")
_POSITION = ("x", "y", "z")
_EULER = ("euler_x", "euler_y", "euler_z")
_NORMAL = ("nx", "ny", "nz")
_KNOWN = {*TSV_COLUMNS, *_NORMAL, "id"}


@dataclass(frozen=True, slots=True)
class _Lines:
    """A text table before its columns are named."""

    text: str
    first: int
    header: list[str] | None
    width: int
    split: SplitLine


def read_tsv(path: FilePath) -> GeometryDataContainer:
    """Read oriented points of a tab-separated table.

    Parameters
    ----------
    path : str or path-like
        Header ``x y z euler_x euler_y euler_z score detail`` in any order; a table whose header
        names no ``euler`` column is read by `read_txt`.

    Returns
    -------
    GeometryDataContainer
        One entity for each value of ``detail``, with quaternions and normals.

    Raises
    ------
    FormatError
        If a column is missing or a value is no number.
    """
    found = _look(path)
    if found.header is None or not any("euler" in name for name in found.header):
        return read_txt(path)
    table = _named(path, found)
    _require_position(table, found.first - 1)
    vertices = _three(table, _POSITION)
    angles = [table.numbers(n) if n in table else np.zeros(len(table)) for n in _EULER]
    quaternions = quaternions_from_euler(np.stack(angles, axis=1))
    properties = _tsv_properties(table, len(vertices))
    keys = properties.get_property("entity")
    groups = [rows for _, rows in split_by(keys)] or [np.empty(0, dtype=np.intp)]
    return GeometryDataContainer(
        vertices=[vertices[rows] for rows in groups],
        normals=[normals_from_quaternions(quaternions[rows]) for rows in groups],
        quaternions=[quaternions[rows] for rows in groups],
        vertex_properties=[properties[rows] for rows in groups],
    )


def read_txt(path: FilePath) -> GeometryDataContainer:
    """Read points of a text table.

    Parameters
    ----------
    path : str or path-like
        txt and tsv are separated by tabs, csv and xyz by commas; a table without that separator by
        white space. A first row that names ``x`` is the header; without one the columns are x, y,
        z and others that are not read. Lines that begin with ``#`` are comments.

    Returns
    -------
    GeometryDataContainer
        One entity for each ``id``, normals from ``nx, ny, nz``, further named columns as
        properties.

    Raises
    ------
    FormatError
        If the table is empty or ragged, or a value is no number; the message has the line.
    """
    found = _look(path)
    table = _named(path, found)
    _require_position(table, found.first - 1)
    if len(table) == 0:
        raise FormatError(path, "a header without rows", line=found.first - 1)
    vertices = _three(table, _POSITION)
    has_normals = all(name in table for name in _NORMAL)
    normals = _three(table, _NORMAL) if has_normals else None
    used = {*_POSITION, "id", *(_NORMAL if has_normals else ())}
    unnamed = found.header is None
    properties = VertexPropertyContainer(
        {} if unnamed else {n: v for n, v in table.columns.items() if n not in used}
    )
    keys = table.columns["id"] if "id" in table else np.zeros(len(vertices))
    groups = [rows for _, rows in split_by(keys)]
    return GeometryDataContainer(
        vertices=[vertices[rows] for rows in groups],
        normals=None if normals is None else [normals[rows] for rows in groups],
        vertex_properties=[_rows_of(properties, rows) for rows in groups],
    )


def _look(path: FilePath) -> _Lines:
    """Find separator, header and first row."""
    lines = read_text(path).split("\n")
    start = next((i for i, line in enumerate(lines) if _has_values(line)), None)
    if start is None:
        raise FormatError(path, "no rows")
    separator = "," if extension_of(path) in ("csv", "xyz") else "\t"
    split = _splitter(path, separator if separator in lines[start] else None)
    first = split(lines[start], start + 1)
    names = [name.strip() for name in first]
    names = [name.lower() if name.lower() in _KNOWN else name for name in names]
    if "x" not in names:
        return _Lines("\n".join(lines[start:]), start + 1, None, len(first), split)
    require_distinct(path, names, line=start + 1)
    return _Lines("\n".join(lines[start + 1 :]), start + 2, names, len(first), split)


def _has_values(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _splitter(path: FilePath, separator: str | None) -> SplitLine:
    def split(text: str, line: int) -> list[str]:
        if not _has_values(text):
            return []
        if separator is None:
            return text.split()
        if '"' not in text:
            return [value.strip() for value in text.split(separator)]
        try:
            values = next(
                csv.reader([text], delimiter=separator, skipinitialspace=True, strict=True)
            )
        except csv.Error as error:
            raise FormatError(path, f"broken quotes ({error})", line=line) from error
        return [value.strip() for value in values]

    return split


def _named(path: FilePath, found: _Lines) -> TextTable:
    names = found.header
    if names is None:
        extra = [f"column {index}" for index in range(4, found.width + 1)]
        names = [*_POSITION[: found.width], *extra]
    return TextTable(path, names, found.text, first_line=found.first, split=found.split)


def _require_position(table: TextTable, line: int) -> None:
    missing = [name for name in _POSITION if name not in table]
    if missing:
        raise FormatError(table.path, f"column {', '.join(missing)} missing", line=max(line, 1))


def _three(table: TextTable, names: tuple[str, ...]) -> NDArray[np.float64]:
    return np.stack([table.numbers(name) for name in names], axis=1)


def _rows_of(
    properties: VertexPropertyContainer, rows: NDArray[np.intp]
) -> VertexPropertyContainer:
    return properties[rows] if properties.properties else VertexPropertyContainer()


def _tsv_properties(table: TextTable, count: int) -> VertexPropertyContainer:
    columns: dict[str, NDArray[Any]] = table.columns
    detail = as_integers(columns["detail"]) if "detail" in columns else np.full(count, -1)
    used = {*TSV_COLUMNS}
    further = {name: values for name, values in columns.items() if name not in used}
    return VertexPropertyContainer(
        {"pytme_score": columns.get("score", np.zeros(count)), "entity": detail, **further}
    )
