"""VTK cells to triangles: polygons as fans, volume cells as the surface they enclose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.meshes.polygons import fan_triangles, strip_triangles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["Cells", "cell_triangles", "faces_of_lists", "faces_of_stream"]

_STRIP, _POLYGON, _POLYHEDRON = 6, 7, 42
# Points and lines have no surface.
_WITHOUT_SURFACE = {0, 1, 2, 3, 4, 21, 35}
# Cells with points on their edges and faces are read as their corners.
_FLAT = {5: (0, 1, 2), 8: (0, 1, 3, 2), 9: (0, 1, 2, 3)}
_FLAT |= {22: _FLAT[5], 34: _FLAT[5], 23: _FLAT[9], 28: _FLAT[9], 30: _FLAT[9]}
# Faces of solid cells by their corners, as the VTK file format numbers them, seen from outside.
_TETRA = ((0, 1, 3), (1, 2, 3), (2, 0, 3), (0, 2, 1))
_VOXEL = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))
_HEXA = ((0, 4, 7, 3), (1, 2, 6, 5), (0, 1, 5, 4), (3, 7, 6, 2), (0, 3, 2, 1), (4, 5, 6, 7))
_WEDGE = ((0, 1, 2), (3, 5, 4), (0, 3, 4, 1), (1, 4, 5, 2), (2, 5, 3, 0))
_PYRAMID = ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4))
_PRISM_5 = (
    (0, 4, 3, 2, 1), (5, 6, 7, 8, 9),
    (0, 1, 6, 5), (1, 2, 7, 6), (2, 3, 8, 7), (3, 4, 9, 8), (4, 0, 5, 9),
)  # fmt: skip
_PRISM_6 = (
    (0, 5, 4, 3, 2, 1), (6, 7, 8, 9, 10, 11),
    (0, 1, 7, 6), (1, 2, 8, 7), (2, 3, 9, 8), (3, 4, 10, 9), (4, 5, 11, 10), (5, 0, 6, 11),
)  # fmt: skip
_SOLID: dict[int, tuple[tuple[int, ...], ...]] = {
    10: _TETRA, 24: _TETRA, 11: _VOXEL, 12: _HEXA, 25: _HEXA, 29: _HEXA, 33: _HEXA,
    13: _WEDGE, 26: _WEDGE, 31: _WEDGE, 32: _WEDGE, 14: _PYRAMID, 27: _PYRAMID, 37: _PYRAMID,
    15: _PRISM_5, 16: _PRISM_6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells as VTK stores them.

    Attributes
    ----------
    corners : ndarray, shape (n,), int64
        Point indices of all cells, one after another.
    ends : ndarray, shape (m,), int64
        Where each cell's indices end.
    types : ndarray, shape (m,), int64
        VTK cell types.
    polyhedron_faces : sequence of ndarray or None
        Point indices of each face of all polyhedra.
    """

    corners: NDArray[np.int64]
    ends: NDArray[np.int64]
    types: NDArray[np.int64]
    polyhedron_faces: Sequence[NDArray[np.int64]] | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Points of each cell."""
        return np.diff(self.ends, prepend=0)


def cell_triangles(path: FilePath, cells: Cells) -> NDArray[np.int64]:
    """Triangulate the surface of cells of any mix of types.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    cells : Cells
        As stored.

    Returns
    -------
    ndarray, shape (M, 3), int64
        Triangles of the flat cells, then the faces that belong to one volume cell only.

    Raises
    ------
    FormatError
        If the arrays disagree or a cell type is not known.
    """
    _check(path, cells)
    triangles = [np.empty((0, 3), dtype=np.int64)]
    solids: dict[int, list[NDArray[np.int64]]] = {}
    for kind in np.unique(cells.types).tolist():
        rows = np.flatnonzero(cells.types == kind)
        if kind in _FLAT:
            corners = _fixed(path, cells, rows, np.array(_FLAT[kind]))
            triangles.append(_fan_rows(corners))
        elif kind in (_STRIP, _POLYGON):
            triangles.append(_ragged(path, cells, rows, kind))
        elif kind in _SOLID:
            for face in _SOLID[kind]:
                solids.setdefault(len(face), []).append(_fixed(path, cells, rows, np.array(face)))
        elif kind == _POLYHEDRON:
            if cells.polyhedron_faces is None:
                raise FormatError(path, "polyhedra without their faces")
            for polygon in cells.polyhedron_faces:
                solids.setdefault(len(polygon), []).append(polygon[None])
        elif kind not in _WITHOUT_SURFACE:
            raise FormatError(path, f"cells of VTK type {kind} are not known")
    triangles.extend(_fan_rows(_outer(np.concatenate(faces))) for faces in solids.values())
    return np.concatenate(triangles)


def _check(path: FilePath, cells: Cells) -> None:
    if len(cells.ends) != len(cells.types):
        raise FormatError(path, f"{len(cells.types)} cell types for {len(cells.ends)} offsets")
    if len(cells.ends) and (
        np.any(np.diff(cells.ends, prepend=0) < 0) or cells.ends[-1] > len(cells.corners)
    ):
        raise FormatError(path, f"cell offsets do not fit {len(cells.corners)} point indices")


def _fan_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return fan_triangles(rows.reshape(-1), np.full(len(rows), rows.shape[1]))


def _fixed(
    path: FilePath, cells: Cells, rows: NDArray[np.intp], order: NDArray[Any]
) -> NDArray[np.int64]:
    """Corners of cells of one type in a given order, shape (cells, corners)."""
    if np.any(cells.sizes[rows] <= order.max()):
        raise FormatError(path, f"a cell of type {cells.types[rows[0]]} has too few points")
    starts = cells.ends[rows] - cells.sizes[rows]
    return np.asarray(cells.corners[starts[:, None] + order])


def _ragged(path: FilePath, cells: Cells, rows: NDArray[np.intp], kind: int) -> NDArray[np.int64]:
    sizes = cells.sizes[rows]
    if len(sizes) and sizes.min() < 3:
        raise FormatError(path, f"a polygon or strip of {sizes.min()} points")
    owner = np.repeat(np.arange(len(cells.ends)), cells.sizes)
    corners = cells.corners[: len(owner)][np.isin(owner, rows)]
    return (fan_triangles if kind == _POLYGON else strip_triangles)(corners, sizes)


def faces_of_stream(path: FilePath, stream: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Read the faces of polyhedra as VTK wrote them before 9.4.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    stream : ndarray, shape (n,), int64
        For each polyhedron its number of faces, then for each face its size and points.

    Returns
    -------
    list of ndarray
        Points of each face.

    Raises
    ------
    FormatError
        If the stream ends within a polyhedron.
    """
    found: list[NDArray[np.int64]] = []
    at = 0
    while at < len(stream):
        count = int(stream[at])
        at += 1
        if not 0 <= count <= len(stream):
            raise FormatError(path, f"a polyhedron of {count} faces")
        for _ in range(count):
            size = int(stream[at]) if at < len(stream) else 0
            face = stream[at + 1 : at + 1 + size]
            if size < 3 or len(face) < size:
                raise FormatError(path, "the face stream of a polyhedron is too short")
            found.append(face)
            at += 1 + size
    return found


def faces_of_lists(
    path: FilePath,
    corners: NDArray[np.int64],
    ends: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> list[NDArray[np.int64]]:
    """Read the faces of polyhedra as VTK writes them since 9.4.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    corners, ends : ndarray, int64
        Points of all faces, and where each face's points end.
    chosen : ndarray, int64
        Faces of the polyhedra, one polyhedron after another.

    Returns
    -------
    list of ndarray
        Points of each chosen face.

    Raises
    ------
    FormatError
        If the arrays disagree.
    """
    sizes = np.diff(ends, prepend=0)
    if len(ends) and (sizes.min() < 3 or ends[-1] > len(corners)):
        raise FormatError(path, "face offsets do not fit the points of the faces")
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(ends):
        raise FormatError(path, f"a polyhedron has a face that is none of {len(ends)}")
    return [corners[ends[face] - sizes[face] : ends[face]] for face in chosen.tolist()]


def _outer(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Faces that occur once; those that two cells share lie inside."""
    _, first, counts = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True
    )
    return np.asarray(faces[np.sort(first[counts == 1])])
