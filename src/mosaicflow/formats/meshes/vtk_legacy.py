"""Legacy VTK files (.vtk): surfaces and unstructured grids, text and binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import read_bytes
from mosaicflow.formats.meshes.polygons import mesh_container
from mosaicflow.formats.meshes.vtk_cells import Cells, cell_triangles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_legacy_vtk"]

_TYPES = {
    "char": "i1", "unsigned_char": "u1", "short": "i2", "unsigned_short": "u2", "int": "i4",
    "unsigned_int": "u4", "long": "i8", "unsigned_long": "u8", "vtktypeint64": "i8",
    "vtkidtype": "i8", "float": "f4", "double": "f8",
}  # fmt: skip
# Cell type that each list of a surface stands for; 0 for points and lines, which are read past.
_LISTS = {"VERTICES": 0, "LINES": 0, "POLYGONS": 7, "TRIANGLE_STRIPS": 6, "CELLS": -1}
_KINDS = ("POLYDATA", "UNSTRUCTURED_GRID")


class _Cursor:
    """Words, lines and numbers of a file, text or binary."""

    def __init__(self, path: FilePath, content: bytes) -> None:
        self.path = path
        self._content = content
        self._at = self._line_start = 0
        self.binary = False

    def line(self) -> list[str] | None:
        """Return the words of the next line that has any; None at the end."""
        while self._at < len(self._content):
            end = self._content.find(b"\n", self._at)
            end = len(self._content) if end < 0 else end
            words = self._content[self._at : end].decode("latin-1").split()
            self._line_start = self._at
            self._at = end + 1
            if words:
                return words
        return None

    def back(self) -> None:
        """Undo the reading of the last line."""
        self._at = self._line_start

    def numbers(self, count: int, type_name: str) -> NDArray[Any]:
        """Read `count` numbers of a VTK type."""
        kind = _TYPES.get(type_name.lower())
        if kind is None:
            raise FormatError(self.path, f"numbers of type '{type_name[:40]}'")
        # Binary legacy files have the high byte first, on every machine.
        dtype = np.dtype(">" + kind)
        left = len(self._content) - self._at
        if count < 0 or count * (dtype.itemsize if self.binary else 1) > left:
            raise FormatError(self.path, f"truncated: {count} numbers announced, {left} bytes left")
        if self.binary:
            values = np.frombuffer(self._content, dtype, count=count, offset=self._at)
            self._at += count * dtype.itemsize
            return values.astype(dtype.newbyteorder("="))
        return self._text_numbers(count, dtype.newbyteorder("="))

    def _text_numbers(self, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        words: list[str] = []
        while len(words) < count and (line := self.line()) is not None:
            words += line
        if len(words) != count:
            raise FormatError(self.path, f"{count} numbers announced, {len(words)} are there")
        try:
            return np.array([float(w) if dtype.kind == "f" else int(w) for w in words], dtype=dtype)
        except (ValueError, OverflowError) as error:
            raise FormatError(self.path, f"{error}") from error


class _Grid:
    """What is collected while the sections go by."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self.points: NDArray[Any] | None = None
        self._corners: list[NDArray[np.int64]] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._kinds: list[NDArray[np.int64]] = []
        self._cell_types: NDArray[np.int64] | None = None
        self.normals: NDArray[Any] | None = None
        self.properties: dict[str, NDArray[Any]] = {}

    def read(self) -> None:
        while (words := self._cursor.line()) is not None:
            keyword = words[0].upper()
            if keyword == "POINTS":
                self.points = self._numbers(3 * self._int(words, 1), words, 2).reshape(-1, 3)
            elif keyword in _LISTS:
                self._list(words, _LISTS[keyword])
            elif keyword == "CELL_TYPES":
                self._cell_types = self._cursor.numbers(self._int(words, 1), "int").astype(np.int64)
            elif keyword in ("POINT_DATA", "CELL_DATA"):
                self._attributes(self._int(words, 1), keep=keyword == "POINT_DATA")
            elif keyword == "FIELD":
                self._field(self._int(words, 2), -1)

    def triangles(self) -> NDArray[np.int64]:
        sizes = np.concatenate([np.empty(0, np.int64), *self._sizes])
        types = np.concatenate([np.empty(0, np.int64), *self._kinds])
        if self._cell_types is not None:
            types = self._cell_types
        elif np.any(types < 0):
            raise FormatError(self._cursor.path, "CELLS without CELL_TYPES")
        corners = np.concatenate([np.empty(0, np.int64), *self._corners])
        return cell_triangles(self._cursor.path, Cells(corners, np.cumsum(sizes), types))

    def _list(self, words: list[str], kind: int) -> None:
        count, size = self._int(words, 1), self._int(words, 2)
        line = self._cursor.line()
        if line is not None and line[0].upper() == "OFFSETS":
            # Version 5: as many offsets as cells, plus one.
            ends = self._numbers(count, line, 1).astype(np.int64)
            line = self._cursor.line()
            if line is None or line[0].upper() != "CONNECTIVITY":
                raise FormatError(self._cursor.path, f"{words[0]}: OFFSETS without CONNECTIVITY")
            corners, sizes = self._numbers(size, line, 1).astype(np.int64), np.diff(ends)
        else:
            if line is not None:
                self._cursor.back()
            corners, sizes = self._counted(self._cursor.numbers(size, "int").tolist(), count)
        if np.any(sizes < 0) or sizes.sum() != len(corners):
            raise FormatError(self._cursor.path, f"{words[0]}: sizes and indices disagree")
        self._corners.append(corners)
        self._sizes.append(sizes)
        self._kinds.append(np.full(len(sizes), kind, dtype=np.int64))

    def _counted(
        self, values: list[int], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split 'size, indices, size, indices, ...' into indices and sizes."""
        corners: list[int] = []
        sizes: list[int] = []
        at = 0
        while at < len(values):
            size = values[at]
            if size < 0 or at + size >= len(values):
                raise FormatError(self._cursor.path, f"a cell of {size} points at its list's end")
            corners += values[at + 1 : at + 1 + size]
            sizes.append(size)
            at += size + 1
        if len(sizes) != count:
            raise FormatError(self._cursor.path, f"{count} cells announced, {len(sizes)} are there")
        return np.array(corners, dtype=np.int64), np.array(sizes, dtype=np.int64)

    def _attributes(self, rows: int, *, keep: bool) -> None:
        """Read point data, or read past cell data, which belongs to no vertex."""
        kept = self.properties, self.normals
        self.properties, self.normals = {}, None
        self._read_attributes(rows)
        if not keep:
            self.properties, self.normals = kept

    def _read_attributes(self, rows: int) -> None:
        while (words := self._cursor.line()) is not None:
            keyword = words[0].upper()
            if keyword in ("CELL_DATA", "POINT_DATA"):
                self._cursor.back()
                return
            if keyword == "SCALARS":
                width = int(words[3]) if len(words) > 3 and words[3].isdecimal() else 1
                table = self._cursor.line()
                if table is None or table[0].upper() != "LOOKUP_TABLE":
                    raise FormatError(self._cursor.path, "SCALARS without LOOKUP_TABLE")
                values = self._numbers(rows * width, words, 2)
                self._set(words[1], values, width)
            elif keyword == "NORMALS":
                self.normals = self._numbers(rows * 3, words, 2).reshape(-1, 3)
            elif keyword == "VECTORS":
                values = self._numbers(rows * 3, words, 2)
                self._set(words[1], values, 3)
            elif keyword == "FIELD":
                self._field(self._int(words, 2), rows)

    def _field(self, n_arrays: int, rows: int) -> None:
        for _ in range(n_arrays):
            words = self._cursor.line()
            if words is None:
                raise FormatError(self._cursor.path, "truncated: a FIELD has too few arrays")
            width, count = self._int(words, 1), self._int(words, 2)
            values = self._numbers(width * count, words, 3)
            if count == rows and width:
                self._set(words[0], values, width)

    def _set(self, name: str, values: NDArray[Any], width: int) -> None:
        self.properties[name] = values.reshape(-1, width) if width > 1 else values

    def _int(self, words: list[str], index: int) -> int:
        if len(words) <= index or not words[index].isdecimal():
            raise FormatError(self._cursor.path, f"'{' '.join(words)[:60]}': a count is expected")
        return int(words[index])

    def _numbers(self, count: int, words: list[str], index: int) -> NDArray[Any]:
        if len(words) <= index:
            raise FormatError(self._cursor.path, f"'{' '.join(words)[:60]}': a type is expected")
        return self._cursor.numbers(count, words[index])


def read_legacy_vtk(path: FilePath) -> GeometryDataContainer:
    """Read a legacy VTK surface or unstructured grid.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed, text or binary.

    Returns
    -------
    GeometryDataContainer
        One entity: points, triangles, normals if stored, arrays of point data as properties.

    Raises
    ------
    FormatError
        If the file is damaged or holds another kind of data set.
    """
    content = read_bytes(path)
    if not content.startswith(b"# vtk DataFile"):
        raise FormatError(path, "no legacy VTK file: it does not begin with '# vtk DataFile'")
    # The title in the second line may be empty, or hold any word.
    body = content.split(b"\n", 2)
    cursor = _Cursor(path, body[2] if len(body) == 3 else b"")
    encoding = cursor.line()
    dataset = cursor.line()
    if encoding is None or encoding[0].upper() not in ("ASCII", "BINARY"):
        raise FormatError(path, "neither ASCII nor BINARY in the third line")
    if dataset is None or len(dataset) < 2 or dataset[1].upper() not in _KINDS:
        raise FormatError(path, f"data set {dataset}, one of {', '.join(_KINDS)} is expected")
    cursor.binary = encoding[0].upper() == "BINARY"
    grid = _Grid(cursor)
    grid.read()
    if grid.points is None:
        raise FormatError(path, "no POINTS")
    for name, values in [*grid.properties.items(), ("NORMALS", grid.normals)]:
        if values is not None and len(values) != len(grid.points):
            raise FormatError(path, f"{name}: {len(values)} rows for {len(grid.points)} points")
    return mesh_container(
        path, grid.points, grid.triangles(), normals=grid.normals, properties=grid.properties
    )
