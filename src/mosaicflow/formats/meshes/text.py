"""Wavefront OBJ and OFF.

Own readers: trimesh 5.2 resolves relative OBJ indices against the whole file instead of the lines
read so far, and its OFF reader fails under NumPy 2.4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import read_text
from mosaicflow.formats.meshes.polygons import fan_triangles, mesh_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["COLORS", "read_obj", "read_off"]

_GLUED = re.compile(r"([A-Z4]*OFF)(\d+)", re.IGNORECASE)
# As PLY names them.
COLORS = ("red", "green", "blue", "alpha")


class _ObjReader:
    """Collects the statements of an OBJ file."""

    def __init__(self, path: FilePath) -> None:
        self._path = path
        self.vertices: list[list[float]] = []
        # What follows the coordinates of each vertex; a single number is a weight.
        self.colors: list[list[float]] = []
        self.normals: list[list[float]] = []
        self.corners: list[int] = []
        self.sizes: list[int] = []
        # For each corner the number of its normal; -1 without.
        self.corner_normals: list[int] = []

    def read(self, text: str) -> None:
        for line, words in _statements(text):
            if words[0] == "v":
                self.vertices.append(self._three(words[1:4], line))
                self.colors.append(self._numbers(words[4:8], line))
            elif words[0] == "vn":
                self.normals.append(self._three(words[1:4], line))
            elif words[0] == "f":
                self._face(words[1:], line)

    def vertex_normals(self) -> NDArray[np.float64] | None:
        """Mean of the normals a vertex has at its corners; None unless all corners have one."""
        numbers = np.array(self.corner_normals, dtype=np.int64)
        if not self.normals or not len(numbers) or numbers.min() < 0:
            return None
        if numbers.max() >= len(self.normals):
            raise FormatError(
                self._path, f"normal {numbers.max() + 1} is used, {len(self.normals)} are there"
            )
        sums = np.zeros((len(self.vertices), 3))
        np.add.at(sums, self.corners, np.array(self.normals)[numbers])
        return sums

    def _numbers(self, words: list[str], line: int) -> list[float]:
        try:
            return list(map(float, words))
        except ValueError as error:
            raise FormatError(
                self._path, f"'{' '.join(words)[:60]}' are no numbers", line=line
            ) from error

    def _three(self, words: list[str], line: int) -> list[float]:
        if len(words) != 3:
            raise FormatError(
                self._path, f"'{' '.join(words)[:60]}' are not three numbers", line=line
            )
        return self._numbers(words, line)

    def _face(self, words: list[str], line: int) -> None:
        if len(words) < 3:
            raise FormatError(self._path, f"a face with {len(words)} corners", line=line)
        for word in words:
            vertex, _, rest = word.partition("/")
            normal = rest.partition("/")[2]
            self.corners.append(self._index(vertex, len(self.vertices), line))
            self.corner_normals.append(
                self._index(normal, len(self.normals), line) if normal else -1
            )
        self.sizes.append(len(words))

    def _index(self, word: str, count: int, line: int) -> int:
        try:
            number = int(word)
        except ValueError as error:
            raise FormatError(self._path, f"'{word[:40]}' is no index", line=line) from error
        # Negative numbers count back from the last one read so far.
        index = number - 1 if number > 0 else count + number
        # 2**31 is more than any file can define, and still fits the index arrays.
        if number == 0 or not 0 <= index < 2**31:
            raise FormatError(self._path, f"index {number} of {count}", line=line)
        return index


def read_obj(path: FilePath) -> GeometryDataContainer:
    """Read an OBJ file; polygons become fans, groups and objects one mesh.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed file.

    Returns
    -------
    GeometryDataContainer
        One entity in the file's vertex order, with normals if every corner has one, and with
        properties ``red``, ``green``, ``blue`` (and ``alpha``), as stored, if every vertex has a
        colour.

    Raises
    ------
    FormatError
        If a statement is broken or there are no vertices.
    """
    reader = _ObjReader(path)
    reader.read(read_text(path))
    vertices = np.array(reader.vertices, dtype=np.float64).reshape(-1, 3)
    faces = fan_triangles(np.array(reader.corners), np.array(reader.sizes))
    # Checked first: the normals are summed at the corners' vertices.
    mesh_container(path, vertices, faces)
    return mesh_container(
        path,
        vertices,
        faces,
        normals=reader.vertex_normals(),
        properties=_color_properties(reader.colors),
    )


def _color_properties(rows: list[list[float]]) -> dict[str, NDArray[np.float64]]:
    """Columns of the vertices' colours; none unless every vertex has three or four numbers."""
    width = min(min(map(len, rows), default=0), len(COLORS))
    if width < 3:
        return {}
    table = np.array([row[:width] for row in rows])
    return {name: table[:, index] for index, name in enumerate(COLORS[:width])}


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    pending = ""
    for line, raw in enumerate(text.split("\n"), start=1):
        statement = pending + raw
        if statement.endswith("\\"):
            pending = statement[:-1] + " "
            continue
        pending = ""
        if words := statement.partition("#")[0].split():
            yield line, words


def read_off(path: FilePath) -> GeometryDataContainer:
    """Read an OFF file (also COFF, NOFF and the like, of which texture coordinates are not kept).

    Parameters
    ----------
    path : str or path-like
        Plain or compressed text file.

    Returns
    -------
    GeometryDataContainer
        One entity in the file's vertex order; colours as of `read_obj`.

    Raises
    ------
    FormatError
        If the file is no OFF file, or shorter than its counts say.
    """
    rows = list(_statements(read_text(path)))
    if not rows:
        raise FormatError(path, "no rows")
    line, words = rows[0]
    if match := _GLUED.fullmatch(words[0]):  # as in ModelNet40
        words = [match[1], match[2], *words[1:]]
    elif len(words) == 3 and all(word.isdigit() for word in words):
        words = ["OFF", *words]  # the keyword is optional
    if not words[0].upper().endswith("OFF"):
        raise FormatError(path, f"begins with '{words[0][:20]}', OFF is expected", line=line)
    prefix = words[0].upper()[: -len("OFF")]
    if "4" in prefix or "N" in prefix.replace("N", "", 1):
        raise FormatError(path, f"{words[0]}: only three dimensions are read", line=line)
    body = [(line, words[1:]), *rows[1:]] if len(words) > 1 else rows[1:]
    if not body:
        raise FormatError(path, "the counts of vertices and faces are missing", line=line)
    n_vertices, n_faces = _off_counts(path, *body[0])
    if len(body) - 1 < n_vertices + n_faces:
        raise FormatError(
            path,
            f"truncated: {n_vertices} vertices and {n_faces} faces announced, "
            f"{len(body) - 1} rows are there",
        )
    points = [_off_numbers(path, *row) for row in body[1 : n_vertices + 1]]
    vertices = np.array([point[:3] for point in points]).reshape(-1, 3)
    corners, sizes = _off_faces(path, body[n_vertices + 1 : n_vertices + 1 + n_faces])
    return mesh_container(
        path,
        vertices,
        fan_triangles(corners, sizes),
        normals=_off_normals(prefix, points),
        properties=_color_properties([_off_color(prefix, point) for point in points]),
    )


def _off_normals(prefix: str, points: list[list[float]]) -> NDArray[np.float64] | None:
    if "N" not in prefix or any(len(point) < 6 for point in points):
        return None
    return np.array([point[3:6] for point in points])


def _off_color(prefix: str, point: list[float]) -> list[float]:
    """Colour of a vertex, which lies between its normal and its texture coordinates."""
    if "C" not in prefix:
        return []
    end = len(point) - (2 if "ST" in prefix else 0)
    return point[6 if "N" in prefix else 3 : end]


def _off_counts(path: FilePath, line: int, words: list[str]) -> tuple[int, int]:
    try:
        n_vertices, n_faces = (int(word) for word in words[:2])
    except ValueError as error:
        raise FormatError(
            path, f"'{' '.join(words)[:40]}' are no counts of vertices and faces", line=line
        ) from error
    if min(n_vertices, n_faces) < 0:
        raise FormatError(path, "a negative count", line=line)
    return n_vertices, n_faces


def _off_numbers(path: FilePath, line: int, words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise FormatError(path, f"{error}", line=line) from error
    if len(numbers) < 3:
        raise FormatError(path, f"a vertex with {len(numbers)} coordinates", line=line)
    return numbers


def _off_faces(
    path: FilePath, rows: list[tuple[int, list[str]]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    corners: list[int] = []
    sizes: list[int] = []
    for line, words in rows:
        try:
            size = int(words[0])
            indices = [int(word) for word in words[1 : size + 1]]
        except ValueError as error:
            raise FormatError(path, f"{error}", line=line) from error
        if size < 3 or len(indices) < size or not all(0 <= i < 2**31 for i in indices):
            raise FormatError(path, f"'{' '.join(words)[:60]}' is no face", line=line)
        corners += indices
        sizes.append(size)
    return np.array(corners, dtype=np.int64), np.array(sizes, dtype=np.int64)
