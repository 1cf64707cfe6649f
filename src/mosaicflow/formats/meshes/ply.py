"""Stanford PLY, text and binary.

Own reader: it checks the header's counts against the file before anything is allocated, and keeps
the order of the faces, which trimesh 5.2 does not where triangles and polygons mix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import read_bytes
from mosaicflow.formats.ground.text_table import require_distinct
from mosaicflow.formats.meshes.polygons import fan_triangles, mesh_container, strip_triangles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_ply"]

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_NORMAL = ("nx", "ny", "nz")
# Bytes (1 MiB), far above any real one; doubled, more of what is no PLY is searched.
_LONGEST_HEADER = 1 << 20
_HEADER_END = re.compile(rb"(?<=[\r\n])end_header[ \t]*(?:\r\n|\n|\r|\Z)")


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    dtype: np.dtype[Any]
    # Type of the length in front of a list; None for a single value.
    length: np.dtype[Any] | None = None


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def smallest_row(self) -> int:
        return sum((p.length or p.dtype).itemsize for p in self.properties)

    @property
    def has_lists(self) -> bool:
        return any(p.length is not None for p in self.properties)


@dataclass(frozen=True, slots=True)
class _Lists:
    """Rows of a list property, one after another."""

    values: NDArray[Any]
    sizes: NDArray[np.int64]


def read_ply(path: FilePath) -> GeometryDataContainer:
    """Read a PLY file.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed; text, little- or big-endian.

    Returns
    -------
    GeometryDataContainer
        One entity in the file's vertex order; polygons become fans, normals are kept, every other
        single value of a vertex is a property.

    Raises
    ------
    FormatError
        If the header is broken, or announces more than the file holds.
    """
    content = read_bytes(path)
    order, elements, start = _header(path, content)
    body: _TextBody | _BinaryBody
    body = _BinaryBody(path, content, start) if order else _TextBody(path, content[start:])
    columns = {element.name: body.read(element) for element in elements}
    vertex = columns.get("vertex")
    if vertex is None or any(axis not in vertex for axis in "xyz"):
        raise FormatError(path, "no element 'vertex' with properties x, y and z")
    vertices = _stack(path, vertex, ("x", "y", "z"))
    has_normals = all(name in vertex for name in _NORMAL)
    used = {"x", "y", "z", *(_NORMAL if has_normals else ())}
    return mesh_container(
        path,
        vertices,
        _triangles(path, columns),
        normals=_stack(path, vertex, _NORMAL) if has_normals else None,
        properties={
            name: values
            for name, values in vertex.items()
            if name not in used and not isinstance(values, _Lists)
        },
    )


def _stack(path: FilePath, columns: dict[str, Any], names: tuple[str, ...]) -> NDArray[Any]:
    if any(isinstance(columns[name], _Lists) for name in names):
        raise FormatError(path, f"vertex {', '.join(names)} are lists, not numbers")
    return np.stack([columns[name] for name in names], axis=1)


def _triangles(path: FilePath, columns: dict[str, dict[str, Any]]) -> NDArray[np.int64]:
    for element, split in (("face", fan_triangles), ("tristrips", strip_triangles)):
        properties = columns.get(element, {})
        lists = properties.get("vertex_indices", properties.get("vertex_index"))
        if not isinstance(lists, _Lists):
            continue
        if lists.values.dtype.kind not in "iu":
            raise FormatError(path, f"the vertex indices of '{element}' are no integers")
        if element == "tristrips":
            lists = _without_restarts(lists.values.astype(np.int64))
        elif len(lists.sizes) and lists.sizes.min() < 3:
            face = int(np.argmin(lists.sizes))
            raise FormatError(path, f"face {face} has {lists.sizes[face]} corners")
        return split(lists.values, lists.sizes)
    return np.empty((0, 3), dtype=np.int64)


def _without_restarts(values: NDArray[np.int64]) -> _Lists:
    """Cut strips at the index -1, which begins a new one."""
    strips = [part[part >= 0] for part in np.split(values, np.flatnonzero(values == -1))]
    strips = [strip for strip in strips if len(strip) >= 3]
    sizes = np.array([len(strip) for strip in strips], dtype=np.int64)
    return _Lists(np.concatenate([np.empty(0, np.int64), *strips]), sizes)


def _header(path: FilePath, content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ('' for text), elements, and where their rows begin."""
    # On a line of its own: comments may hold the word.
    found = _HEADER_END.search(content, 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or found is None:
        raise FormatError(path, "no PLY header ('ply' ... 'end_header')")
    end, start = found.start(), found.end()
    lines = content[:end].decode("latin-1").replace("\r", "\n").split("\n")
    order: str | None = None
    elements: list[_Element] = []
    for line, text in enumerate(lines[1:], start=2):
        words = text.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        try:
            if words[0] == "format":
                order = _BYTE_ORDERS[words[1]]
            elif words[0] == "element":
                elements.append(_Element(words[1], _count(words[2])))
            elif words[0] == "property":
                elements[-1].properties.append(_property(words, order or "<"))
            else:
                raise ValueError(words[0])
        except (KeyError, IndexError, ValueError) as error:
            raise FormatError(path, f"header statement '{text[:60]}'", line=line) from error
    if order is None:
        raise FormatError(path, "the header names no format")
    require_distinct(path, [element.name for element in elements], line=1)
    for element in elements:
        require_distinct(path, [prop.name for prop in element.properties], line=1)
    return order, elements, min(start, len(content))


def _count(word: str) -> int:
    if (count := int(word)) < 0:
        raise ValueError(word)
    return count


def _property(words: list[str], order: str) -> _Property:
    if words[1] != "list":
        return _Property(words[2], np.dtype(order + _TYPES[words[1]]))
    length = np.dtype(order + _TYPES[words[2]])
    if length.kind == "f":
        raise ValueError(words[2])
    return _Property(words[4], np.dtype(order + _TYPES[words[3]]), length)


class _TextBody:
    """Rows of a text file: one line each, whatever the line breaks."""

    def __init__(self, path: FilePath, content: bytes) -> None:
        self._path = path
        self._words = content.split()
        self._at = 0

    def read(self, element: _Element) -> dict[str, NDArray[Any] | _Lists]:
        if element.count * len(element.properties) > len(self._words) - self._at:
            raise FormatError(
                self._path,
                f"truncated: {element.count} rows of '{element.name}' announced, "
                f"{len(self._words) - self._at} values are left",
            )
        if not element.has_lists:
            return self._plain(element)
        lists: dict[str, list[list[bytes]]] = {p.name: [] for p in element.properties}
        for _ in range(element.count):
            for prop in element.properties:
                lists[prop.name].append(self._take(1 if prop.length is None else self._length()))
        return {prop.name: self._column(prop, lists[prop.name]) for prop in element.properties}

    def _plain(self, element: _Element) -> dict[str, NDArray[Any] | _Lists]:
        width = len(element.properties)
        words = self._take(element.count * width)
        return {
            prop.name: self._numbers(words[index::width], prop)
            for index, prop in enumerate(element.properties)
        }

    def _column(self, prop: _Property, rows: list[list[bytes]]) -> NDArray[Any] | _Lists:
        values = self._numbers([word for row in rows for word in row], prop)
        if prop.length is None:
            return values
        return _Lists(values, np.array([len(row) for row in rows], dtype=np.int64))

    def _length(self) -> int:
        word = self._take(1)[0]
        if not word.isdigit():
            raise FormatError(self._path, f"{word[:20]!r} is no length of a list")
        return int(word)

    def _take(self, count: int) -> list[bytes]:
        words = self._words[self._at : self._at + count]
        if len(words) < count:
            raise FormatError(self._path, "truncated: the rows end too early")
        self._at += count
        return words

    def _numbers(self, words: list[bytes], prop: _Property) -> NDArray[Any]:
        try:
            if prop.dtype.kind == "f":
                return np.array([float(word) for word in words], dtype=prop.dtype)
            return np.array([int(word) for word in words], dtype=prop.dtype)
        except (ValueError, OverflowError) as error:
            raise FormatError(self._path, f"property '{prop.name}': {error}") from error


class _BinaryBody:
    """Rows of a binary file."""

    def __init__(self, path: FilePath, content: bytes, start: int) -> None:
        self._path = path
        self._content = content
        self._at = start

    def read(self, element: _Element) -> dict[str, NDArray[Any] | _Lists]:
        if element.count * element.smallest_row > len(self._content) - self._at:
            raise FormatError(
                self._path,
                f"truncated: {element.count} rows of '{element.name}' announced, "
                f"{max(len(self._content) - self._at, 0)} bytes are left",
            )
        if not element.properties:
            return {}
        return self._equal_rows(element) or self._unequal_rows(element)

    def _equal_rows(self, element: _Element) -> dict[str, NDArray[Any] | _Lists] | None:
        """Read all rows at once if every list is as long as the first row's."""
        sizes = self._first_sizes(element)
        fields: list[Any] = []
        for index, prop in enumerate(element.properties):
            if prop.length is not None:
                fields.append((f"n{index}", prop.length))
            fields.append((f"v{index}", prop.dtype, (sizes[index],)))
        row = np.dtype(fields)
        if element.count * row.itemsize > len(self._content) - self._at:
            return None
        rows = np.frombuffer(self._content, dtype=row, count=element.count, offset=self._at)
        lists = [i for i, prop in enumerate(element.properties) if prop.length is not None]
        if any(not np.all(rows[f"n{index}"] == sizes[index]) for index in lists):
            return None
        self._at += element.count * row.itemsize
        columns: dict[str, NDArray[Any] | _Lists] = {}
        for index, prop in enumerate(element.properties):
            values = _native(rows[f"v{index}"]).reshape(-1)
            columns[prop.name] = (
                _Lists(values, np.full(element.count, sizes[index], dtype=np.int64))
                if index in lists
                else values
            )
        return columns

    def _first_sizes(self, element: _Element) -> list[int]:
        at = self._at
        sizes = []
        for prop in element.properties:
            size = 1
            if prop.length is not None and element.count:
                size = self._length(prop.length, at)
                at += prop.length.itemsize
            sizes.append(size)
            at += size * prop.dtype.itemsize
        return sizes

    def _unequal_rows(self, element: _Element) -> dict[str, NDArray[Any] | _Lists]:
        parts: dict[str, list[NDArray[Any]]] = {p.name: [] for p in element.properties}
        for _ in range(element.count):
            for prop in element.properties:
                size = 1
                if prop.length is not None:
                    size = self._length(prop.length, self._at)
                    self._at += prop.length.itemsize
                if self._at + size * prop.dtype.itemsize > len(self._content):
                    raise FormatError(self._path, "truncated: the rows end too early")
                parts[prop.name].append(
                    np.frombuffer(self._content, prop.dtype, count=size, offset=self._at)
                )
                self._at += size * prop.dtype.itemsize
        columns: dict[str, NDArray[Any] | _Lists] = {}
        for prop in element.properties:
            values = _native(np.concatenate(parts[prop.name]))
            lengths = np.array([len(part) for part in parts[prop.name]], dtype=np.int64)
            columns[prop.name] = values if prop.length is None else _Lists(values, lengths)
        return columns

    def _length(self, dtype: np.dtype[Any], at: int) -> int:
        if at + dtype.itemsize > len(self._content):
            raise FormatError(self._path, "truncated: the rows end too early")
        length = int(np.frombuffer(self._content, dtype, count=1, offset=at)[0])
        if not 0 <= length <= len(self._content):
            raise FormatError(self._path, f"a list of {length} values")
        return length


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("="))
